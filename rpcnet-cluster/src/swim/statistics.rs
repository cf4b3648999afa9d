//! Counts that a node keeps about itself, for metrics.

use std::time::Instant;

use super::node::Node;

/// The names of foca's messages, in the order of their numbers.
const MESSAGES: [&str; 11] = [
    "ping",
    "ack",
    "ping_request",
    "indirect_ping",
    "indirect_ack",
    "forwarded_ack",
    "announce",
    "feed",
    "gossip",
    "broadcast",
    "turn_undead",
];

/// The counts of a node since its start, and the lengths of its queues. Returned by [`Node::statistics`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Statistics {
    /// Gossip packets sent, by kind. A probe is a `ping`. A probe that was not answered in time is followed by up to
    /// three `ping_request`s.
    pub(crate) messages: Vec<(&'static str, u64)>,
    /// Probes that got no answer, neither directly nor through others.
    pub(crate) probes_failed: u64,
    /// Suspicions that this node raised because of such a probe. Suspicions that it only heard of are not counted.
    pub(crate) suspicions_raised: u64,
    /// Full comparisons that this node has begun.
    pub(crate) syncs: u64,
    /// Members that other nodes sent because this one lacked them, or knew an older state.
    pub(crate) members_fetched: u64,
    /// Records that other nodes sent because this one lacked them, or knew an older version.
    pub(crate) records_fetched: u64,
    /// The last time at which a peer that told all it knew was found to know the same as this node.
    pub(crate) agreed: Option<Instant>,
    /// Changes of members that wait to be gossiped.
    pub(crate) updates_waiting: usize,
    /// Records that wait to be gossiped.
    pub(crate) records_waiting: usize,
    /// Broadcasts of users that wait to be sent on.
    pub(crate) broadcasts_waiting: usize,
    /// Timers that are set.
    pub(crate) timers: usize,
}

/// Counts that are kept while the node works.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) probes_failed: u64,
    pub(super) suspicions_raised: u64,
    pub(super) syncs: u64,
    pub(super) members_fetched: u64,
    pub(super) records_fetched: u64,
    pub(super) agreed: Option<Instant>,
}

/// The number of messages of each kind that foca has encoded. It encodes each message once for each time that it sends
/// it.
pub(super) type Messages = [u64; MESSAGES.len()];

impl Node {
    /// The counts since the node's start, and the lengths of its queues.
    pub(crate) fn statistics(&self) -> Statistics {
        let messages = self.shared.lock().messages;
        Statistics {
            messages: MESSAGES.into_iter().zip(messages).collect(),
            probes_failed: self.counted.probes_failed,
            suspicions_raised: self.counted.suspicions_raised,
            syncs: self.counted.syncs,
            members_fetched: self.counted.members_fetched,
            records_fetched: self.counted.records_fetched,
            agreed: self.counted.agreed,
            updates_waiting: self.foca.updates_backlog(),
            records_waiting: self.foca.custom_broadcast_backlog(),
            broadcasts_waiting: self.broadcasts.waiting(),
            timers: self.out.timers.len(),
        }
    }
}
