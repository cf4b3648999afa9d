//! What happens in the cluster, as a stream.

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::swim::{Identity, Member};

/// Events that wait for a slow reader; beyond, the oldest are dropped and counted.
pub(crate) const QUEUE: usize = 1024;

/// A change of the membership, as this node sees it.
///
/// For one life of a node: `NodeJoined`, then any number of `NodeSuspect`, `NodeRecovered` and `TagsChanged`, then
/// either `NodeFailed` or `NodeLeft`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// A node, or a newer life of it, has joined.
    NodeJoined(Member),
    /// A peer could not reach the node. It still belongs to the cluster.
    NodeSuspect(Member),
    /// A suspect node has shown that it lives.
    NodeRecovered(Member),
    /// The node did not answer, or a newer life took its place.
    NodeFailed(Member),
    /// The node has left of its own will.
    NodeLeft(Member),
    /// The node's tags have changed.
    TagsChanged(Member),
    /// Another node uses this one's address or id: one of the two has to stop.
    IdentityConflict {
        /// This node.
        ours: Identity,
        /// The other one.
        theirs: Identity,
    },
    /// This reader was too slow: so many events before the next one were dropped. The view is complete
    /// nevertheless ([`Cluster::nodes`](crate::Cluster::nodes)).
    Missed(u64),
}

/// The events from the moment of [`Cluster::events`](crate::Cluster::events) on. A slow reader holds nobody up.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<ClusterEvent>,
}

impl Events {
    pub(crate) fn new(receiver: Receiver<ClusterEvent>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` once the node is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(ClusterEvent::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
