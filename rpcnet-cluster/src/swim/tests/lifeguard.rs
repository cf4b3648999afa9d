//! False and true accusations in whole simulated clusters.

use std::time::Duration;

use super::sim::secs;
use crate::{
    swim::{Config, Event, MemberState},
    testing::{Fault, Operation, Simulation},
};

fn converged(seed: u64, count: usize) -> Simulation {
    let mut simulation = Simulation::cluster(seed, Config::new_lan(), count);
    simulation.run_until(secs(30), Simulation::agrees).unwrap();
    simulation.run_for(secs(10));
    simulation
}

/// The nodes that were reported failed after `since`, each with the observer that reported it.
fn failed(simulation: &Simulation, since: Duration) -> Vec<(usize, usize)> {
    let seen = simulation.events().iter().filter(|seen| seen.at >= since);
    seen.filter_map(|seen| match &seen.event {
        Event::NodeFailed(member) => Some((seen.by, member.id().as_u128() as usize - 1)),
        _ => None,
    })
    .collect()
}

#[test]
fn nodes_whose_messages_are_stuck_throw_out_nobody() {
    for seed in 0..2 {
        let mut simulation = converged(seed, 16);
        let since = simulation.now();
        for round in 0..3 {
            for sick in 12..16 {
                let lasting = Duration::from_millis(700 + 4100 * ((sick as u64 + round + seed) % 6));
                simulation.impose(Fault::Block(sick), lasting);
            }
            simulation.run_for(secs(25));
        }
        let harmed: Vec<_> =
            failed(&simulation, since).into_iter().filter(|(by, of)| *by < 12 && *of < 12).collect();
        assert_eq!(harmed, [], "seed {seed}");
        assert!(simulation.run_until(secs(60), Simulation::agrees).is_some(), "seed {seed}");
    }
}

#[test]
fn loss_alone_kills_nobody() {
    for seed in 0..2 {
        let mut simulation = converged(seed, 20);
        let since = simulation.now();
        simulation.impose(Fault::Loss(0.25), secs(60));
        simulation.run_for(secs(60));
        assert_eq!(failed(&simulation, since), []);
        let renewed = simulation.events().iter().any(|seen| matches!(seen.event, Event::Renewed(_)));
        assert!(!renewed, "seed {seed}");
    }
}

#[test]
fn a_split_heals_without_a_healthy_node_missing_for_a_moment() {
    for seed in 0..3 {
        let mut simulation = converged(seed, 16);
        simulation.impose(Fault::Partition(vec![(0..8).collect()]), secs(60));
        simulation.run_for(secs(60));
        let mut most = [0; 16];
        let healed = simulation.run_until(secs(15), |simulation| {
            for (index, node) in simulation.nodes() {
                let alive = node.members().filter(|member| member.state() == MemberState::Alive).count();
                assert!(alive >= most[index], "seed {seed}: {index} had {} and has {alive}", most[index]);
                most[index] = alive;
            }
            simulation.agrees()
        });
        assert!(healed.is_some(), "seed {seed}");
    }
}

#[test]
fn a_crash_is_confirmed_by_others_and_known_sooner() {
    for seed in 0..5 {
        let mut simulation = converged(seed, 20);
        let since = simulation.now();
        simulation.crash(7);
        // Without confirmations a suspicion alone would last 20 s.
        let known = simulation.run_until(secs(15), |simulation| failed(simulation, since).len() == 19);
        assert!(known.is_some(), "seed {seed}");
    }
}

#[test]
fn a_node_that_is_alone_finds_out() {
    let mut simulation = converged(1, 6);
    simulation.impose(Fault::Partition(vec![vec![3]]), secs(300));
    let alone = simulation.run_until(secs(60), |simulation| simulation.node(3).unwrap().is_isolated());
    assert!(alone.is_some());
}

#[test]
fn a_restart_with_an_earlier_clock_comes_back() {
    for seed in 0..6 {
        let mut simulation = Simulation::new(seed, Config::new_lan()).with_fresh_ids(seed % 2 == 0);
        for node in 0..5 {
            simulation.start(node);
        }
        simulation.run_until(secs(30), Simulation::agrees).unwrap();
        simulation.crash(3);
        simulation.apply(&Operation::Back { node: 3, by: secs(100_000) });
        simulation.start(3);
        assert!(simulation.run_until(secs(10), Simulation::agrees).is_some(), "seed {seed}");
        simulation.run_for(secs(30));
        assert!(simulation.agrees(), "seed {seed}");
    }
}

#[test]
fn two_that_leave_do_not_answer_each_other_for_ever() {
    let mut simulation = converged(1, 2);
    for node in 0..2 {
        simulation.apply(&Operation::Leave(node));
    }
    simulation.run_for(secs(20));
    let sent = simulation.world().sent(0).packets;
    simulation.run_for(secs(60));
    assert_eq!(simulation.world().sent(0).packets, sent);
}
