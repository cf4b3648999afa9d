//! Changes of the cluster, as a stream of events.

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::swim::{Identity, Member};

/// The most events that wait for a slow reader. One more drops the oldest, which is counted.
pub(crate) const QUEUE: usize = 1024;

/// A change of the membership, as this node sees it.
///
/// For one life of a node: `NodeJoined`, then any number of `NodeSuspect`, `NodeRecovered`, `NodeMoved` and `TagsChanged`,
/// then either `NodeFailed` or `NodeLeft`. Each event comes once, in the order in which this node saw the changes. The
/// [view](crate::Cluster::view) shows a change before its event comes.
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
    /// The node has another address: it was bound to any address of its host, and has learnt one that more of the others can
    /// reach.
    NodeMoved {
        /// The node's identity before.
        from: Identity,
        /// The node now.
        member: Member,
    },
    /// The node's tags have changed.
    TagsChanged(Member),
    /// Another node uses this one's address or id. The node that was started later stops, and this is its last event
    /// ([`Cluster::stopped`](crate::Cluster::stopped)).
    IdentityConflict {
        /// This node.
        ours: Identity,
        /// The other one.
        theirs: Identity,
    },
    /// At least two nodes, and at least a quarter of the cluster, failed within 20 probe periods (20 s with
    /// [`swim::Config::new_lan`](crate::swim::Config::new_lan)) and did not come back: this node is probably cut off from
    /// them, or they died together. Each of them was a `NodeFailed` too, and more may follow that belong to it.
    PartitionDetected {
        /// The nodes that have failed so far.
        lost: Vec<Member>,
        /// The number of nodes on this side, including this one.
        remaining: usize,
    },
    /// All nodes lost in the partition are back or have left; or less than a quarter of the cluster is still missing,
    /// and none of them has come back in the last 20 probe periods.
    PartitionHealed {
        /// The number of nodes that came back.
        returned: usize,
        /// The nodes that did not.
        missing: Vec<Member>,
    },
    /// This reader was too slow, and this number of events before the next one was dropped. The view is complete
    /// nevertheless ([`Cluster::nodes`](crate::Cluster::nodes)).
    Missed(u64),
}

/// The events since a call of [`Cluster::events`](crate::Cluster::events). A slow reader delays no other one.
///
/// ```
/// use rpcnet_cluster::{Cluster, ClusterEvent};
///
/// async fn log_failures(cluster: Cluster) {
///     let mut events = cluster.events();
///     while let Some(event) = events.next().await {
///         match event {
///             ClusterEvent::NodeFailed(member) => eprintln!("{} failed", member.identity()),
///             ClusterEvent::PartitionDetected { lost, .. } => eprintln!("cut off from {} nodes", lost.len()),
///             ClusterEvent::Missed(count) => eprintln!("{count} events missed"),
///             _ => {}
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<ClusterEvent>,
}

impl Events {
    pub(crate) fn new(receiver: Receiver<ClusterEvent>) -> Self {
        Self { receiver }
    }

    /// Returns the next event, or `None` when the node is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(ClusterEvent::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;
    use crate::swim::NodeId;

    fn conflict(number: u64) -> ClusterEvent {
        let identity = Identity::new(([10, 0, 0, 1], 1).into(), NodeId::from_u128(1), number);
        ClusterEvent::IdentityConflict { ours: identity, theirs: identity }
    }

    #[tokio::test]
    async fn a_slow_reader_holds_nobody_up_and_is_told_how_much_it_missed() {
        let sender = broadcast::Sender::new(QUEUE);
        let (mut slow, mut quick) = (Events::new(sender.subscribe()), Events::new(sender.subscribe()));
        for number in 0..QUEUE as u64 + 300 {
            sender.send(conflict(number)).unwrap();
            assert_eq!(quick.next().await, Some(conflict(number)));
        }
        drop(sender);
        assert_eq!(slow.next().await, Some(ClusterEvent::Missed(300)));
        for number in 300..QUEUE as u64 + 300 {
            assert_eq!(slow.next().await, Some(conflict(number)));
        }
        assert_eq!(slow.next().await, None);
    }
}
