//! What a node counts of itself, for metrics.

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

/// What a node has counted since its start, and how much is waiting in it. From [`Node::statistics`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Statistics {
    /// Gossip packets sent, by what they are: a probe is a `ping`; a probe that was not answered in time is followed by
    /// up to three `ping_request`s.
    pub(crate) messages: Vec<(&'static str, u64)>,
    /// Probes that got no answer, neither directly nor through others.
    pub(crate) probes_failed: u64,
    /// Suspicions that this node raised, because of such a probe. Those that it heard of are not among them.
    pub(crate) suspicions_raised: u64,
    /// Comparisons of all that is known, begun by this node.
    pub(crate) syncs: u64,
    /// Members that other nodes sent because this one lacked them, or knew an older state.
    pub(crate) members_fetched: u64,
    /// Records likewise.
    pub(crate) records_fetched: u64,
    /// When a peer that told all it knew was last found to know the same.
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

/// What is counted on the way.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) probes_failed: u64,
    pub(super) suspicions_raised: u64,
    pub(super) syncs: u64,
    pub(super) members_fetched: u64,
    pub(super) records_fetched: u64,
    pub(super) agreed: Option<Instant>,
}

/// How many messages of each kind foca has encoded, which is once for each that it sends.
pub(super) type Messages = [u64; MESSAGES.len()];

impl Node {
    /// What it has counted since its start, and how much is waiting in it.
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
