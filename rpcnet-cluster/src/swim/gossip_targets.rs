//! The choice of members that news is sent to.
//!
//! SWIM sends news to random members. Over QUIC, a packet to a peer without a connection costs a handshake, about a
//! thousand times as much as the packet. So news goes to the members that this node has connections to. These
//! connections form a random graph: each node dials random members until it has enough connections, and probes, which
//! go to all members in turn, leave connections behind.
//!
//! A random graph with more than ln n neighbours a node is connected with high probability (Erdős, Rényi, *On random
//! graphs*, 1959). In the unlikely other cases, anti-entropy with random members delivers the news. HyParView (Leitão,
//! Pereira, Rodrigues, 2007) keeps such a graph on purpose.

use std::collections::BTreeSet;

use rand::{Rng, seq::SliceRandom};

use super::{
    identity::{Identity, NodeId},
    node::Node,
    view::View,
    wire::MAX_MEMBERS,
};

/// The number of neighbours beyond ln n: some of the counted neighbours may have just crashed.
const SPARE: usize = 3;

/// The peers that there are connections to.
#[derive(Debug, Default)]
pub(super) struct GossipTargets {
    // At most `MAX_MEMBERS`.
    linked: BTreeSet<NodeId>,
    /// Peers with connections in random order, the next one last. Each has news once before any has it again.
    turns: Vec<NodeId>,
}

impl GossipTargets {
    pub(super) fn set(&mut self, linked: BTreeSet<NodeId>) {
        self.linked = linked;
        while self.linked.len() > MAX_MEMBERS {
            self.linked.pop_last();
        }
    }

    /// The next `count` active members with a connection, or fewer.
    fn next(&mut self, count: usize, view: &View, rng: &mut impl Rng) -> Vec<Identity> {
        let mut chosen = Vec::with_capacity(count);
        // Refilled at most once, so that the loop ends. A member that had its turn just before may come again in the
        // new order.
        let mut refilled = false;
        while chosen.len() < count {
            let Some(id) = self.turns.pop() else {
                if std::mem::replace(&mut refilled, true) {
                    break;
                }
                self.turns.extend(&self.linked);
                self.turns.shuffle(rng);
                continue;
            };
            let active = view.member(id).filter(|member| member.state().is_active());
            if let Some(member) = active.filter(|_| self.linked.contains(&id))
                && !chosen.contains(&member.identity())
            {
                chosen.push(member.identity());
            }
        }
        chosen
    }
}

/// The number of connections at each node with which news reaches all nodes in a cluster of `nodes`.
fn enough(nodes: usize) -> usize {
    (nodes as f64).ln().ceil() as usize + SPARE
}

impl Node {
    /// Sets the peers that this node has connections to, which makes packets to them cheap.
    ///
    /// Once there are enough of these peers, somewhat more than ln n, news goes to them rather than to other members.
    /// Call this whenever the connections change. Until the first call all members count as alike.
    pub(crate) fn set_linked(&mut self, peers: BTreeSet<NodeId>) {
        self.near.set(peers);
    }

    /// The members to send news to now: at most [`gossip_fanout`](super::Config::with_gossip_fanout) peers with
    /// connections, or one fewer while there are not enough connections. Random members make up for the missing ones.
    pub(super) fn news_to_near(&mut self) -> Vec<Identity> {
        let fanout = self.config.gossip_fanout();
        let few = self.near.linked.len() < enough(self.active_count()).min(self.others());
        let count = if few { fanout.saturating_sub(1) } else { fanout };
        self.near.next(count, &self.view, &mut self.rng)
    }

    /// A random active peer: one with a connection if there is any.
    pub(super) fn near_peer(&mut self) -> Option<Identity> {
        let near = self.near.next(1, &self.view, &mut self.rng).pop();
        near.or_else(|| self.random_peer())
    }
}
