use std::net::SocketAddr;

use super::sim::{Sim, secs};
use crate::swim::{Config, Event, MemberState, Node, NodeId};

/// Another address of the same host: the simulator tells hosts by the last two numbers.
fn address(network: u8, index: usize) -> SocketAddr {
    ([10, network, 0, index as u8 + 1], 7946).into()
}

fn check_move(seed: u64, count: usize, loss: f64) {
    let mut sim = Sim::cluster(seed, Config::new_lan(), count, secs(10));
    assert!(sim.all_list(count));
    sim.loss = loss;
    let moving = count / 2;
    sim.with(moving, |node, now| node.set_tag(now, "kept", "yes")).unwrap();
    sim.run(secs(5));
    for network in 1..3 {
        let since = sim.elapsed();
        let before = sim.nodes[&moving].identity();
        assert!(sim.with(moving, |node, now| node.move_to(now, address(network, moving))));
        let now = sim.nodes[&moving].identity();
        assert_eq!((now.addr(), now.id()), (address(network, moving), before.id()));
        assert!(now.generation() > before.generation());
        assert_eq!(sim.active_at(moving), count, "it knows whom it knew");
        let follows = |node: &Node| {
            node.member(now.id()).is_some_and(|member| member.identity() == now && member.state().is_active())
        };
        sim.run_until(secs(10), |sim| sim.nodes.values().all(follows));
        sim.run(secs(60));
        assert!(sim.all_list(count));
        assert!(sim.all_see_tag(moving, "kept", Some("yes")));
        for by in (0..count).filter(|by| *by != moving) {
            let mut seen = sim.seen(by, moving, since);
            seen.retain(|name| !["suspect", "recovered"].contains(name));
            assert_eq!(seen, ["moved"], "seed {seed}, at {by} of {count}");
            assert_eq!(sim.state_at(by, moving), Some(MemberState::Alive));
        }
    }
    // And it is heard there.
    sim.with(moving, |node, now| node.set_tag(now, "news", "1")).unwrap();
    sim.run_until(secs(30), |sim| sim.all_see_tag(moving, "news", Some("1")));
}

#[test]
fn a_node_that_moves_neither_fails_nor_joins() {
    for seed in 0..20 {
        check_move(seed, 3, 0.0);
        check_move(seed, 20, 0.0);
        check_move(seed, 8, 0.1);
    }
}

#[test]
fn a_node_moves_to_where_another_one_was() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 4, secs(10));
    sim.crash(3);
    sim.run(secs(30));
    let addr = Sim::identity(3, 1).addr();
    // The node is remembered there as down.
    sim.with(2, |node, now| node.move_to(now, addr));
    let id = NodeId::from_u128(3);
    let at = |node: &Node| node.member(id).is_some_and(|member| member.identity().addr() == addr);
    assert!(at(&sim.nodes[&2]));
    assert_eq!(sim.active_at(2), 3);
}

#[test]
fn there_is_nothing_to_move_in_place_or_after_leaving() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 3, secs(10));
    let before = sim.nodes[&1].identity();
    assert!(!sim.with(1, |node, now| node.move_to(now, before.addr())));
    sim.with(1, Node::leave);
    assert!(!sim.with(1, |node, now| node.move_to(now, address(5, 1))));
    assert_eq!(sim.nodes[&1].identity(), before);
}

#[test]
fn a_restart_elsewhere_is_another_life() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 3, secs(10));
    let since = sim.elapsed();
    let old = sim.nodes[&2].identity();
    let later = super::super::Identity::new(address(7, 2), old.id(), old.generation() + 1000);
    sim.crash(2);
    sim.start_as(2, later);
    sim.run(secs(30));
    for by in [0, 1] {
        let seen = sim.seen(by, 2, since);
        assert_eq!(seen, ["failed", "joined"]);
        let is_move = |event: &Event| matches!(event, Event::NodeMoved { .. });
        assert!(!sim.trace.iter().any(|seen| is_move(&seen.event)));
    }
}
