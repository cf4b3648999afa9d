//! Simulations of policies and outlier detection together.

mod world;

use std::time::Duration;

use self::world::{FAST, Mode, SLOW, Setting, World};
use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn only_in_a_row() -> OutlierConfig {
    OutlierConfig::off().with_failures_in_a_row(5)
}

#[test]
fn one_that_is_ten_times_slower_gets_less_than_a_hundredth() {
    // With one client and with many that make few calls each; with and without stutters.
    for (clients, rate, slots) in [(1, 600.0, 1), (1, 4800.0, 8), (20, 600.0, 1), (1, 20.0, 1)] {
        for stutter in [0.0, 0.001] {
            let setting = Setting { clients, rate, slots, stutter, ..Setting::default() };
            let run = |modes: &[Mode]| {
                let mut world = World::new(modes, setting.clone());
                world.run(secs(5));
                world.run(secs(20))
            };
            let (with, without) = (run(&[FAST, FAST, FAST, SLOW]), run(&[FAST; 3]));
            assert!(with.share(3) < 0.01, "{setting:?}: {}", with.share(3));
            let (slower, faster) = (with.percentile(0.99), without.percentile(0.99));
            assert!(slower < faster.mul_f64(1.5), "{setting:?}: {slower:?} beside {faster:?}");
        }
    }
}

#[test]
fn neither_bursts_nor_stutters_send_calls_to_a_slow_one() {
    // While a client is stalled, answers look late. Afterwards all calls that were due are sent at once.
    for stalls in [ms(0), ms(5), ms(10), ms(20)] {
        for stutter in [0.0, 0.01, 0.05] {
            let setting = Setting { rate: 1800.0, slots: 4, stutter, stalls, ..Setting::default() };
            let mut world = World::new(&[FAST, FAST, FAST, SLOW], setting);
            world.run(secs(1));
            let share = world.run(secs(20)).share(3);
            assert!(share < 0.006, "{share} with {stutter} and {stalls:?}");
        }
    }
}

#[test]
fn others_do_not_avoid_one_that_is_slow() {
    let share = |policy| {
        let setting = Setting { policy, rate: 100.0, slots: 8, ..Setting::default() };
        World::new(&[FAST, FAST, FAST, SLOW], setting).run(secs(20)).share(3)
    };
    for policy in [Policy::RoundRobin, Policy::Random, Policy::Weighted] {
        assert!((share(policy) - 0.25).abs() < 0.05, "{policy}");
    }
    // The slow worker is busy for longer. These policies see only that.
    assert!((0.05..0.24).contains(&share(Policy::LeastRequest)));
}

#[test]
fn one_that_turns_slow_is_left_within_a_second_and_found_again() {
    let mut world = World::new(&[FAST; 4], Setting { stutter: 0.001, ..Setting::default() });
    world.run(secs(10));
    world.turn(3, SLOW);
    world.run(secs(1));
    let share = world.run(secs(20)).share(3);
    assert!(share < 0.02, "{share}");
    world.turn(3, FAST);
    world.run(secs(40));
    let share = world.run(secs(20)).share(3);
    assert!(share > 0.15, "{share}");
}

#[test]
fn one_that_hangs_gets_a_call_or_two_of_each_client() {
    for clients in [1, 10] {
        let setting = Setting { clients, stutter: 0.001, deadline: secs(30), ..Setting::default() };
        let mut world = World::new(&[FAST; 4], setting);
        world.run(secs(10));
        world.turn(3, Mode::Hangs);
        let hung = world.run(secs(20)).sent[3];
        assert!(hung <= 3 * clients, "{hung} of {clients}");
        world.turn(3, FAST);
        world.run(secs(60));
        let share = world.run(secs(20)).share(3);
        assert!(share > 0.1, "{share}");
    }
}

#[test]
fn one_that_fails_at_once_does_not_attract() {
    // With peak EWMA, the estimate alone keeps calls away. With other policies, the endpoint is ejected.
    for policy in Policy::ALL {
        let outliers = if policy == Policy::PeakEwma { OutlierConfig::off() } else { only_in_a_row() };
        let setting = Setting { policy, outliers, rate: 200.0, slots: 8, ..Setting::default() };
        let mut world = World::new(&[FAST; 4], setting);
        world.run(secs(5));
        world.turn(3, Mode::Fails);
        world.run(secs(1));
        let seen = world.run(secs(30));
        assert!(seen.share(3) < 0.01, "{policy}: {}", seen.share(3));
        world.turn(3, FAST);
        world.run(secs(70));
        let share = world.run(secs(20)).share(3);
        assert!(share > 0.1, "{policy}: {share} when it was well again");
    }
}

