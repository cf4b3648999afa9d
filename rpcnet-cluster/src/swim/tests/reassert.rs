//! A node whose place another one had taken until it stopped.

use super::sim::{Sim, secs};
use crate::swim::{Config, MemberState, NodeId};

#[test]
fn who_was_first_takes_its_place_back() {
    for seed in 0..5 {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 5, secs(10));
        sim.with(2, |node, now| node.set_tag(now, "life", "first").unwrap());
        sim.run(secs(5));
        // Another node starts later, with the id of node 2 at another address. The two never meet here: a driver makes
        // sure that they do.
        sim.partition(&[&[0, 1, 3, 4, 5], &[2]]);
        sim.start_anew(5, 3, 1000);
        sim.run(secs(10));
        let rival = sim.nodes[&5].identity();
        sim.crash(5);
        sim.heal();
        sim.with(2, |node, now| node.reassert(now, rival));
        let own = sim.nodes[&2].identity();
        assert!(own.generation() > rival.generation());
        let is_back = |sim: &Sim| {
            sim.nodes.values().all(|node| {
                node.member(NodeId::from_u128(3)).is_some_and(|member| {
                    member.state() == MemberState::Alive && member.identity().addr() == own.addr()
                })
            })
        };
        sim.run_until(secs(120), is_back);
        sim.run_until(secs(60), |sim| sim.all_see_tag(2, "life", Some("first")));
        // There is nothing to take back.
        let before = sim.nodes[&2].identity();
        sim.with(2, |node, now| node.reassert(now, rival));
        assert_eq!(sim.nodes[&2].identity(), before);
    }
}
