//! What a membership has to be and tell in order to be measured, and ours.

use std::time::Instant;

use rand::rngs::StdRng;
use rpcnet_cluster::{
    MemberState, NodeId,
    swim::{Config, Event},
    testing::engine::{Host, Process},
};

/// How an observer holds a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Alive,
    Suspect,
    Down,
    /// Down, and known to have left of its own will.
    Left,
}

/// A membership that is measured. All scenarios are written against this.
pub(crate) trait Contender: Host + Sized {
    /// A node of a cluster of `count` that joins through host 0. `warm`: it may know all the others from the start,
    /// where it can.
    fn start(index: usize, count: usize, warm: bool, rng: &mut StdRng, now: Instant) -> Self;

    /// How many nodes it takes for active, itself included. Cheap.
    fn active(&self) -> usize;

    /// How many nodes it takes for alive and not suspect, itself included. Counted at each call.
    fn alive(&self) -> usize;

    /// How it holds the node of this index.
    fn holds(&self, of: usize) -> Option<Held>;

    fn leave(&mut self, now: Instant);

    /// The nodes that it has reported down since the last call.
    fn take_downs(&mut self) -> Vec<usize>;

    /// Grows whenever it had to take a new identity.
    fn generation(&self) -> u64;
}

/// Our node, with the one configuration of all rows.
pub(crate) type Ours = Process;

impl Contender for Process {
    fn start(index: usize, _: usize, _: bool, rng: &mut StdRng, now: Instant) -> Self {
        // Generations that a clock would make, as their form on the wire is shorter.
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