#[test]
fn an_outlier_by_rate_is_out_within_a_second() {
    for policy in [Policy::RoundRobin, Policy::LeastRequest] {
        let setting = Setting {
            policy,
            outliers: OutlierConfig::default(),
            rate: 800.0,
            slots: 8,
            ..Setting::default()
        };
        let mut world = World::new(&[FAST; 6], setting);
        world.run(secs(20));
        world.turn(5, Mode::Flaky(0.5));
        world.run(secs(1));
        // In the next second it is ejected, apart from trials.
        let seen = world.run(ms(300));
        assert!(seen.sent[5] <= 2, "{policy}: {:?}", seen.sent);
    }
}

#[test]
fn where_all_fail_half_stay() {
    for policy in Policy::ALL {
        let setting =
            Setting { policy, outliers: OutlierConfig::default(), rate: 800.0, ..Setting::default() };
        let mut world = World::new(&[Mode::Fails; 6], setting);
        let seen = world.run(secs(10));
        assert_eq!(seen.nowhere, 0, "{policy}");
        world.turn(0, FAST);
        world.run(secs(60));
        let seen = world.run(secs(30));
        assert_eq!(seen.nowhere, 0, "{policy}");
    }
}

#[test]
fn calls_follow_weights() {
    for slots in [1, 8] {
        let setting = Setting { policy: Policy::Weighted, rate: 500.0, slots, ..Setting::default() };
        let mut world = World::new(&[FAST; 4], setting);
        world.weigh(&[1.0, 2.0, 4.0, 0.0]);
        let seen = world.run(secs(40));
        for (worker, share) in [1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0, 0.0].into_iter().enumerate() {
            assert!((seen.share(worker) - share).abs() < 0.02, "{worker}: {}", seen.share(worker));
        }
    }
}

#[test]
fn a_suspect_gets_little() {
    for policy in Policy::ALL {
        let setting = Setting { policy, rate: 4000.0, slots: 8, ..Setting::default() };
        let mut world = World::new(&[FAST; 4], setting);
        world.weigh(&[1.0, 1.0, 1.0, 0.1]);
        let share = world.run(secs(10)).share(3);
        // By its hash a key stays at its endpoint, as long as that has room.
        let most = if policy == Policy::ConsistentHash { 0.15 } else { 0.05 };
        assert!(share < most, "{policy}: {share}");
    }
}

#[test]
fn a_newcomer_is_not_stampeded() {
    for policy in Policy::ALL {
        let mut world =
            World::new(&[FAST; 4], Setting { policy, rate: 4800.0, slots: 8, ..Setting::default() });
        world.run(secs(5));
        world.add(FAST);
        let first = world.run(ms(50)).share(4);
        assert!(first < 0.4, "{policy}: {first}");
        world.run(secs(5));
        let share = world.run(secs(20)).share(4);
        assert!((0.1..0.3).contains(&share), "{policy}: {share}");
    }
}

#[test]
fn calls_go_on_while_workers_come_and_go() {
    for policy in Policy::ALL {
        let setting =
            Setting { policy, clients: 3, outliers: OutlierConfig::default(), ..Setting::default() };
        let mut world = World::new(&[FAST; 4], setting);
        for round in 0..20 {
            world.add(if round % 5 == 0 { Mode::Fails } else { FAST });
            world.run(ms(300));
            world.remove(round);
            let seen = world.run(ms(300));
            assert_eq!(seen.nowhere, 0, "{policy}");
            assert_eq!(seen.sent[round], 0, "{policy}: one that is gone");
        }
    }
}

#[test]
fn consistent_hash_keeps_calls_at_work_within_the_bound() {
    for (rate, seed) in [(300.0, 1), (1000.0, 2), (1800.0, 3)] {
        let setting = Setting { policy: Policy::ConsistentHash, rate, seed, ..Setting::default() };
        let mut world = World::new(&[FAST, FAST, FAST, SLOW], setting);
        world.run(secs(20));
        assert!(world.fullest <= 1.0, "{} times the bound", world.fullest);
        assert!(world.fullest > 0.9, "calls never met at a worker");
    }
}
