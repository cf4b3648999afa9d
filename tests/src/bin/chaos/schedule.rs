//! The faults of a run and their times: a function of a seed, without clock, input or output.
//!
//! Storms, in which faults overlap, alternate with calms, in which there are none, so that healing is seen. All faults
//! of a storm end within it.
//!
//! The rule: at any time one director and two workers (one, where there are fewer than three) are untouched, and a node
//! has one fault at a time. A node counts as touched from the beginning of its fault until [`RECOVERY`] after its end.

#[cfg(test)]
mod tests;

use std::{fmt, ops::Range, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom as _};

use rpcnet_tests::weather::Weather;

/// The time after a fault in which its node has no other: a process takes time to start, and a connection to be
/// dialled.
pub(crate) const RECOVERY: Duration = Duration::from_secs(2);
/// The quiet at the beginning, in which is measured what is normal.
pub(crate) const OVERTURE: Duration = Duration::from_secs(6);
/// A storm and its calm take about so long.
const CYCLE: Duration = Duration::from_secs(38);
/// The share of a cycle that is storm.
const STORM: f64 = 0.6;
/// Between two faults' beginnings, where the rule allows.
const GAPS: Range<f64> = 0.2..2.5;
/// Durations of faults, in seconds; shorter ones are likelier.
const LENGTHS: Range<f64> = 0.1..20.0;

/// The nodes: first the directors, then the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cast {
    pub(crate) directors: usize,
    pub(crate) workers: usize,
}

impl Cast {
    /// The numbers of nodes.
    pub(crate) fn len(self) -> usize {
        self.directors + self.workers
    }

    pub(crate) fn is_director(self, node: usize) -> bool {
        node < self.directors
    }

    /// The name of a node in reports.
    pub(crate) fn label(self, node: usize) -> String {
        if self.is_director(node) {
            format!("director-{}", node + 1)
        } else {
            format!("worker-{}", node + 1 - self.directors)
        }
    }

    /// The numbers of directors and of workers that must be untouched.
    pub(crate) fn untouched(self) -> (usize, usize) {
        (1, if self.workers < 3 { 1 } else { 2 })
    }
}

/// Which packets of a node are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Both,
    In,
    Out,
}

/// A fault of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// SIGKILL, and a restart at the end.
    Kill,
    /// SIGSTOP, and SIGCONT at the end.
    Stop,
    /// SIGTERM, and a restart once it has gone, but not before the end.
    Drain,
    /// SIGTERM, and again while it drains, which ends it at once; and a restart at the end.
    DrainTwice,
    /// Its packets are lost.
    Cut(Way),
    /// Clients' packets to it and its packets to clients are lost; those of other nodes are not.
    CutFromClients,
    /// Its packets are late, overtake each other, or are lost now and then.
    Weather(Weather),
    /// Clients of the node are seen at another address from then on, as behind a NAT that has forgotten.
    Rebind,
    /// Between these nodes and the others packets are lost; between nodes and clients they are not.
    Split,
}

impl Kind {
    /// All names.
    pub(crate) const NAMES: [&'static str; 9] =
        ["kill", "stop", "drain", "drain-twice", "cut", "cut-from-clients", "weather", "rebind", "split"];

    /// Its name in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Drain => "drain",
            Self::DrainTwice => "drain-twice",
            Self::Cut(_) => "cut",
            Self::CutFromClients => "cut-from-clients",
            Self::Weather(_) => "weather",
            Self::Rebind => "rebind",
            Self::Split => "split",
        }
    }

    /// Returns true if a process is started at its end.
    fn restarts(self) -> bool {
        matches!(self, Self::Kill | Self::Drain | Self::DrainTwice)
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    /// Since the storm's beginning.
    pub(crate) at: Duration,
    pub(crate) length: Duration,
    pub(crate) kind: Kind,
    /// One, but for a split.
    pub(crate) nodes: Vec<usize>,
    /// Returns true if a process that is started again is at another address.
    pub(crate) elsewhere: bool,
}

impl Fault {
    pub(crate) fn end(&self) -> Duration {
        self.at + self.length
    }

    /// Returns true if the node may have no other fault then.
    fn touches(&self, node: usize, at: Duration) -> bool {
        self.nodes.contains(&node) && self.at <= at && at < self.end() + RECOVERY
    }

