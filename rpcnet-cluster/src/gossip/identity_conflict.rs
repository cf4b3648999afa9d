//! Conflicts of two nodes with one address or one id: the node that was started later stops.
//!
//! A *life* of a node is one run of its process. Gossip alone can't tell a conflict from a restart, in which a later life
//! rightly replaces the earlier one. In a conflict the earlier life is still alive, and only that node knows for certain. So
//! a node dials an address and exchanges hellos in two cases:
//!
//! - it hears of a later life of its own id, or of another node at its own address;
//! - its advertised address is not the bound one.
//!
//! The hello contains the start of each life, so that both nodes draw the same conclusion. The later one stops and sends no
//! leave, which the others would take for the earlier one's. The earlier one takes a generation that beats the later one's.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tracing::error;

use super::driver::Gossip;
use crate::{ClusterEvent, swim::Identity};

/// The number of times that an address is asked for a rival.
const TRIES: u8 = 5;
/// The most addresses that are asked for rivals. Further ones are not asked.
const MOST: usize = 16;

/// One life of a process: when it was started (its first generation), and a random number that tells two apart which were
/// started in the same millisecond. It stays the same when the generation rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ProcessLife {
    pub(super) started: u64,
    pub(super) nonce: u64,
}

/// The relation between two nodes that exchange hellos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Peers,
    Ourselves,
    /// The other node has this one's address or id, and was started earlier.
    TheyWereFirst,
    /// The other node has this one's address or id, and was started later.
    WeWereFirst,
}

pub(super) fn relation(ours: (&Identity, ProcessLife), theirs: (&Identity, ProcessLife)) -> Relation {
    let ((identity, life), (other, other_life)) = (ours, theirs);
    if life == other_life {
        Relation::Ourselves
    } else if identity.id() != other.id() && identity.addr() != other.addr() {
        Relation::Peers
    } else if other_life < life {
        Relation::TheyWereFirst
    } else {
        Relation::WeWereFirst
    }
}

/// The addresses at which rivals may be found.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    addrs: BTreeMap<SocketAddr, u8>,
    /// The last rival that was reported to users.
    told: Option<Identity>,
    stopped: bool,
}

impl Rivals {
    pub(super) fn look_at(&mut self, addr: SocketAddr) {
        if self.addrs.len() < MOST {
            self.addrs.insert(addr, 0);
        }
    }

    /// Returns the addresses to ask now.
    pub(super) fn next(&mut self) -> Vec<SocketAddr> {
        self.addrs.retain(|_, tries| *tries < TRIES);
        self.addrs.values_mut().for_each(|tries| *tries += 1);
        self.addrs.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addrs.is_empty()
    }

    /// Removes an address whose node is known now.
    pub(super) fn seen(&mut self, addr: SocketAddr) {
        self.addrs.remove(&addr);
    }

    /// Notes that this node stops. Returns whether that is new.
    pub(super) fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.stopped, true)
    }

    /// Notes a rival. Returns whether it has not been reported yet.
    pub(super) fn tell(&mut self, theirs: Identity) -> bool {
        !self.told.replace(theirs).is_some_and(|told| told.same_node(&theirs))
    }
}

impl Gossip {
    /// Reports a conflict to users, once for each rival.
    pub(super) fn tell_conflict(&self, ours: Identity, theirs: Identity) {
        if self.rivals().tell(theirs) {
            error!(%ours, %theirs, "another node uses this one's address or id");
            self.send(ClusterEvent::IdentityConflict { ours, theirs });
        }
    }

    /// Lets the next round ask this address for a node with this one's address or id.
    pub(super) fn look_for_rival(&self, addr: SocketAddr) {
        self.rivals().look_at(addr);
        self.restored.notify_one();
    }

    /// Stops this node, because another one with its address or id was there first. It sends no leave, which the others would
    /// take for the other node's.
    pub(super) fn stop(&self, theirs: Identity) {
        let ours = self.identity();
        if !self.rivals().stop() {
            return;
        }
        error!(%ours, %theirs, "another node with this one's address or id was there first: this one stops");
        self.send(ClusterEvent::IdentityConflict { ours, theirs });
        self.closed.cancel();
        // Its knowledge of the others grows old. Nothing is published after this.
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

    /// Reasserts this node against another one with its address or id that was started later and stops now. The others may
    /// have taken this node for an earlier life of that one.
    pub(super) fn hold_against(&self, theirs: Identity) {
        self.tell_conflict(self.identity(), theirs);
        self.act(|node, now| node.reassert(now, theirs));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::swim::NodeId;

    fn identity(host: u8, id: u128) -> Identity {
        Identity::new(([10, 0, 0, host], 7946).into(), NodeId::from_u128(id), 1)
    }

    proptest! {
        #[test]
        fn both_draw_the_same_conclusion(
            a in (0..2u8, 0..2u128, 0..2u64, 0..2u64),
            b in (0..2u8, 0..2u128, 0..2u64, 0..2u64),
        ) {
            let one = |(host, id, started, nonce)| (identity(host, id), ProcessLife { started, nonce });
            let (a, b) = (one(a), one(b));
            let (ours, theirs) = (relation((&a.0, a.1), (&b.0, b.1)), relation((&b.0, b.1), (&a.0, a.1)));
            let expected = match ours {
                Relation::TheyWereFirst => Relation::WeWereFirst,
                Relation::WeWereFirst => Relation::TheyWereFirst,
                same => same,
            };
            prop_assert_eq!(theirs, expected);
        }
    }

    #[test]
    fn looking_ends() {
        let mut rivals = Rivals::default();
        let addr = identity(1, 1).addr();
        rivals.look_at(addr);
        assert_eq!((0..100).filter(|_| rivals.next() == [addr]).count(), usize::from(TRIES));
        assert!(rivals.is_empty());
        rivals.look_at(addr);
        assert_eq!(rivals.next(), [addr]);
        rivals.seen(addr);
        assert!(rivals.next().is_empty());
        for port in 0..100 {
            rivals.look_at(([10, 0, 0, 1], port).into());
        }
        assert_eq!(rivals.next().len(), MOST);
    }
}
