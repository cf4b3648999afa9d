//! Broadcasts of users in simulated clusters.

use std::time::Instant;

use bytes::Bytes;

use super::sim::{Sim, secs};
use crate::swim::{Config, MAX_BROADCAST_VALUE, Node};

fn all_have(sim: &Sim, key: &str, value: Option<&[u8]>) -> bool {
    let has =
        |node: &Node| node.broadcasts().find(|(known, _)| *known == key).map(|(_, known)| known.value());
    sim.nodes.values().all(|node| has(node).as_deref() == value)
}

fn set(sim: &mut Sim, at: usize, millis: u64, key: &str, value: &[u8]) {
    let value = Bytes::copy_from_slice(value);
    sim.with(at, |node, now: Instant| node.broadcast(now, millis, key, value).unwrap());
}

#[test]
fn broadcasts_reach_all_and_late_joiners() {
    for (seed, nodes) in [(1, 2), (2, 10), (3, 50)] {
        let mut sim = Sim::cluster(seed, Config::new_lan(), nodes, secs(10));
        sim.loss = 0.1;
        let large = vec![7; MAX_BROADCAST_VALUE];
        set(&mut sim, 0, 1, "small", b"rules");
        set(&mut sim, nodes - 1, 1, "large", &large);
        sim.run_until(secs(5), |sim| {
            all_have(sim, "small", Some(b"rules")) && all_have(sim, "large", Some(&large))
        });
        // A node that starts long after the value was news still gets it.
        sim.run(secs(30));
        sim.start(nodes, 1);
        sim.run_until(secs(5), |sim| {
            all_have(sim, "small", Some(b"rules")) && all_have(sim, "large", Some(&large))
        });
        set(&mut sim, nodes, 2, "small", b"other rules");
        sim.run_until(secs(5), |sim| all_have(sim, "small", Some(b"other rules")));
        sim.with(1, |node, now| node.withdraw_broadcast(now, 3, "large").unwrap());
        sim.run_until(secs(5), |sim| all_have(sim, "large", None));
        assert!(sim.largest_datagram <= 1100);
    }
}

#[test]
fn the_newest_wins_on_both_sides_of_a_partition() {
    for seed in 0..5 {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 10, secs(10));
        set(&mut sim, 0, 1000, "rules", b"first");
        sim.run(secs(5));
        sim.partition(&[&[0, 1, 2, 3, 4], &[5, 6, 7, 8, 9]]);
        set(&mut sim, 1, 3000, "rules", b"newest");
        set(&mut sim, 6, 2000, "rules", b"older");
        set(&mut sim, 6, 2000, "theirs", b"value");
        sim.run(secs(20));
        sim.heal();
        sim.run_until(secs(120), |sim| {
            all_have(sim, "rules", Some(b"newest")) && all_have(sim, "theirs", Some(b"value"))
        });
    }
}

#[test]
fn two_made_at_once_become_one() {
    for seed in 0..10 {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 10, secs(10));
        for node in 0..10 {
            set(&mut sim, node, 1000, "rules", node.to_string().as_bytes());
        }
        sim.run_until(secs(10), |sim| {
            let values: Vec<_> =
                sim.nodes.values().map(|node| node.broadcasts().next().map(|(_, b)| b.value())).collect();
            values.iter().all(|value| value.is_some() && *value == values[0])
        });
    }
}

#[test]
fn news_ends() {
    let mut sim = Sim::cluster(1, Config::new_lan(), 20, secs(60));
    set(&mut sim, 0, 1, "rules", b"v");
    sim.run(secs(20));
    for node in sim.nodes.values() {
        assert!(node.broadcasts.waiting() == 0);
    }
}
