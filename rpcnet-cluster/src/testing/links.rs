//! The connections that a simulated node would have.
//!
//! A packet to a peer without a connection takes a handshake. The handshake itself is not simulated, but the connection
//! that exists afterwards at both ends is. The packet's receiver tells the sender of it, and does so again now and then
//! while packets come, as acknowledgements do.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::swim::{Identity, NodeId};

/// The most connections, as a node keeps by default.
const MOST: usize = 256;
/// The time without a packet from the peer after which a connection counts as closed.
const IDLE: Duration = Duration::from_secs(30);
/// The interval at which packets are acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct SimulatedLinks {
    open: BTreeMap<NodeId, SimulatedLink>,
    changed: bool,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct SimulatedLink {
    heard: Instant,
    acknowledged: Option<Instant>,
}

impl SimulatedLinks {
    /// Notes that something has come from this peer.
    pub(super) fn hear(&mut self, now: Instant, from: &Identity) {
        self.link(now, from);
    }

    /// Notes that a packet has come from this peer. Returns whether it is to be acknowledged.
    pub(super) fn receive(&mut self, now: Instant, from: &Identity) -> bool {
        let link = self.link(now, from);
        let due = link.acknowledged.is_none_or(|at| now.saturating_duration_since(at) >= ACKNOWLEDGED);
        if due {
            link.acknowledged = Some(now);
        }
        due
    }

    fn link(&mut self, now: Instant, from: &Identity) -> &mut SimulatedLink {
        if !self.open.contains_key(&from.id()) {
            self.changed = true;
            if self.open.len() >= MOST {
                let oldest = self.open.iter().min_by_key(|(_, link)| link.heard).map(|(id, _)| *id);
                oldest.and_then(|id| self.open.remove(&id));
            }
        }
        let link = self.open.entry(from.id()).or_insert(SimulatedLink { heard: now, acknowledged: None });
        link.heard = now;
        link
    }

    /// The peers that there are connections to, if they have changed.
    pub(super) fn changed(&mut self, now: Instant) -> Option<BTreeSet<NodeId>> {
        if self.looked.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1)) {
            self.looked = Some(now);
            let before = self.open.len();
            self.open.retain(|_, link| now.saturating_duration_since(link.heard) < IDLE);
            self.changed |= self.open.len() < before;
        }
        std::mem::take(&mut self.changed).then(|| self.open.keys().copied().collect())
    }
}
