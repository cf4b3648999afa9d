//! The state of a node that goes into snapshots, and its restoration.

use rand::{SeedableRng, rngs::StdRng};
use tracing::warn;

use super::{ClusterSnapshot, Saved};
use crate::gossip::{driver::Gossip, publish::broadcasts_of};

impl Gossip {
    /// Returns the state to save on disk.
    pub(crate) fn saved(&self) -> Saved {
        let node = self.node();
        let own = node.identity();
        let tags = node.tags().iter().filter(|(key, value)| self.configured_tags.get(*key) != Some(value));
        let others = node.members().skip(1);
        let mut members: Vec<_> =
            others.map(|member| (member.identity(), member.state().is_active())).collect();
        let tags = tags.map(|(key, value)| (key.clone(), value.clone())).collect();
        let broadcasts = broadcasts_of(&node);
        drop(node);
        members.extend(self.known_peers().nodes());
        Saved {
            cluster: self.cluster.clone(),
            id: own.id(),
            generation: own.generation(),
            tags,
            members,
            broadcasts,
        }
    }

    /// Returns a snapshot for [`restore`](Self::restore).
    pub(crate) fn snapshot(&self) -> ClusterSnapshot {
        let node = self.node();
        ClusterSnapshot {
            seen_by: node.identity().id(),
            members: node.members().cloned().collect(),
            broadcasts: broadcasts_of(&node),
        }
    }

    pub(crate) fn snapshot_failed(&self, operation: &str) {
        self.metrics.snapshot_failed(operation);
    }

    /// Restores a snapshot. Returns the number of nodes to ask.
    pub(crate) fn restore(&self, snapshot: &ClusterSnapshot) -> usize {
        let own = self.identity();
        if let Some(was) = snapshot.members.iter().find(|member| member.id() == own.id()) {
            let has = |key: &str| self.node().tags().contains_key(key);
            for (key, value) in was.tags().iter().filter(|(key, _)| !has(key)) {
                if let Err(error) = self.set_tag(key, value) {
                    warn!(key, %error, "tag of the snapshot not set");
                }
            }
        }
        let broadcasts = snapshot.broadcasts.clone();
        self.act(|node, now| node.restore_broadcasts(now, broadcasts));
        let others = snapshot
            .members
            .iter()
            .filter(|member| member.id() != own.id() && member.identity().addr() != own.addr());
        let others = others.map(|member| (member.identity(), member.state().is_active()));
        let added = self.known_peers().add(others, &mut StdRng::from_rng(&mut rand::rng()));
        self.restored.notify_one();
        added
    }
}
