//! Peers from a snapshot, which the node asks like seeds until they are members again.
//!
//! Each round asks a few, in turn: first those that belonged to the cluster, then the others. A node that is alone gives up
//! none. A node that knows members gives up each after some rounds, because those members belong to the same cluster. So
//! the islands that grow out of a cluster that was down come together, and nodes that are gone for good are not asked for
//! ever.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
};

use rand::{Rng, seq::SliceRandom};

use crate::swim::{Identity, MAX_MEMBERS, Member, NodeId};

/// The number of peers that one round asks.
const ASKED: usize = 8;
/// The number of times that a node which knows members asks one peer.
const TRIES: u8 = 10;

#[derive(Debug, Default)]
pub(super) struct KnownPeers {
    // At most `MAX_MEMBERS`.
    nodes: VecDeque<KnownPeer>,
}

#[derive(Debug)]
struct KnownPeer {
    identity: Identity,
    active: bool,
    tries: u8,
}

impl KnownPeers {
    /// Adds nodes, each with whether it belonged to the cluster. Returns the number of new ones.
    pub(super) fn add(
        &mut self,
        nodes: impl IntoIterator<Item = (Identity, bool)>,
        rng: &mut impl Rng,
    ) -> usize {
        let before = self.nodes.len();
        let mut addrs: HashSet<SocketAddr> = self.nodes.iter().map(|known| known.identity.addr()).collect();
        for (identity, active) in nodes {
            if self.nodes.len() >= MAX_MEMBERS {
                break;
            }
            if addrs.insert(identity.addr()) {
                self.nodes.push_back(KnownPeer { identity, active, tries: 0 });
            }
        }
        let nodes = self.nodes.make_contiguous();
        nodes.shuffle(rng);
        nodes.sort_by_key(|known| !known.active);
        self.nodes.len() - before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (Identity, bool)> {
        self.nodes.iter().map(|known| (known.identity, known.active))
    }

    /// Returns the addresses to ask now. Forgets peers that have become members.
    pub(super) fn next(&mut self, members: &[Member], alone: bool) -> Vec<SocketAddr> {
        let ids: HashSet<NodeId> = members.iter().map(Member::id).collect();
        let addrs: HashSet<SocketAddr> = members.iter().map(|member| member.identity().addr()).collect();
        self.nodes.retain(|node| {
            let known = ids.contains(&node.identity.id()) || addrs.contains(&node.identity.addr());
            !known && (alone || node.tries < TRIES)
        });
        let count = self.nodes.len().min(ASKED);
        let mut asked = Vec::with_capacity(count);
        for mut node in self.nodes.drain(..count).collect::<Vec<_>>() {
            node.tries = node.tries.saturating_add(1);
            asked.push(node.identity.addr());
            self.nodes.push_back(node);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::swim::{Config, Node};

    fn identity(index: u8) -> Identity {
        Identity::new(([10, 0, 0, index], 7946).into(), NodeId::from_u128(index.into()), 1)
    }

    fn known_peers(count: u8) -> KnownPeers {
        let mut known_peers = KnownPeers::default();
        let nodes = (0..count).map(|index| (identity(index), index % 2 == 0));
        known_peers.add(nodes, &mut StdRng::seed_from_u64(1));
        known_peers
    }

    #[test]
    fn all_are_asked_in_their_turn_the_active_ones_first() {
        let mut nodes = known_peers(24);
        let rounds: Vec<_> = (0..3).map(|_| nodes.next(&[], true)).collect();
        assert!(rounds.iter().all(|round| round.len() == ASKED));
        let even =
            |addr: &SocketAddr| matches!(addr.ip(), std::net::IpAddr::V4(ip) if ip.octets()[3] % 2 == 0);
        let first: Vec<_> = rounds.concat().into_iter().take(12).collect();
        assert!(first.iter().all(even));
        let mut all = rounds.concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 24);
    }

    #[test]
    fn nobody_is_given_up_by_a_node_that_is_alone() {
        let mut nodes = known_peers(1);
        assert!((0..1000).all(|_| nodes.next(&[], true).len() == 1));
        assert!(nodes.next(&[], false).is_empty() && nodes.is_empty());
        let mut nodes = known_peers(1);
        assert_eq!((0..1000).filter(|_| !nodes.next(&[], false).is_empty()).count(), usize::from(TRIES));
    }

    #[test]
    fn members_are_not_asked() {
        let mut nodes = known_peers(3);
        #[expect(clippy::disallowed_methods, reason = "an `Instant` can't be made from a number")]
        let now = std::time::Instant::now();
        let node = Node::new(identity(1), Config::new_lan(), 1, now);
        let members: Vec<_> = node.members().cloned().collect();
        assert_eq!(nodes.next(&members, true).len(), 2);
        assert_eq!(nodes.add([(identity(0), true), (identity(5), true)], &mut StdRng::seed_from_u64(1)), 1);
    }
}
