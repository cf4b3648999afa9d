//! The weather on all paths, as the faults at work have it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rpcnet_tests::weather::Weather;

use crate::schedule::Way;

/// Shared by all proxies. Nodes are told apart by the addresses that they send from: what comes from any other is a
/// client's.
#[derive(Debug)]
pub(crate) struct Sky(Mutex<State>);

#[derive(Debug)]
struct State {
    nodes: Vec<Conditions>,
    /// The nodes that are split from the others, a fault each.
    splits: Vec<Vec<usize>>,
    sources: HashMap<SocketAddr, usize>,
}

/// The weather at a node.
#[derive(Debug, Clone, Copy, Default)]
struct Conditions {
    inward: Weather,
    outward: Weather,
    clients: Weather,
}

impl Sky {
    pub(crate) fn new(nodes: usize) -> Self {
        let nodes = vec![Conditions::default(); nodes];
        Self(Mutex::new(State { nodes, splits: Vec::new(), sources: HashMap::new() }))
    }

    /// From now on this node sends from there.
    pub(crate) fn sends_from(&self, node: usize, source: SocketAddr) {
        let mut state = self.state();
        state.sources.retain(|_, other| *other != node);
        state.sources.insert(source, node);
    }

    /// The weather of a node's packets.
    pub(crate) fn set(&self, node: usize, way: Way, weather: Weather) {
        let conditions = &mut self.state().nodes[node];
        if way != Way::Out {
            conditions.inward = weather;
        }
        if way != Way::In {
            conditions.outward = weather;
        }
    }

    /// The weather between clients and a node.
    pub(crate) fn set_for_clients(&self, node: usize, weather: Weather) {
        self.state().nodes[node].clients = weather;
    }

    /// Splits these nodes from the others.
    pub(crate) fn split(&self, nodes: &[usize]) {
        self.state().splits.push(nodes.to_vec());
    }

    /// Takes that back.
    pub(crate) fn heal(&self, nodes: &[usize]) {
        self.state().splits.retain(|split| split != nodes);
    }

    /// The weather from a peer to a node.
    pub(crate) fn towards(&self, node: usize, peer: SocketAddr) -> Weather {
        let state = self.state();
        let own = state.nodes[node];
        own.inward.and(match state.beyond(node, peer) {
            Beyond::Client => own.clients,
            Beyond::Node(other) => state.nodes[other].outward,
            Beyond::Split => Weather::CUT,
        })
    }

    /// The weather from a node to a peer that has dialled it.
    pub(crate) fn back(&self, node: usize, peer: SocketAddr) -> Weather {
        let state = self.state();
        let own = state.nodes[node];
        own.outward.and(match state.beyond(node, peer) {
            Beyond::Client => own.clients,
            Beyond::Node(other) => state.nodes[other].inward,
            Beyond::Split => Weather::CUT,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Beyond {
    Client,
    Node(usize),
    /// A node on the other side of a split.
    Split,
}

impl State {
    fn beyond(&self, node: usize, peer: SocketAddr) -> Beyond {
        match self.sources.get(&peer) {
            None => Beyond::Client,
            Some(other) if self.splits.iter().any(|split| split.contains(&node) != split.contains(other)) => {
                Beyond::Split
            }
            Some(&other) => Beyond::Node(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn sky() -> Sky {
        let sky = Sky::new(3);
        (0..3).for_each(|node| sky.sends_from(node, addr(node as u16)));
        sky
    }

    const CLIENT: u16 = 99;

    #[test]
    fn a_cut_holds_for_what_a_node_sends_itself_too() {
        let sky = sky();
        sky.set(1, Way::Out, Weather::CUT);
        let good = Weather::default();
        // Answers of node 1, and packets that it sends to others.
        assert_eq!([sky.back(1, addr(0)), sky.towards(0, addr(1))], [Weather::CUT; 2]);
        assert_eq!([sky.towards(1, addr(0)), sky.back(0, addr(1))], [good; 2]);
        assert_eq!([sky.towards(1, addr(CLIENT)), sky.back(1, addr(CLIENT))], [good, Weather::CUT]);
        sky.set(1, Way::Both, good);
        assert_eq!(sky.back(1, addr(0)), good);
    }

    #[test]
    fn a_split_is_between_nodes() {
        let sky = sky();
        sky.split(&[0, 2]);
        assert_eq!(sky.towards(1, addr(0)), Weather::CUT);
        assert_eq!(sky.back(0, addr(1)), Weather::CUT);
        assert_eq!(sky.towards(2, addr(0)), Weather::default());
        assert_eq!(sky.towards(1, addr(CLIENT)), Weather::default());
        sky.heal(&[0, 2]);
        assert_eq!(sky.towards(1, addr(0)), Weather::default());
    }

    #[test]
    fn clients_are_whoever_is_no_node() {
        let sky = sky();
        sky.set_for_clients(0, Weather::CUT);
        assert_eq!(sky.towards(0, addr(CLIENT)), Weather::CUT);
        assert_eq!(sky.towards(0, addr(1)), Weather::default());
        // Another life of node 1 has another port: then this one is nobody's.
        sky.sends_from(1, addr(11));
        assert_eq!(sky.towards(0, addr(1)), Weather::CUT);
        assert_eq!(sky.towards(0, addr(11)), Weather::default());
    }
}
