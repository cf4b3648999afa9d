//! Views into a node for the checkers of simulations.

use super::{
    broadcast::MAX_ENTRIES, identity::NodeId, node::Node, suspect::MAX_RELAYED, suspicion::MAX_SUSPECTS,
    sync::MAX_ASKED, timers::Timers, wire::MAX_MEMBERS,
};

impl Node {
    /// Returns generation and version of the record that this node holds of `id`.
    pub(crate) fn record_version(&self, id: NodeId) -> Option<(u64, u64)> {
        self.shared.lock().version(id).map(|version| (version.generation, version.version))
    }

    /// Returns the first queue that exceeds its bound.
    pub(crate) fn overfull(&self) -> Option<String> {
        let members = self.member_count() + 1;
        let records = self.shared.lock().records.len();
        let queues = [
            ("timers", self.out.timers.len(), 4 * members + Timers::FIXED),
            ("updates", self.foca.updates_backlog(), members),
            ("broadcasts", self.foca.custom_broadcast_backlog(), records + 4 * MAX_SUSPECTS),
            ("suspicions", self.shared.lock().suspicions.len(), MAX_SUSPECTS),
            ("relayed probes", self.relayed.len(), MAX_RELAYED),
            ("records asked for", self.asked.len(), MAX_ASKED + MAX_MEMBERS),
            ("records", records, MAX_MEMBERS + 1),
            ("broadcasts of users", self.broadcasts.len(), MAX_ENTRIES),
        ];
        let over = queues.into_iter().find(|(_, length, bound)| length > bound);
        over.map(|(name, length, bound)| format!("{length} {name}, at most {bound}"))
    }
}
