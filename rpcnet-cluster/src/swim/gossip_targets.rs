//! Whom news is sent to.
//!
//! SWIM sends it to random members. Over QUIC a packet to a peer without a connection costs a handshake, about a thousand
//! times what the packet does, so news goes to those members that there are connections to. These make a random graph:
//! each node dials random members until it has enough connections, and probes, which go to all members in turn, leave
//! connections behind. A random graph with more than ln n neighbours a node is connected, but for unlikely cases (Erdős,
//! Rényi, *On random graphs*, 1959); those, anti-entropy with random members makes good. HyParView (Leitão, Pereira,
//! Rodrigues, 2007) keeps such a graph on purpose.

use std::collections::BTreeSet;

use rand::{Rng, seq::SliceRandom};

use super::{
    identity::{Identity, NodeId},
    node::Node,
    view::View,
    wire::MAX_MEMBERS,
};

/// Neighbours beyond ln n: some that are counted have just crashed.
const SPARE: usize = 3;

/// The peers that there are connections to.
#[derive(Debug, Default)]
pub(super) struct GossipTargets {
    // At most `MAX_MEMBERS`.
    linked: BTreeSet<NodeId>,
    /// Whose turn comes next: the last one's. In random order, so that each has news before one has it again.
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
        // One that had its turn shortly before may come again in the new order: twice at most.
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

/// How many connections make news reach all in a cluster of `nodes`.
fn enough(nodes: usize) -> usize {
    (nodes as f64).ln().ceil() as usize + SPARE
}

impl Node {
    /// Tells which peers can be sent to at little cost, because there are connections to them: news goes to these rather
    /// than to others once they are enough, somewhat more than ln n. To be told anew whenever they change. Without it all
    /// members count as alike.
    pub(crate) fn set_linked(&mut self, peers: BTreeSet<NodeId>) {
        self.near.set(peers);
    }

    /// Whom to send news to now: at most [`gossip_fanout`](super::Config::with_gossip_fanout) peers with connections, one
    /// fewer while there are not enough of them. What is missing is made up by random members.
    pub(super) fn news_to_near(&mut self) -> Vec<Identity> {
        let fanout = self.config.gossip_fanout();
        let few = self.near.linked.len() < enough(self.active_count()).min(self.others());
        let count = if few { fanout.saturating_sub(1) } else { fanout };
        self.near.next(count, &self.view, &mut self.rng)
    }

    /// A random peer, one with a connection if there is any.
    pub(super) fn near_peer(&mut self) -> Option<Identity> {
        let near = self.near.next(1, &self.view, &mut self.rng).pop();
        near.or_else(|| self.random_peer())
    }
}
