//! Two nodes with one address or one id: the one that was started later stops.
//!
//! From gossip alone this can't be told from a restart, where a later life has rightly taken the place of the earlier. The
//! difference is that the earlier one is still alive, and that it alone knows for certain. So a node that hears of a
//! later life of its own id, or of another node at its own address, goes there and says hello; and one whose address is
//! not the one that it has bound looks who answers there. In the hello both say when they were started, and both draw the
//! same conclusion. The later one stops without a word to the others, for its leave would be taken for the other's; the
//! earlier one takes a generation that beats the later's.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tracing::error;

use super::driver::Gossip;
use crate::{ClusterEvent, swim::Identity};

/// How often somebody is looked for at an address.
const TRIES: u8 = 5;
/// Addresses at which somebody is looked for; further ones are not.
const MOST: usize = 16;

/// One life of a process: when it was started (its first generation), and a random number that tells two apart which were
/// started in the same millisecond. It stays the same when the generation rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) started: u64,
    pub(super) nonce: u64,
}

/// Who two nodes that say hello are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Peers,
    Ourselves,
    /// The other one has our address or id, and was there before us.
    TheyWereFirst,
    /// The other one has our address or id, and was started after us.
    WeWereFirst,
}

pub(super) fn relation(ours: (&Identity, Life), theirs: (&Identity, Life)) -> Relation {
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

/// Where rivals may be found.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    addrs: BTreeMap<SocketAddr, u8>,
    /// The last one that users were told of.
    told: Option<Identity>,
    stopped: bool,
}

impl Rivals {
    pub(super) fn look_at(&mut self, addr: SocketAddr) {
        if self.addrs.len() < MOST {
            self.addrs.insert(addr, 0);
        }
    }

    /// Whom to ask now.
    pub(super) fn next(&mut self) -> Vec<SocketAddr> {
        self.addrs.retain(|_, tries| *tries < TRIES);
        self.addrs.values_mut().for_each(|tries| *tries += 1);
        self.addrs.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addrs.is_empty()
    }

    /// It is known who is there.
    pub(super) fn seen(&mut self, addr: SocketAddr) {
        self.addrs.remove(&addr);
    }

    /// This node stops. Whether that is new.
    pub(super) fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.stopped, true)
    }

    /// Whether this is news.
    pub(super) fn tell(&mut self, theirs: Identity) -> bool {
        !self.told.replace(theirs).is_some_and(|told| told.same_node(&theirs))
    }
}

impl Gossip {
    /// Tells users once of each.
    pub(super) fn tell_conflict(&self, ours: Identity, theirs: Identity) {
        if self.rivals().tell(theirs) {
            error!(%ours, %theirs, "another node uses this one's address or id");
            self.send(ClusterEvent::IdentityConflict { ours, theirs });
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
        self.send(ClusterEvent::IdentityConflict { ours, theirs });
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
            let one = |(host, id, started, nonce)| (identity(host, id), Life { started, nonce });
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
