//! The errors of a cluster's handles.

use std::{io, path::PathBuf, time::Duration};

use crate::{FilterError, swim::TagError};

/// Why a cluster could not be entered or left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The server is a node already.
    #[error("this server is in a cluster already")]
    Enabled(#[source] rpcnet::ServerError),
    /// A seed is not `host:port`.
    #[error("{0:?} is not a seed: write host:port, for example director-1:8080")]
    Seed(String),
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
    /// No peer acknowledged the leave in time; it will be taken for a failure by those who did not hear of it.
    #[error("only {acknowledged} peers acknowledged the leave within {after:?}")]
    LeaveUnacknowledged {
        /// How many peers did.
        acknowledged: usize,
        /// How long was waited.
        after: Duration,
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
}
