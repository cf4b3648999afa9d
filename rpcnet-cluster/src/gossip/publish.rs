//! What users see of a node: its events, its view, and what of it goes into a snapshot.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::driver::{Broadcasts, Gossip, View, now};
use crate::{
    ClusterEvent, ClusterSnapshot,
    partition::{Detector, Finding},
    snapshot::Saved,
    swim::{self, Broadcast, Event, Identity, Node},
};

/// What has been published, and what has been made of it.
#[derive(Debug)]
pub(super) struct Publisher {
    /// The node has more to say when its revision is another, or when it is another node, made anew under the address
    /// that was learnt, whose revisions count from the start.
    published: Option<(Identity, u64)>,
    broadcasts: u64,
    detector: Detector,
}

impl Publisher {
    pub(super) fn new(config: &swim::Config) -> Self {
        Self { published: None, broadcasts: 0, detector: Detector::new(config.partition_window()) }
    }
}

impl Gossip {
    /// Sends what the node wants sent, and tells what has happened to it.
    pub(super) fn flush(self: &Arc<Self>, publisher: &mut Publisher) {
        let mut transmits = Vec::new();
        let mut happened = Vec::new();
        let (view, broadcasts, active) = {
            let mut node = self.node();
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
            let revision = node.broadcasts_revision();
            let broadcasts = (std::mem::replace(&mut publisher.broadcasts, revision) != revision)
                .then(|| Arc::new(broadcasts_of(&node)));
            (view, broadcasts, node.active_count())
        };
        for transmit in transmits {
            super::links::send(self, transmit);
        }
        if let Some(view) = view {
            self.metrics.view(view.iter());
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
            self.broadcasts.send_replace(broadcasts);
        }
        let now = now();
        for event in happened {
            publisher.detector.handle(now, &event);
            self.tell(event);
        }
        if let Some(found) = publisher.detector.look(now, active) {
            self.tell_finding(found);
        }
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
        let _ = self.events.send(event);
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
            Event::TagsChanged(member) => ClusterEvent::TagsChanged(member),
            Event::Renewed(identity) => {
                info!(%identity, "others took this node for dead; it goes on under a new generation");
                return;
            }
            Event::IdentityConflict { ours, theirs } => {
                // It is later, and may be the same node started anew somewhere else, if it weren't for us.
                let there = if theirs.id() == ours.id() { theirs.addr() } else { ours.addr() };
                self.look_for_rival(there);
                return self.tell_conflict(ours, theirs);
            }
        };
        // Nobody may listen.
        let _ = self.events.send(event);
    }

    fn tell_conflict(&self, ours: Identity, theirs: Identity) {
        if self.rivals().tell(theirs) {
            error!(%ours, %theirs, "another node uses this one's address or id");
            let _ = self.events.send(ClusterEvent::IdentityConflict { ours, theirs });
        }
    }

    /// Looks, in the next round, whether another node with our address or id is there.
    pub(super) fn look_for_rival(&self, addr: SocketAddr) {
        self.rivals().look_at(addr);
        self.restored.notify_one();
    }

    /// Another node with our address or id was there before us: this one stops, without a word that could be taken for
    /// the other's.
    pub(super) fn stop(&self, theirs: Identity) {
        let ours = self.identity();
        if !self.rivals().stop() {
            return;
        }
        error!(%ours, %theirs, "another node with this one's address or id was there first: this one stops");
        let _ = self.events.send(ClusterEvent::IdentityConflict { ours, theirs });
        self.closed.cancel();
        // What it knew of others is nobody's business any more, and grows old. Nothing is published after this.
        self.view.send_modify(|view| *view = view.iter().take(1).cloned().collect());
        self.stopped.send_replace(Some((ours, theirs)));
    }

    pub(crate) async fn until_stopped(&self) -> (Identity, Identity) {
        let mut stopped = self.stopped.subscribe();
        let conflict = stopped.wait_for(Option::is_some).await.ok().and_then(|stopped| *stopped);
        match conflict {
            Some(conflict) => conflict,
            None => std::future::pending().await,
        }
    }

    /// Another node with our address or id was started after us, and stops now that it knows. Others have taken us for
    /// its past.
    pub(super) fn hold_against(&self, theirs: Identity) {
        self.tell_conflict(self.identity(), theirs);
        self.act(|node, now| node.reassert(now, theirs));
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
        let broadcasts = broadcasts_of(&node);
        drop(node);
        members.extend(self.remembered().nodes());
        Saved {
            cluster: self.cluster.clone(),
            id: own.id(),
            generation: own.generation(),
            tags,
            members,
            broadcasts,
        }
    }

    /// What [`restore`](Self::restore) takes.
    pub(crate) fn snapshot(&self) -> ClusterSnapshot {
        let node = self.node();
        ClusterSnapshot {
            seen_by: node.identity().id(),
            members: node.members().cloned().collect(),
            broadcasts: broadcasts_of(&node),
        }
    }

    pub(crate) fn broadcast_values(&self) -> watch::Receiver<Broadcasts> {
        self.broadcasts.subscribe()
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
        let broadcasts = snapshot.broadcasts.clone();
        self.act(|node, now| node.restore_broadcasts(now, broadcasts));
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

fn broadcasts_of(node: &Node) -> BTreeMap<String, Broadcast> {
    node.broadcasts().map(|(key, broadcast)| (key.to_owned(), broadcast.clone())).collect()
}
