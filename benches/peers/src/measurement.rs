//! Measurements: a round of a system at a workload, and all rounds.

use rpcnet_benches::median;
use serde::Serialize;

use crate::{
    order::{Latency, Outcome},
    system::System,
    workload::{Kind, Workload},
};

/// The cost of a round on one side: the client, or all servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// The processor time, user and system, in all threads.
    pub(crate) cpu_seconds: f64,
    /// The most memory that the side held within the round.
    pub(crate) peak_bytes: u64,
    /// The growth of memory for each connection, if that is measured.
    pub(crate) connection_bytes: Option<f64>,
}

/// One round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Measurement {
    pub(crate) workload: Workload,
    pub(crate) system: System,
    pub(crate) round: u32,
    /// The number of calls, items or connections.
    pub(crate) done: u64,
    pub(crate) seconds: f64,
    pub(crate) latency_us: Option<Latency>,
    /// The share (0 to 1) of calls that the slow server answered, if there is one.
    pub(crate) slow_share: Option<f64>,
    pub(crate) client: Usage,
    pub(crate) server: Usage,
}

impl Measurement {
    pub(crate) fn new(
        workload: Workload,
        system: System,
        round: u32,
        outcome: Outcome,
        [client, server]: [Usage; 2],
    ) -> Self {
        let Outcome { done, seconds, latency: latency_us, slow_share } = outcome;
        Self { workload, system, round, done, seconds, latency_us, slow_share, client, server }
    }
}

/// A number that is computed from a round; NaN if the round does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// The number of calls, items or connections a second.
    Throughput,
    P50,
    P95,
    P99,
    P999,
    /// The microseconds of processor time for each call, item or connection.
    ClientCpu,
    ServerCpu,
    ClientPeak,
    ServerPeak,
    /// The slow server's share of the calls, in percent.
    SlowShare,
    /// The bytes of memory for each connection.
    ClientConnection,
    ServerConnection,
}

impl Figure {
    pub(crate) fn of(self, round: &Measurement) -> f64 {
        let latency = |of: fn(&Latency) -> f64| round.latency_us.as_ref().map_or(f64::NAN, of);
        let cpu = |usage: &Usage| usage.cpu_seconds * 1e6 / round.done as f64;
        match self {
            Self::Throughput => round.done as f64 / round.seconds,
            Self::P50 => latency(|latency| latency.p50),
            Self::P95 => latency(|latency| latency.p95),
            Self::P99 => latency(|latency| latency.p99),
            Self::P999 => latency(|latency| latency.p999),
            Self::ClientCpu => cpu(&round.client),
            Self::ServerCpu => cpu(&round.server),
            Self::ClientPeak => round.client.peak_bytes as f64,
            Self::ServerPeak => round.server.peak_bytes as f64,
            Self::SlowShare => round.slow_share.map_or(f64::NAN, |share| share * 100.0),
            Self::ClientConnection => round.client.connection_bytes.unwrap_or(f64::NAN),
            Self::ServerConnection => round.server.connection_bytes.unwrap_or(f64::NAN),
        }
    }

    /// The better one of two values.
    fn best(self, a: f64, b: f64) -> f64 {
        if self == Self::Throughput { a.max(b) } else { a.min(b) }
    }
}

impl Workload {
    /// The main figure, by which systems are compared at this workload.
    pub(crate) fn figure(&self) -> Figure {
        match self.kind {
            // With one call in flight, throughput says the same less precisely.
            Kind::Calls { connections: 1, in_flight: 1, .. } => Figure::P50,
            Kind::Idle { .. } => Figure::ServerConnection,
            Kind::Slow { .. } => Figure::P99,
            _ => Figure::Throughput,
        }
    }
}

/// A ratio, and the range of its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// All rounds of a workload.
#[derive(Debug)]
pub(crate) struct Samples {
    workload: Workload,
    rounds: Vec<Measurement>,
}

impl Samples {
    pub(crate) fn new(workload: Workload) -> Self {
        Self { workload, rounds: Vec::new() }
    }

    pub(crate) fn workload(&self) -> &Workload {
        &self.workload
    }

    pub(crate) fn push(&mut self, measurement: Measurement) {
        self.rounds.push(measurement);
    }

    /// Removes a system that has failed.
    pub(crate) fn remove(&mut self, system: System) {
        self.rounds.retain(|round| round.system != system);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Measurement> {
        self.rounds.iter()
    }

    fn of(&self, system: System) -> impl Iterator<Item = &Measurement> {
        self.rounds.iter().filter(move |round| round.system == system)
    }

    /// The median over the rounds of a system; `None` without rounds.
    pub(crate) fn median(&self, system: System, figure: Figure) -> Option<f64> {
        median(self.of(system).map(|round| figure.of(round)).filter(|value| value.is_finite()))
    }

    /// The ratio of rpcnet's figure to the best figure of these systems, round by round; `None` if none of them was
    /// measured.
    pub(crate) fn ratio(&self, against: &[System], figure: Figure) -> Option<Ratio> {
        let ratios: Vec<f64> = self
            .of(self.workload.ours())
            .filter_map(|ours| {
                let peers = against.iter().flat_map(|&system| self.of(system));
                let values = peers.filter(|peer| peer.round == ours.round).map(|peer| figure.of(peer));
                let best = values.reduce(|a, b| figure.best(a, b))?;
                Some(figure.of(ours) / best).filter(|ratio| ratio.is_finite())
            })
            .collect();
        Some(Ratio {
            median: median(ratios.iter().copied())?,
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
