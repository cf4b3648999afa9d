use super::sim::{Sim, millis, secs};
use crate::swim::{Config, Event, MemberState, Node, NodeId, after_input::foca_state};

#[test]
fn node_and_events_are_send() {
    fn check<T: Send>() {}
    check::<Node>();
    check::<Event>();
}

#[test]
fn all_join_through_one_seed() {
    for (count, limit) in [(3, secs(3)), (20, secs(10))] {
        let mut sim = Sim::cluster(1, Config::new_lan(), count, secs(0));
        sim.run_until(limit, |sim| sim.all_list(count));
        sim.run(secs(30));
        for by in 0..count {
            for of in (0..count).filter(|of| *of != by) {
                assert_eq!(sim.seen(by, of, secs(0)), ["joined"], "{of} at {by}");
            }
        }
    }
}

#[test]
fn tags_reach_all_and_late_joiners() {
    let mut sim = Sim::cluster(2, Config::new_lan(), 10, secs(10));
    sim.with(3, |node, now| node.set_tag(now, "role", "worker").unwrap());
    sim.run_until(secs(3), |sim| sim.all_see_tag(3, "role", Some("worker")));
    // Long enough for all gossip about it to have ended.
    sim.run(secs(20));
    sim.start(10, 1);
    sim.run_until(secs(3), |sim| sim.all_see_tag(3, "role", Some("worker")));
    sim.with(4, |node, now| node.set_tag(now, "zone", "a").unwrap());
    sim.run_until(secs(3), |sim| sim.all_see_tag(4, "zone", Some("a")));
    sim.with(3, |node, now| node.remove_tag(now, "role").unwrap());
    sim.run_until(secs(3), |sim| sim.all_see_tag(3, "role", None));
    let changes = sim.seen(10, 4, secs(0));
    assert_eq!(changes.iter().filter(|name| **name == "tags").count(), 1);
}

#[test]
fn tags_too_large_for_a_packet_reach_all() {
    let mut sim = Sim::cluster(3, Config::new_lan(), 10, secs(10));
    sim.loss = 0.05;
    let value = "v".repeat(256);
    for index in 0..64 {
        sim.with(3, |node, now| node.set_tag(now, &format!("key-{index}"), &value).unwrap());
    }
    sim.run_until(secs(10), |sim| sim.all_see_tag(3, "key-63", Some(&value)));
    sim.run(secs(20));
    sim.start(10, 1);
    sim.run_until(secs(3), |sim| sim.all_see_tag(3, "key-63", Some(&value)));
    assert!(sim.largest_datagram <= 1100);
}

#[test]
fn packets_stay_within_the_limit() {
    let mut sim = Sim::cluster(4, Config::new_lan(), 60, secs(0));
    for index in 0..60 {
        sim.with(index, |node, now| {
            for key in 0..10 {
                node.set_tag(now, &format!("key-{key}"), "some value that takes room").unwrap();
            }
        });
    }
    sim.run_until(secs(20), |sim| sim.all_list(60));
    sim.run_until(secs(20), |sim| {
        (0..60).all(|index| sim.all_see_tag(index, "key-9", Some("some value that takes room")))
    });
    assert!(sim.largest_datagram <= 1100);
    assert!(sim.largest_datagram > 1000, "no packet was full");
}

#[test]
fn a_crash_is_a_failure_at_all_and_never_a_leave() {
    for seed in 0..10 {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 10, secs(10));
        let since = sim.elapsed();
        sim.crash(4);
        sim.run_until(secs(30), |sim| sim.all_list(9));
        sim.run(secs(60));
        for by in (0..10).filter(|by| *by != 4) {
            let seen = sim.seen(by, 4, since);
            assert_eq!(seen.iter().filter(|name| **name == "failed").count(), 1, "{seen:?}");
            assert!(!seen.contains(&"left"), "{seen:?}");
            assert_eq!(sim.state_at(by, 4), Some(MemberState::Down));
        }
    }
}