    /// As reports tell it.
    pub(crate) fn describe(&self, cast: Cast) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|&node| cast.label(node)).collect();
        let elsewhere = if self.elsewhere { ", then at another address" } else { "" };
        format!("{} of {} for {:.1} s{elsewhere}", self.kind, nodes.join(", "), self.length.as_secs_f64())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(Way::In) => f.write_str("cut of what goes in"),
            Self::Cut(Way::Out) => f.write_str("cut of what goes out"),
            Self::Weather(weather) => write!(f, "weather ({weather})"),
            _ => f.write_str(self.name()),
        }
    }
}

/// Faults, and a calm after them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Storm {
    /// By their beginnings.
    pub(crate) faults: Vec<Fault>,
    /// The least duration of the calm.
    pub(crate) calm: Duration,
}

/// All that happens in a run, after the [`OVERTURE`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) storms: Vec<Storm>,
}

impl Schedule {
    /// With no other faults than those of these names.
    #[must_use]
    pub(crate) fn only(mut self, names: &[String]) -> Self {
        for storm in &mut self.storms {
            storm.faults.retain(|fault| names.iter().any(|name| name == fault.kind.name()));
        }
        self
    }

    /// The schedule of this seed, for a run of about this length.
    pub(crate) fn new(seed: u64, cast: Cast, length: Duration) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let left = length.saturating_sub(OVERTURE);
        let count = (left.as_secs_f64() / CYCLE.as_secs_f64()).round().max(1.0);
        let cycle = left.div_f64(count);
        let storms = (0..count as usize)
            .map(|_| Storm {
                faults: storm(&mut rng, cast, cycle.mul_f64(STORM)),
                calm: cycle.mul_f64(1.0 - STORM),
            })
            .collect();
        Self { storms }
    }
}

fn storm(rng: &mut StdRng, cast: Cast, length: Duration) -> Vec<Fault> {
    let mut faults = Vec::<Fault>::new();
    let mut at = Duration::ZERO;
    loop {
        let free: Vec<_> =
            (0..cast.len()).filter(|&node| !faults.iter().any(|fault| fault.touches(node, at))).collect();
        if let Some(fault) = next(rng, cast, &free, at, length.saturating_sub(at)) {
            faults.push(fault);
        }
        at += Duration::from_secs_f64(rng.random_range(GAPS));
        if at >= length {
            return faults;
        }
    }
}

/// A fault that the rule allows now, if this one is.
fn next(rng: &mut StdRng, cast: Cast, free: &[usize], at: Duration, left: Duration) -> Option<Fault> {
    let nodes = if rng.random_bool(0.1) { half(rng, cast, free) } else { vec![*free.choose(rng)?] };
    let kind = if nodes.len() > 1 { Kind::Split } else { kind(rng) };
    let seconds = LENGTHS.start * (LENGTHS.end / LENGTHS.start).powf(rng.random_range(0.0..1.0));
    // Clients are told of directors once: those stay where they are.
    let moves = kind.restarts() && nodes.iter().all(|&node| !cast.is_director(node));
    let elsewhere = moves && rng.random_bool(0.4);
    let length = Duration::from_secs_f64(seconds).min(left);
    let (directors, workers) = cast.untouched();
    let spared = |director: bool| {
        free.iter().filter(|node| cast.is_director(**node) == director && !nodes.contains(node)).count()
    };
    (spared(true) >= directors && spared(false) >= workers).then_some(Fault {
        at,
        length,
        kind,
        nodes,
        elsewhere,
    })
}

/// Some of the nodes, to be split from the others.
fn half(rng: &mut StdRng, cast: Cast, free: &[usize]) -> Vec<usize> {
    let count = rng.random_range(2..=(cast.len() / 2).max(2));
    let mut nodes: Vec<_> = free.sample(rng, count).copied().collect();
    nodes.sort_unstable();
    nodes
}

fn kind(rng: &mut StdRng) -> Kind {
    match rng.random_range(0..21) {
        0..6 => Kind::Kill,
        6..10 => Kind::Stop,
        10..12 => Kind::Drain,
        12 => Kind::DrainTwice,
        13..16 => Kind::Cut(*[Way::Both, Way::In, Way::Out].choose(rng).expect("there are three")),
        16 => Kind::CutFromClients,
        17 => Kind::Rebind,
        _ => Kind::Weather(Weather {
            loss: rng.random_range(0.0..0.3),
            delay: Duration::from_millis(rng.random_range(0..150)),
            jitter: Duration::from_millis(rng.random_range(0..80)),
            ..Weather::FAIR
        }),
    }
}
