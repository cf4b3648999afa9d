//! Clusters of [rpcnet] servers: membership, workers, and channels that find them.
//!
//! A server becomes a *node* with [`ClusterExt::enable_cluster`]. Nodes find each other through seeds and track each other by
//! gossip ([`swim`]) on the server's own port. A node has one of these roles, by its tag `role`:
//!
//! - *Workers* (`role=worker`) serve calls.
//! - *Directors* ([`Director`]) list the workers to clients, and relay the calls of clients that can't reach the workers.
//!
//! A client calls all workers through a [`ClusterChannel`], which follows the list of any director.
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
//!
//! [`ClusterChannel`] has an example that runs all three in one process.
//!
//! # Where to find what
//!
//! | to | look at |
//! |---|---|
//! | make a server a node | [`ClusterExt`], [`ClusterConfig`], [`ClusterError`] |
//! | set tags, share values, leave | [`Cluster`], [`TagError`], [`Broadcast`], [`BroadcastError`] |
//! | watch the cluster | [`Cluster::view`], [`Events`], [`ClusterEvent`], [`Member`] |
//! | choose a worker in a server | [`WorkerRegistry`], [`TagFilter`], [`SelectError`] |
//! | list workers to clients, and relay | [`Director`], [`DirectorBuilder`] |
//! | call workers from a client | [`ClusterChannel`], [`ClusterChannelBuilder`], [`Mode`], [`Policy`] |
//! | back up and restore a cluster | [`Cluster::nodes`], [`Cluster::restore`], [`ClusterSnapshot`] |
//! | tune probing and gossip | [`swim::Config`], whose module describes the protocol |
//! | test under partitions and crashes | the module `testing`, behind the feature of that name |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `testing` | no | the module `testing`: simulated clusters under virtual time |
//! | `fuzzing` | no | functions for this repository's fuzz targets; no part of the API |

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

/// The functions that fuzz targets call. Not part of the public API: it may change in any release.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod __fuzz {
    pub use crate::{
        gossip::gossip_hello,
        swim::fuzz::{gossip_packets, gossip_parts},
    };

    /// Returns the seeds of the corpus: target, name and bytes of each. The same in each run.
    pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
        let mut seeds = crate::swim::fuzz::seeds();
        seeds.extend(crate::gossip::hello_seeds());
        seeds
    }
}
