//! The errors of a node's handles.

use std::{error::Error, fmt, io, net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use crate::swim::{Identity, NodeId, TagError};

/// The error of a node that can't enter, stay in, or leave its cluster.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterError {
    /// The server is a node already.
    Enabled(rpcnet::ServerError),
    /// Gossip's own socket can't be bound.
    Bind(rpcnet::ServerError),
    /// A seed is not `host:port`.
    Seed(String),
    /// A seed is an address that no node can be reached at.
    SeedAddress {
        /// The seed.
        seed: SocketAddr,
        /// The reason, and the text to write instead.
        fault: &'static str,
    },
    /// The address to advertise is one that no node can be reached at.
    Advertise {
        /// The address.
        addr: SocketAddr,
        /// The reason, and the text to write instead.
        fault: &'static str,
    },
    /// A tag in the configuration is not allowed.
    Tag {
        /// Its key.
        key: String,
        /// The reason.
        source: TagError,
    },
    /// The snapshot directory can't be read or written. (A file in it that is no snapshot is not an error.)
    Snapshot {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another node with this one's address or id was there first, and this one has stopped.
    Conflict {
        /// This node.
        ours: Identity,
        /// The other one.
        theirs: Identity,
    },
    /// The configured id is not the one in the server's certificate, and peers would refuse it.
    NodeId {
        /// The one that was configured.
        configured: NodeId,
        /// The one in the certificate.
        certified: NodeId,
    },
    /// The configured versions of gossip include one that this release does not speak.
    Versions {
        /// The configured versions.
        asked: RangeInclusive<u8>,
        /// The versions that this release speaks.
        spoken: RangeInclusive<u8>,
    },
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled(_) => {
                f.write_str("this server is in a cluster already: use the handle that enable_cluster returned, or another server")
            }
            Self::Bind(source) => write!(f, "gossip gets no socket of its own (with_bind_addr): {source}"),
            Self::Seed(seed) => {
                write!(f, "{seed:?} is not a seed: write host:port, for example director-1:8080")
            }
            Self::SeedAddress { seed, fault } => write!(f, "the seed {seed} {fault}"),
            Self::Advertise { addr, fault } => write!(f, "can't advertise {addr}: it {fault}"),
            Self::Tag { key, source } => write!(f, "the tag {key:?} is not allowed: {source}"),
            Self::Snapshot { path, source } => {
                let path = path.display();
                write!(
                    f,
                    "the snapshot {path} can't be read or written: {source}; give a directory that this process may write to \
                     (with_snapshot_dir)"
                )
            }
            Self::Conflict { ours, theirs } => write!(
                f,
                "{theirs} has the address or id of {ours}, and was there first: this node has stopped; give it an address \
                 and id of its own"
            ),
            Self::NodeId { configured, certified } => write!(
                f,
                "node id {configured} is configured, but the server's certificate is made out to {certified}, and peers would \
                 refuse any other: leave with_node_id out, or use that node's certificate"
            ),
            Self::Versions { asked, spoken } => write!(
                f,
                "gossip versions {} to {} are configured, and this release speaks {} to {}: choose from these \
                 (with_gossip_versions)",
                asked.start(),
                asked.end(),
                spoken.start(),
                spoken.end()
            ),
        }
    }
}

impl Error for ClusterError {
    /// Returns the cause behind the one that the message contains.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Enabled(source) => Some(source),
            Self::Bind(source) => source.source(),
            Self::Tag { source, .. } => source.source(),
            Self::Snapshot { source, .. } => source.source(),
            Self::Seed(_)
            | Self::SeedAddress { .. }
            | Self::Advertise { .. }
            | Self::Conflict { .. }
            | Self::NodeId { .. }
            | Self::Versions { .. } => None,
        }
    }
}

/// Returns an error and its sources on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let message = source.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = source.source();
    }
    text
}
