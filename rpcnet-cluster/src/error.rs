//! The errors of a cluster's handles.

use std::{io, net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use crate::{
    FilterError,
    swim::{Identity, NodeId, TagError},
};

/// Why a cluster could not be entered or left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The server is a node already.
    #[error("this server is in a cluster already")]
    Enabled(#[source] rpcnet::ServerError),
    /// Gossip's own socket can't be bound.
    #[error("gossip gets no socket of its own")]
    Bind(#[source] rpcnet::ServerError),
    /// A seed is not `host:port`.
    #[error("{0:?} is not a seed: write host:port, for example director-1:8080")]
    Seed(String),
    /// A seed is an address that no node can have.
    #[error("the seed {seed} {fault}")]
    SeedAddress {
        /// The seed.
        seed: SocketAddr,
        /// What is wrong with it, and what to write instead.
        fault: &'static str,
    },
    /// The address to advertise is one that no node can be reached at.
    #[error("can't advertise {addr}: it {fault}")]
    Advertise {
        /// The address.
        addr: SocketAddr,
        /// What is wrong with it, and what to write instead.
        fault: &'static str,
    },
    /// A tag in the configuration is not allowed.
    #[error("the tag {key:?} is not allowed")]
    Tag {
        /// Its key.
        key: String,
        /// What is wrong with it.
        source: TagError,
    },
    /// The snapshot directory can't be read or written. (A file in it that is no snapshot is not an error.)
    #[error("the snapshot {} can't be read or written", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// Another node with this one's address or id was there first, and this one has stopped.
    #[error("{theirs} has the address or id of {ours}, and was there first: this node has stopped")]
    Conflict {
        /// This node.
        ours: Identity,
        /// The other one.
        theirs: Identity,
    },
    /// The configured id is not the one in the server's certificate: no peer would believe it.
    #[error("node id {configured} is configured, but the certificate is made out to {certified}")]
    NodeId {
        /// The one that was configured.
        configured: NodeId,
        /// The one in the certificate.
        certified: NodeId,
    },
    /// Versions of gossip are configured that this release does not speak.
    #[error("gossip {}..={} is configured, this release speaks {}..={}", asked.start(), asked.end(), spoken.start(), spoken.end())]
    Versions {
        /// What was configured.
        asked: RangeInclusive<u8>,
        /// What may be.
        spoken: RangeInclusive<u8>,
    },
}

/// Why no worker was selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The filter is not one.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No healthy worker matches.
    #[error("none of {workers} healthy workers matches {filter:?}")]
    NoWorker {
        /// How many healthy workers there are.
        workers: usize,
        /// The filter, as it was given.
        filter: String,
    },
    /// No healthy worker serves the service that the registry is [narrowed to](crate::WorkerRegistry::serving).
    #[error(
        "none of {workers} healthy workers serves {service}: register it at one of them, or check its name"
    )]
    NotServed {
        /// How many healthy workers there are.
        workers: usize,
        /// The wire name of the service.
        service: String,
    },
}
