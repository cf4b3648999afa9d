//! What users see of a node: its events, its view, its broadcasts, its metrics.

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

/// How old what is measured may become.
const MEASURED: Duration = Duration::from_secs(2);

/// What has been published, and what has been made of it.
#[derive(Debug)]
pub(super) struct Publisher {
    /// The node has more to say when its revision is another, or when it is another node, made anew under the address
    /// that was learnt, whose revisions count from the start.
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
    /// Sends what the node wants sent, and tells what has happened to it.
    pub(super) fn flush(self: &Arc<Self>, publisher: &mut Publisher) {
        let linked = self.links.changed_peers();
        let mut transmits = Vec::new();
        let mut happened = Vec::new();
        let (view, broadcasts, active) = {
            let mut node = self.node();
            if let Some(linked) = linked {
                node.set_linked(linked);
            }
            // Until others can reach us there is nobody to send to.
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
            // A node that has stopped knows nobody.
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

    /// What costs too much to be counted at each change.
    fn measure(&self, now: Instant, shown: &mut BTreeSet<String>) {
        let statistics = self.node().statistics();
        self.metrics.statistics(&statistics, now);
        self.metrics.waiting("packets", self.packets.max_capacity() - self.packets.capacity());
        self.metrics.waiting("streams", self.links.streams_in_use());
        self.metrics.links(&self.links.round_trips(), shown);
    }

    /// How long the broadcasts that are new took to get here. Those that are older than this node say nothing of that.
    fn measure_lag(&self, before: &Broadcasts, after: &Broadcasts) {
        let (own, now) = (self.identity().id(), unix_millis());
        for (key, broadcast) in after.iter().filter(|(_, broadcast)| broadcast.origin() != own) {
            if broadcast.version() >= self.life.started && before.get(key) != Some(broadcast) {
                let lag = Duration::from_millis(now.saturating_sub(broadcast.version()));
                self.metrics.broadcast_arrived(lag);
            }
        }
    }

    /// To whoever listens.
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
                // It is later, and may be the same node started anew somewhere else, if it weren't for us.
                let there = if theirs.id() == ours.id() { theirs.addr() } else { ours.addr() };
                self.look_for_rival(there);
                return self.tell_conflict(ours, theirs);
            }
        };
        self.send(event);
    }
}

/// What an event is called in metrics.
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
        // A reader's own.
        ClusterEvent::Missed(_) => "missed",
    }
}

pub(super) fn broadcasts_of(node: &Node) -> BTreeMap<String, Broadcast> {
    node.broadcasts().map(|(key, broadcast)| (key.to_owned(), broadcast.clone())).collect()
}
