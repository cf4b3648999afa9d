//! Publication of a node's state to users: events, view, broadcasts, metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    driver::{Broadcasts, Gossip, View, now},
    partition::{Finding, PartitionDetector},
    start::unix_millis,
};
use crate::{
    ClusterEvent,
    swim::{self, Broadcast, Event, Identity, Node},
};

/// The time between two measurements.
const MEASURED: Duration = Duration::from_secs(2);

/// The state of publication.
#[derive(Debug)]
pub(super) struct Publisher {
    /// The identity and revision of the published view. The view has changed if either differs: a node that is made anew under
    /// its learnt address counts revisions from the start.
    published: Option<(Identity, u64)>,
    broadcasts: Option<(Identity, u64)>,
    detector: PartitionDetector,
    measured: Option<Instant>,
    /// The peers whose round trips are shown.
    peers: BTreeSet<String>,
}

impl Publisher {
    pub(super) fn new(config: &swim::Config) -> Self {
        Self {
            published: None,
            broadcasts: None,
            detector: PartitionDetector::new(config.partition_window()),
            measured: None,
            peers: BTreeSet::new(),
        }
    }
}

impl Gossip {
    /// Sends the node's packets, and publishes its changes.
    pub(super) fn flush(self: &Arc<Self>, publisher: &mut Publisher) {
        let linked = self.links.changed_peers();
        let mut transmits = Vec::new();
        let mut happened = Vec::new();
        let (view, broadcasts, active) = {
            let mut node = self.node();
            if let Some(linked) = linked {
                node.set_linked(linked);
            }
            // A node without an address has no packets to send.
            while let Some(transmit) = node.poll_transmit() {
                transmits.push(transmit);
            }
            while let Some(event) = node.poll_event() {
                happened.push(event);
            }
            let now = Some((node.identity(), node.revision()));
            let view = (now != publisher.published).then(|| {
                publisher.published = now;
                node.members().cloned().collect::<View>()
            });
            let now = Some((node.identity(), node.broadcasts_revision()));
            let broadcasts = (std::mem::replace(&mut publisher.broadcasts, now) != now)
                .then(|| Arc::new(broadcasts_of(&node)));
            (view, broadcasts, node.active_count())
        };
        for transmit in transmits {
            super::links::send(self, transmit);
        }
        if let Some(view) = view {
            self.metrics.view(view.iter());
            self.look_towards_all(&view);
            // A node that has stopped publishes no members.
            self.view.send_if_modified(|known| {
                let goes_on = !self.closed.is_cancelled();
                if goes_on {
                    *known = view;
                }
                goes_on
            });
        }
        if let Some(broadcasts) = broadcasts {
            let before = self.broadcasts.send_replace(broadcasts.clone());
            self.measure_lag(&before, &broadcasts);
        }
        let now = now();
        for event in happened {
            publisher.detector.handle(now, &event);
            self.tell(event);
        }
        if let Some(found) = publisher.detector.look(now, active) {
            self.tell_finding(found);
        }
        if publisher.measured.is_none_or(|at| now.saturating_duration_since(at) >= MEASURED) {
            publisher.measured = Some(now);
            self.measure(now, &mut publisher.peers);
        }
    }

    /// Measures the values that cost too much to be counted at each change.
    fn measure(&self, now: Instant, shown: &mut BTreeSet<String>) {
        let statistics = self.node().statistics();
        self.metrics.statistics(&statistics, now);
        self.metrics.waiting("packets", self.packets.max_capacity() - self.packets.capacity());
        self.metrics.waiting("streams", self.links.streams_in_use());
        self.metrics.links(&self.links.round_trips(), shown);
    }

    /// Measures the time that new broadcasts took to arrive. Broadcasts older than this node are left out.
    fn measure_lag(&self, before: &Broadcasts, after: &Broadcasts) {
        let (own, now) = (self.identity().id(), unix_millis());
        for (key, broadcast) in after.iter().filter(|(_, broadcast)| broadcast.origin() != own) {
            if broadcast.version() >= self.life.started && before.get(key) != Some(broadcast) {
                let lag = Duration::from_millis(now.saturating_sub(broadcast.version()));
                self.metrics.broadcast_arrived(lag);
            }
        }
    }

    /// Sends an event to all readers.
    pub(super) fn send(&self, event: ClusterEvent) {
        self.metrics.happened(name(&event));
        let _ = self.events.send(event);
    }

    fn tell_finding(&self, found: Finding) {
        let event = match found {
            Finding::Detected { lost, remaining } => {
                warn!(
                    lost = lost.len(),
                    remaining, "many nodes were lost at once: the cluster is probably split"
                );
                ClusterEvent::PartitionDetected { lost, remaining }
            }
            Finding::Healed { returned, missing } => {
                info!(returned, missing = missing.len(), "the cluster is together again");
                ClusterEvent::PartitionHealed { returned, missing }
            }
        };
        self.send(event);
    }

    fn tell(&self, event: Event) {
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
            Event::NodeMoved { from, member } => {
                info!(node = %member.identity(), %from, "goes on at another address");
                self.links.forget(&from);
                ClusterEvent::NodeMoved { from, member }
            }
            Event::TagsChanged(member) => ClusterEvent::TagsChanged(member),
            Event::Renewed(identity) => {
                self.metrics.happened("renewed");
                info!(%identity, "others took this node for dead; it goes on under a new generation");
                return;
            }
            Event::IdentityConflict { ours, theirs } if self.is_neighbourly(&ours, &theirs) => {
                debug!(%theirs, "a node of another host has this one's loopback address");
                return;
            }
            Event::IdentityConflict { ours, theirs } => {
                // The later life may be this node started anew elsewhere, which would be right if this one were gone.
                let there = if theirs.id() == ours.id() { theirs.addr() } else { ours.addr() };
                self.look_for_rival(there);
                return self.tell_conflict(ours, theirs);
            }
        };
        self.send(event);
    }
}

/// Returns the name of an event in metrics.
fn name(event: &ClusterEvent) -> &'static str {
    match event {
        ClusterEvent::NodeJoined(_) => "joined",
        ClusterEvent::NodeSuspect(_) => "suspect",
        ClusterEvent::NodeRecovered(_) => "recovered",
        ClusterEvent::NodeFailed(_) => "failed",
        ClusterEvent::NodeLeft(_) => "left",
        ClusterEvent::NodeMoved { .. } => "moved",
        ClusterEvent::TagsChanged(_) => "tags",
        ClusterEvent::IdentityConflict { .. } => "conflict",
        ClusterEvent::PartitionDetected { .. } => "partition",
        ClusterEvent::PartitionHealed { .. } => "healed",
        // Only readers make it.
        ClusterEvent::Missed(_) => "missed",
    }
}

pub(super) fn broadcasts_of(node: &Node) -> BTreeMap<String, Broadcast> {
    node.broadcasts().map(|(key, broadcast)| (key.to_owned(), broadcast.clone())).collect()
}
