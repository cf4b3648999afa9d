//! What users see of a node: its events, its view, and what of it goes into a snapshot.

use rand::{SeedableRng, rngs::StdRng};
use tracing::{error, info, warn};

use super::driver::Gossip;
use crate::{ClusterEvent, ClusterSnapshot, snapshot::Saved, swim::Event};

impl Gossip {
    pub(super) fn tell(&self, event: Event) {
        let event = match event {
            Event::NodeJoined(member) => {
                info!(node = %member.identity(), "joined");
                ClusterEvent::NodeJoined(member)
            }
            Event::NodeSuspect(member) => ClusterEvent::NodeSuspect(member),
            Event::NodeRecovered(member) => ClusterEvent::NodeRecovered(member),
            Event::NodeFailed(member) => {
                info!(node = %member.identity(), "failed");
                self.links.forget(&member.identity());
                ClusterEvent::NodeFailed(member)
            }
            Event::NodeLeft(member) => {
                info!(node = %member.identity(), "left");
                self.links.forget(&member.identity());
                ClusterEvent::NodeLeft(member)
            }
            Event::TagsChanged(member) => ClusterEvent::TagsChanged(member),
            Event::Renewed(identity) => {
                info!(%identity, "others took this node for dead; it goes on under a new generation");
                return;
            }
            Event::IdentityConflict { ours, theirs } => {
                error!(%ours, %theirs, "another node uses this one's address or id: stop one of the two");
                ClusterEvent::IdentityConflict { ours, theirs }
            }
        };
        // Nobody may listen.
        let _ = self.events.send(event);
    }

    /// What is to be on disk.
    pub(crate) fn saved(&self) -> Saved {
        let node = self.node();
        let own = node.identity();
        let tags = node.tags().iter().filter(|(key, value)| self.configured_tags.get(*key) != Some(value));
        let others = node.members().skip(1);
        let mut members: Vec<_> =
            others.map(|member| (member.identity(), member.state().is_active())).collect();
        let tags = tags.map(|(key, value)| (key.clone(), value.clone())).collect();
        drop(node);
        members.extend(self.remembered().nodes());
        Saved { cluster: self.cluster.clone(), id: own.id(), generation: own.generation(), tags, members }
    }

    pub(crate) fn snapshot_failed(&self, operation: &str) {
        self.metrics.snapshot_failed(operation);
    }

    /// Takes up a snapshot; says how many nodes are to be asked.
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
        let others = snapshot
            .members
            .iter()
            .filter(|member| member.id() != own.id() && member.identity().addr() != own.addr());
        let others = others.map(|member| (member.identity(), member.state().is_active()));
        let added = self.remembered().add(others, &mut StdRng::from_rng(&mut rand::rng()));
        self.restored.notify_one();
        added
    }
}
