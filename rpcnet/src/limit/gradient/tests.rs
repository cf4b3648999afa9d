//! A server under virtual time: C workers behind a queue, calls of equal cost, arrivals at a rate.

use std::{cmp::Reverse, collections::BinaryHeap};

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const SERVICE: Duration = Duration::from_millis(5);

/// A load on the server for some time.
struct Load {
    /// Arrivals as a share of the server's capacity.
    demand: f64,
    /// The factor by which the server is slower for this time.
    slower: f64,
    lasts: Duration,
}

#[derive(Debug, Default)]
struct Seen {
    offered: usize,
    done: usize,
    latency: f64,
    limit: usize,
}

impl Seen {
    fn latency(&self) -> f64 {
        self.latency / self.done as f64
    }
}

struct Server {
    gradient: Gradient,
    /// The time at which each worker is free again.
    workers: BinaryHeap<Reverse<Instant>>,
    capacity: usize,
    /// Running calls in the order in which they end: end and start.
    running: BinaryHeap<Reverse<(Instant, Instant)>>,
    now: Instant,
    rng: StdRng,
}

impl Server {
    fn new(capacity: usize, gradient: Gradient) -> Self {
        let now = tokio::time::Instant::now().into_std();
        Self {
            gradient,
            workers: (0..capacity).map(|_| Reverse(now)).collect(),
            capacity,
            running: BinaryHeap::new(),
            now,
            rng: StdRng::seed_from_u64(7),
        }
    }

    /// Runs with exponential gaps between arrivals: M/D/C. Calls beyond the limit are refused.
    fn run(&mut self, load: &Load) -> Seen {
        let until = self.now + load.lasts;
        let service = SERVICE.mul_f64(load.slower);
        let rate = load.demand * self.capacity as f64 / SERVICE.as_secs_f64();
        let mut seen = Seen::default();
        while self.now < until {
            let gap = -(1.0 - self.rng.random::<f64>()).ln() / rate;
            self.now += Duration::from_secs_f64(gap);
            while let Some(&Reverse((end, began))) = self.running.peek()
                && end <= self.now
            {
                let in_flight = self.running.len();
                self.running.pop();
                self.gradient.observe(end, end - began, in_flight);
                seen.done += 1;
                seen.latency += (end - began).as_secs_f64();
            }
            seen.offered += 1;
            if self.running.len() < self.gradient.limit() {
                let Reverse(free) = self.workers.pop().expect("as many as at first");
                let end = free.max(self.now) + service;
                self.workers.push(Reverse(end));
                self.running.push(Reverse((end, self.now)));
            }
        }
        seen.limit = self.gradient.limit();
        seen
    }
}

fn load(demand: f64, seconds: u64) -> Load {
    Load { demand, slower: 1.0, lasts: Duration::from_secs(seconds) }
}

/// The best possible result: the offered calls, or the server's capacity.
fn possible(seen: &Seen, capacity: usize, slower: f64, seconds: f64) -> f64 {
    (seen.offered as f64).min(capacity as f64 / SERVICE.as_secs_f64() / slower * seconds)
}

const CAPACITIES: [usize; 3] = [4, 8, 32];
/// Seconds; enough for a probe or two.
const MINUTE: u64 = 60;

#[test]
fn below_capacity_everything_gets_in() {
    for capacity in CAPACITIES {
        let mut server = Server::new(capacity, Gradient::new(4, 1000));
        server.run(&load(0.5, 5));
        let seen = server.run(&load(0.5, MINUTE));
        assert!(seen.done as f64 > 0.97 * seen.offered as f64, "{capacity}: {seen:?}");
        assert!(seen.latency() < 1.2 * SERVICE.as_secs_f64(), "{capacity}: {seen:?}");
    }
}

#[test]
fn at_and_above_capacity_latency_stays_low_and_the_work_is_done() {
    for capacity in CAPACITIES {
        for demand in [1.0, 2.0, 5.0] {
            let mut server = Server::new(capacity, Gradient::new(4, 1000));
            server.run(&load(demand, 15));
            let seen = server.run(&load(demand, MINUTE));
            let possible = possible(&seen, capacity, 1.0, MINUTE as f64);
            let note = || format!("{capacity} at {demand}: {seen:?} of {possible}");
            assert!(seen.done as f64 > 0.9 * possible, "{}", note());
            // The headroom of four equals the whole capacity of the smallest server.
            assert!(seen.latency() < 2.6 * SERVICE.as_secs_f64(), "{}", note());
            assert!(seen.limit <= 3 * capacity + 8, "{}", note());
        }
    }
}

#[test]
fn a_slow_spell_is_survived_and_forgotten() {
    for capacity in CAPACITIES {
        for demand in [0.8, 2.0] {
            for slower in [1.7, 3.0, 10.0] {
                let mut server = Server::new(capacity, Gradient::new(4, 1000));
                server.run(&load(demand, 10));
                server.run(&Load { slower, ..load(demand, 10) });
                let slow = server.run(&Load { slower, ..load(demand, 40) });
                let most = possible(&slow, capacity, slower, 40.0);
                let note = || format!("{capacity} at {demand}, {slower} times slower: {slow:?} of {most}");
                assert!(slow.done as f64 > 0.85 * most, "{}", note());
                server.run(&load(demand, 20));
                let after = server.run(&load(demand, 40));
                let most = possible(&after, capacity, 1.0, 40.0);
                let note = || format!("{capacity} at {demand} after {slower}: {after:?} of {most}");
                assert!(after.done as f64 > 0.9 * most, "{}", note());
                assert!(after.latency() < 2.6 * SERVICE.as_secs_f64(), "{}", note());
            }
        }
    }
}

#[test]
fn a_probe_of_which_nothing_is_learnt_ends() {
    let mut now = tokio::time::Instant::now().into_std();
    let mut gradient = Gradient::new(4, 1000);
    assert_eq!(gradient.limit(), 4);
    for _ in 0..12 {
        now += Duration::from_millis(100);
        gradient.pass(now);
    }
    assert_eq!(gradient.limit(), 20);
    for _ in 0..100 {
        now += Duration::from_millis(100);
        gradient.observe(now, SERVICE, 20);
    }
    assert!(gradient.limit() > 20, "the first window has to do");
}

proptest! {
    /// For any observations, the limit stays within its bounds.
    #[test]
    fn within_its_bounds(
        least in 1usize..50,
        more in 0usize..500,
        calls in prop::collection::vec((0u64..1_000_000, any::<u64>(), any::<usize>()), 0..500),
    ) {
        let mut now = tokio::time::Instant::now().into_std();
        let mut gradient = Gradient::new(least, least + more);
        for (pause, latency, in_flight) in calls {
            now += Duration::from_micros(pause);
            gradient.observe(now, Duration::from_micros(latency), in_flight);
            prop_assert!((least..=least + more).contains(&gradient.limit()));
        }
    }
}
