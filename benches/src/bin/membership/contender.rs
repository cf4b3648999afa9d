//! The interface by which a membership is measured, and its implementation for rpcnet.

use std::time::Instant;

use rand::rngs::StdRng;
use rpcnet_cluster::{
    MemberState, NodeId,
    swim::{Config, Event},
    testing::engine::{Host, Process},
};

/// An observer's state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Alive,
    Suspect,
    Down,
    /// Down, and known to have left of its own will.
    Left,
}

/// A membership that is measured. All scenarios are written against this trait.
pub(crate) trait Contender: Host + Sized {
    /// A node of a cluster of `count` nodes that joins through host 0. If `warm`, it may know all other nodes from the
    /// start, where the implementation can do that.
    fn start(index: usize, count: usize, warm: bool, rng: &mut StdRng, now: Instant) -> Self;

    /// The number of nodes that this node holds active, itself included. Cheap.
    fn active(&self) -> usize;

    /// The number of nodes that this node holds alive and not suspect, itself included. Counted at each call.
    fn alive(&self) -> usize;

    /// This node's state of the node `of`.
    fn holds(&self, of: usize) -> Option<Held>;

    fn leave(&mut self, now: Instant);

    /// The nodes that this node has reported down since the last call.
    fn take_downs(&mut self) -> Vec<usize>;

    /// A number that grows whenever the node had to take a new identity.
    fn generation(&self) -> u64;
}

/// rpcnet's node, with one configuration for all rows.
pub(crate) type Ours = Process;

impl Contender for Process {
    fn start(index: usize, _: usize, _: bool, rng: &mut StdRng, now: Instant) -> Self {
        // The generation is one that a clock would make, because these have a shorter form on the wire.
        let generation = 1_800_000_000_000;
        Self::new((index, id_of(index), generation), Config::new_lan(), [0], rng, now)
    }

    fn active(&self) -> usize {
        self.node().active_count()
    }

    fn alive(&self) -> usize {
        self.node().members().filter(|member| member.state() == MemberState::Alive).count()
    }

    fn holds(&self, of: usize) -> Option<Held> {
        self.node().member(id_of(of)).map(|member| match member.state() {
            MemberState::Alive => Held::Alive,
            MemberState::Suspect => Held::Suspect,
            MemberState::Down => Held::Down,
            MemberState::Left => Held::Left,
        })
    }

    fn leave(&mut self, now: Instant) {
        self.node_mut().leave(now);
    }

    fn take_downs(&mut self) -> Vec<usize> {
        std::iter::from_fn(|| self.poll_event())
            .filter_map(|event| match event {
                Event::NodeFailed(member) => Some(member.id().as_u128() as usize - 1),
                _ => None,
            })
            .collect()
    }

    fn generation(&self) -> u64 {
        self.node().identity().generation()
    }
}

fn id_of(index: usize) -> NodeId {
    NodeId::from_u128(index as u128 + 1)
}
