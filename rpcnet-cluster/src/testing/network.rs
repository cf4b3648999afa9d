//! The simulated network: latency, loss, duplication, reordering, and hosts that can't reach each other.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, rngs::StdRng};

/// A disturbance of a [`World`](super::engine::World), for a time. Faults add up: a packet has to get past all of them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A packet takes a time between `least` and `most` for one way, instead of 0.2 to 2 ms. Of several such faults the
    /// slowest counts.
    Latency {
        /// The shortest time.
        least: Duration,
        /// The longest time.
        most: Duration,
    },
    /// This share (0 to 1) of packets is lost.
    Loss(f64),
    /// This share (0 to 1) of packets arrives twice.
    Duplication(f64),
    /// This share (0 to 1) of packets is held back for up to `by`, so that later ones overtake them.
    Reordering {
        /// The share of packets.
        share: f64,
        /// The longest delay.
        by: Duration,
    },
    /// Packets from `from` do not reach `to`. The other direction works.
    Cut {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
    },
    /// Hosts of different groups can't reach each other. Hosts in no group are one further group.
    Partition(Vec<Vec<usize>>),
    /// The whole process of this host stands still. Packets for it wait. When it goes on, they are handled in order,
    /// before its timers.
    Pause(usize),
    /// Packets to and from this host wait, while its timers run on: the anomaly of the Lifeguard paper (Dadgar,
    /// Phillips, Currey, 2018). They are delivered when the fault is over.
    Block(usize),
}

/// The number of times that a packet on a stream is sent again before it counts as arrived.
const REPETITIONS: u32 = 6;
/// The pause before the first repetition. Each further pause is twice as long.
const REPEATED_AFTER: Duration = Duration::from_millis(50);

/// A fault in force. Partitions are kept by host, because they are looked up for each packet.
#[derive(Clone, Debug)]
enum Active {
    Fault(Fault),
    Groups(BTreeMap<usize, usize>),
}

#[derive(Debug)]
pub(super) struct SimulatedNetwork {
    latency: (Duration, Duration),
    faults: Vec<(Active, Duration)>,
}

impl SimulatedNetwork {
    pub(super) fn new() -> Self {
        Self { latency: (Duration::from_micros(200), Duration::from_millis(2)), faults: Vec::new() }
    }

    pub(super) fn impose(&mut self, fault: Fault, until: Duration) {
        let active = match fault {
            Fault::Partition(groups) => {
                let grouped = (0..).zip(groups);
                Active::Groups(
                    grouped.flat_map(|(group, hosts)| hosts.into_iter().map(move |h| (h, group))).collect(),
                )
            }
            fault => Active::Fault(fault),
        };
        self.faults.push((active, until));
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
    }

    /// Forgets the faults that are over.
    pub(super) fn expire(&mut self, now: Duration) {
        self.faults.retain(|(_, until)| *until > now);
    }

    pub(super) fn is_cut(&self, now: Duration, from: usize, to: usize) -> bool {
        self.faults.iter().any(|(active, until)| {
            *until > now
                && match active {
                    Active::Groups(groups) => groups.get(&from) != groups.get(&to),
                    Active::Fault(Fault::Cut { from: cut_from, to: cut_to }) => {
                        (from, to) == (*cut_from, *cut_to)
                    }
                    Active::Fault(_) => false,
                }
        })
    }

    /// The times after which a packet that is sent now arrives: none, one, or two.
    pub(super) fn fate(
        &self,
        rng: &mut StdRng,
        now: Duration,
        (from, to): (usize, usize),
        reliable: bool,
    ) -> Arrivals {
        if self.is_cut(now, from, to) {
            return Arrivals::default();
        }
        let mut latency = self.latency;
        let (mut kept, mut duplicated) = (1.0, 0.0_f64);
        let mut held = Duration::ZERO;
        for (active, until) in &self.faults {
            let Active::Fault(fault) = active else { continue };
            if *until <= now {
                continue;
            }
            match fault {
                Fault::Latency { least, most } => latency = latency.max((*least, *most)),
                Fault::Loss(share) => kept *= 1.0 - share.clamp(0.0, 1.0),
                Fault::Duplication(share) => duplicated = duplicated.max(share.clamp(0.0, 1.0)),
                Fault::Reordering { share, by } => {
                    let overtaken = rng.random_bool(share.clamp(0.0, 1.0));
                    if overtaken {
                        held += between(rng, (Duration::ZERO, *by));
                    }
                }
                _ => {}
            }
        }
        if kept < 1.0 {
            let mut pause = REPEATED_AFTER;
            for _ in 0..REPETITIONS {
                if rng.random_bool(kept) {
                    break;
                }
                if !reliable {
                    return Arrivals::default();
                }
                held += pause;
                pause *= 2;
            }
        }
        let first = Some(held + between(rng, latency));
        // A stream delivers once, even if the network duplicates packets.
        let again = !reliable && duplicated > 0.0 && rng.random_bool(duplicated);
        let second = again.then(|| held + between(rng, latency));
        Arrivals([first, second])
    }
}

#[derive(Debug, Default)]
pub(super) struct Arrivals([Option<Duration>; 2]);

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let [first, second] = &mut self.0;
        first.take().or_else(|| second.take())
    }
}

fn between(rng: &mut StdRng, (least, most): (Duration, Duration)) -> Duration {
    if most <= least {
        return least;
    }
    rng.random_range(least..most)
}
