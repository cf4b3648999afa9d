use super::sim::{Sim, secs};
use crate::swim::{Config, Node};

fn check_split(seed: u64, left: &[usize], right: &[usize]) {
    let count = left.len() + right.len();
    let mut sim = Sim::cluster(seed, Config::new_lan(), count, secs(10));
    sim.partition(&[left, right]);
    sim.run(secs(60));
    assert_eq!(sim.active_at(left[0]), left.len());
    assert_eq!(sim.active_at(right[0]), right.len());
    sim.with(left[0], |node, now| node.set_tag(now, "side", "left").unwrap());
    sim.heal();
    sim.run_until(secs(60), |sim| sim.all_list(count) && sim.all_see_tag(left[0], "side", Some("left")));
    sim.run(secs(30));
    assert!(sim.all_list(count), "healed, then fell apart");
}

#[test]
fn two_nodes_find_each_other_again() {
    for seed in 0..10 {
        check_split(seed, &[0], &[1]);
    }
}

#[test]
fn halves_find_each_other_again() {
    for seed in 0..5 {
        check_split(seed, &[0, 1, 2, 3, 4], &[5, 6, 7, 8, 9]);
    }
}

#[test]
fn a_cluster_in_which_all_are_isolated_heals() {
    let mut sim = Sim::cluster(5, Config::new_lan(), 4, secs(10));
    sim.partition(&[&[0], &[1], &[2], &[3]]);
    sim.run(secs(60));
    assert!(sim.nodes.values().all(Node::is_isolated));
    sim.heal();
    sim.run_until(secs(60), |sim| sim.all_list(4));
}

#[test]
fn a_restart_with_an_older_generation_comes_back() {
    let mut sim = Sim::cluster(6, Config::new_lan(), 4, secs(10));
    sim.crash(2);
    sim.start(2, 1_700_000_000_000);
    sim.run(secs(10));
    sim.with(2, Node::leave);
    sim.run(secs(5));
    sim.crash(2);
    sim.start(2, 500);
    sim.run_until(secs(30), |sim| sim.all_list(4));
    assert!(sim.nodes[&2].identity().generation() > 1_700_000_000_000);
}
