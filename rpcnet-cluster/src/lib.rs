//! Clusters of rpcnet servers: who is in them, and where a call should go.
//!
//! A server becomes a node with [`ClusterExt::enable_cluster`]. Nodes find each other through seeds and track each
//! other by gossip ([`swim`]) on the server's own port. *Workers* are nodes with the tag `role=worker`; a
//! [`Director`] tells clients where they are, and a [`ClusterChannel`] spreads calls over them. Clients who reach no worker
//! leave their calls to a director: [`Mode::Relay`].
//!
//! ```no_run
//! use rpcnet::{Server, ServerConfig};
//! use rpcnet_cluster::{ClusterConfig, ClusterExt, Director, WorkerRegistry};
//!
//! # async fn example(server: Server) -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = server
//!     .enable_cluster(ClusterConfig::default().with_seeds(["director-1:8080", "director-2:8080"]))
//!     .await?;
//! let director = Director::new(&server, &cluster)?;
//! let registry = WorkerRegistry::new(&cluster);
//! println!("{} workers", registry.healthy_count().await);
//! server.run_until(rpcnet::shutdown_signal()).await?;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod config;
mod director;
mod error;
mod events;
mod gossip;
mod membership;
mod metrics;
pub mod swim;
mod tags;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod workers;

pub use client::{ClusterChannel, ClusterChannelBuilder, Mode};
pub use config::ClusterConfig;
pub use director::{Director, DirectorBuilder, DirectorError};
pub use error::ClusterError;
pub use events::{ClusterEvent, Events};
pub use gossip::ClusterSnapshot;
pub use membership::{Cluster, ClusterExt};
pub use rpcnet::balance::Policy;
pub use swim::{Broadcast, BroadcastError, Identity, Member, MemberState, NodeId, TagError};
pub use workers::{FilterError, SelectError, TagFilter, WorkerRegistry, WorkerStatus};

/// What fuzz targets call. Not part of the public API: it may change in any release.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod __fuzz {
    pub use crate::{
        gossip::gossip_hello,
        swim::fuzz::{gossip_packets, gossip_parts},
    };

    /// Inputs to begin with: target, name and bytes of each. The same in each run.
    pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
        let mut seeds = crate::swim::fuzz::seeds();
        seeds.extend(crate::gossip::hello_seeds());
        seeds
    }
}