#[test]
fn a_restart_with_the_same_id_is_one_pair() {
    for seed in 0..10 {
        for pause in [millis(50), secs(3), secs(30)] {
            let mut sim = Sim::cluster(seed, Config::new_lan(), 5, secs(10));
            sim.with(2, |node, now| node.set_tag(now, "life", "first").unwrap());
            sim.run(secs(2));
            let since = sim.elapsed();
            sim.crash(2);
            sim.run(pause);
            sim.start(2, 1000);
            sim.run_until(secs(5), |sim| {
                sim.all_list(5)
                    && sim.nodes.values().all(|node| {
                        node.member(NodeId::from_u128(3))
                            .is_some_and(|member| member.identity().generation() == 1000)
                    })
            });
            sim.run(secs(60));
            assert!(sim.all_see_tag(2, "life", None), "tags of the earlier life");
            for by in [0, 1, 3, 4] {
                let mut seen = sim.seen(by, 2, since);
                seen.retain(|name| !["suspect", "recovered", "tags"].contains(name));
                assert_eq!(seen, ["failed", "joined"], "seed {seed}, pause {pause:?}, at {by}");
            }
        }
    }
}

#[test]
fn a_restart_with_a_new_id_replaces_the_old_one() {
    for seed in 0..10 {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 5, secs(10));
        let since = sim.elapsed();
        sim.crash(2);
        sim.run(secs(1));
        sim.start_anew(2, 100, 1000);
        sim.run_until(secs(5), |sim| {
            sim.nodes.values().all(|node| {
                let new = node.member(NodeId::from_u128(100));
                new.is_some_and(|member| member.state() == MemberState::Alive)
            })
        });
        sim.run(secs(60));
        assert!(sim.all_list(5));
        for by in [0, 1, 3, 4] {
            let mut old = sim.seen(by, 2, since);
            old.retain(|name| *name != "suspect");
            assert_eq!(old, ["failed"], "at {by}");
            assert_eq!(sim.seen(by, 99, since), ["joined"], "at {by}");
        }
    }
}

#[test]
fn live_nodes_survive_loss() {
    for seed in 0..5 {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 10, secs(10));
        let since = sim.elapsed();
        sim.loss = 0.05;
        sim.run(secs(300));
        let failed: Vec<_> = sim
            .trace
            .iter()
            .filter(|seen| seen.at >= since && matches!(seen.event, Event::NodeFailed(_)))
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert!(sim.all_list(10));
    }
}

#[test]
fn suspicions_are_seen_and_refuted() {
    let mut sim = Sim::cluster(7, Config::new_lan(), 5, secs(10));
    let since = sim.elapsed();
    sim.partition(&[&[0, 1, 2, 3], &[4]]);
    sim.run_until(secs(10), |sim| sim.state_at(0, 4) == Some(MemberState::Suspect));
    sim.heal();
    sim.run_until(secs(10), |sim| (0..4).all(|by| sim.state_at(by, 4) == Some(MemberState::Alive)));
    sim.run(secs(30));
    let seen = sim.seen(0, 4, since);
    assert_eq!(seen, ["suspect", "recovered"]);
}

#[test]
fn one_seed_replays_the_same_events() {
    let run = |seed| {
        let mut sim = Sim::cluster(seed, Config::new_lan(), 8, secs(5));
        sim.loss = 0.1;
        sim.with(2, |node, now| node.set_tag(now, "role", "worker").unwrap());
        sim.crash(3);
        sim.run(secs(20));
        sim.with(4, Node::leave);
        sim.run(secs(5));
        sim.start(3, 9);
        sim.run(secs(20));
        sim.trace
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}

/// The view follows foca by what foca encodes. It must never miss a change.
#[test]
fn the_view_agrees_with_foca() {
    for seed in 0..3 {
        let mut sim = Sim::cluster(seed, Config::new_local(), 20, secs(0));
        sim.loss = 0.2;
        for round in 0..60 {
            match round {
                20 => sim.crash(5),
                25 => sim.partition(&[&[0, 1, 2, 3], &[]]),
                40 => sim.heal(),
                45 => sim.with(6, Node::leave),
                50 => sim.start(5, 7),
                _ => {}
            }
            sim.run(millis(997));
            for node in sim.nodes.values().filter(|node| !node.has_left()) {
                for held in node.foca.iter_membership_state() {
                    let identity = held.id().0;
                    let shown = node.member(identity.id()).unwrap();
                    if shown.identity() == identity {
                        assert_eq!(foca_state(shown.state()), held.state(), "{identity}");
                        assert_eq!(shown.incarnation(), held.incarnation(), "{identity}");
                    } else {
                        assert_eq!(held.state(), foca::State::Down, "{identity}");
                    }
                }
                let active = node.members().filter(|member| member.state().is_active()).count();
                assert_eq!(active, node.foca.num_members() + 1);
            }
        }
    }
}
