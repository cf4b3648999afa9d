use super::sim::{Sim, millis, secs};
use crate::swim::{Config, MemberState, Node, TagError};

fn check_leave(seed: u64, count: usize, loss: f64, stays: std::time::Duration) {
    let mut sim = Sim::cluster(seed, Config::new_lan(), count, secs(10));
    assert!(sim.all_list(count));
    sim.loss = loss;
    let since = sim.elapsed();
    let leaver = count / 2;
    sim.with(leaver, Node::leave);
    sim.run(stays);
    sim.crash(leaver);
    sim.run(secs(60));
    for by in (0..count).filter(|by| *by != leaver) {
        let mut seen = sim.seen(by, leaver, since);
        seen.retain(|name| *name != "suspect" && *name != "recovered");
        assert_eq!(seen, ["left"], "seed {seed}, at {by} of {count}");
        assert_eq!(sim.state_at(by, leaver), Some(MemberState::Left));
    }
}

#[test]
fn a_leave_is_a_leave_everywhere() {
    for seed in 0..50 {
        check_leave(seed, 3, 0.0, secs(2));
        check_leave(seed, 20, 0.0, secs(2));
    }
}

#[test]
fn a_leave_is_a_leave_everywhere_with_loss() {
    for seed in 0..50 {
        check_leave(seed, 3, 0.1, secs(2));
        check_leave(seed, 20, 0.1, secs(2));
    }
}

#[test]
fn leave_is_acknowledged() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 5, secs(10));
    sim.loss = 0.2;
    sim.with(2, Node::leave);
    assert_eq!(sim.nodes[&2].leave_acknowledged(), 0);
    sim.run_until(secs(3), |sim| sim.nodes[&2].is_leave_complete());
    assert_eq!(sim.nodes[&2].leave_acknowledged(), 4);
    assert!(sim.nodes[&2].has_left());
    let refused = sim.with(2, |node, now| node.set_tag(now, "a", "b"));
    assert_eq!(refused, Err(TagError::Left));
}

#[test]
fn a_lone_node_leaves_at_once() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 1, secs(10));
    sim.with(0, Node::leave);
    assert!(sim.nodes[&0].is_leave_complete());
}

#[test]
fn a_leaver_that_nobody_hears_gives_up() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 5, secs(10));
    sim.loss = 1.0;
    sim.with(2, Node::leave);
    // The leave goes on for as long as a driver may want to wait, but not for ever.
    sim.run(secs(55));
    assert!(!sim.nodes[&2].is_leave_complete());
    sim.run_until(secs(10), |sim| sim.nodes[&2].is_leave_complete());
    assert_eq!(sim.nodes[&2].leave_acknowledged(), 0);
}

#[test]
fn a_leaver_that_was_cut_off_for_a_while_is_heard_in_the_end() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 3, secs(10));
    sim.loss = 1.0;
    sim.with(2, Node::leave);
    sim.run(millis(2500));
    assert!(!sim.nodes[&2].is_leave_complete());
    sim.loss = 0.0;
    sim.run_until(secs(1), |sim| sim.nodes[&2].is_leave_complete());
    assert_eq!(sim.nodes[&2].leave_acknowledged(), 2);
}

#[test]
fn one_that_left_stays_away_until_its_next_life() {
    for seed in 0..10 {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 6, secs(10));
        // One member misses the leave and goes on calling the leaver alive.
        sim.partition(&[&[0, 1, 2, 3, 4], &[5]]);
        sim.with(2, Node::leave);
        sim.run(millis(1500));
        sim.crash(2);
        sim.heal();
        let since = sim.elapsed();
        sim.run(secs(60));
        for by in [0, 1, 3, 4] {
            assert!(!sim.seen(by, 2, since).contains(&"joined"), "seed {seed}, at {by}");
        }
        assert_eq!(sim.state_at(5, 2), Some(MemberState::Left), "seed {seed}");
        let since = sim.elapsed();
        sim.start(2, 2);
        sim.run_until(secs(5), |sim| sim.all_list(6));
        for by in [0, 1, 3, 4, 5] {
            assert_eq!(sim.seen(by, 2, since), ["joined"], "seed {seed}, at {by}");
        }
    }
}
