//! The echo's workloads, and their rows.

use std::fmt;

use bytes::Bytes;
use rpcnet_benches::{Options, Row};

use super::{PREFIX, round::Rounds};

/// Calls with payloads of one size, a fixed number of them in flight on one connection.
#[derive(Debug)]
pub(super) struct Workload {
    name: &'static str,
    size: usize,
    in_flight: usize,
}

pub(super) const WORKLOADS: [Workload; 4] = [
    Workload { name: "32B-1x1", size: 32, in_flight: 1 },
    Workload { name: "32B-1x64", size: 32, in_flight: 64 },
    Workload { name: "1KiB-1x64", size: 1 << 10, in_flight: 64 },
    Workload { name: "64KiB-1x8", size: 64 << 10, in_flight: 8 },
];

/// A row of each workload.
struct Figure {
    id: &'static str,
    unit: &'static str,
    /// Computes the figure from rpcnet's rounds and bare quinn's.
    of: fn(&Rounds, &Rounds) -> f64,
}

/// The figure for one call in flight: latency alone, because throughput is its inverse.
const LATENCY_RATIO: Figure =
    Figure { id: "p50-vs-bare-quinn", unit: "ratio", of: |ours, bare| ours.p50_by(bare) };

const THROUGHPUT_RATIO: Figure =
    Figure { id: "vs-bare-quinn", unit: "ratio", of: |ours, bare| ours.throughput_by(bare) };

const FIGURES: [Figure; 8] = [
    Figure { id: "calls-per-s", unit: "calls/s", of: |ours, _| ours.calls_per_second() },
    Figure { id: "p50-us", unit: "us", of: |ours, _| ours.p50_micros() },
    Figure { id: "cpu-us-per-call/client", unit: "us", of: |ours, _| ours.client_cpu_micros() },
    Figure { id: "cpu-us-per-call/server", unit: "us", of: |ours, _| ours.server_cpu_micros() },
    Figure { id: "bare-quinn/calls-per-s", unit: "calls/s", of: |_, bare| bare.calls_per_second() },
    Figure { id: "bare-quinn/p50-us", unit: "us", of: |_, bare| bare.p50_micros() },
    Figure { id: "bare-quinn/cpu-us-per-call/client", unit: "us", of: |_, bare| bare.client_cpu_micros() },
    Figure { id: "bare-quinn/cpu-us-per-call/server", unit: "us", of: |_, bare| bare.server_cpu_micros() },
];

impl Workload {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn payload(&self) -> Bytes {
        (0..self.size).map(|index| index as u8).collect()
    }

    fn figures(&self) -> impl Iterator<Item = (String, &'static Figure)> {
        let ratio = if self.in_flight == 1 { &LATENCY_RATIO } else { &THROUGHPUT_RATIO };
        [ratio].into_iter().chain(&FIGURES).map(move |figure| (format!("{self}/{}", figure.id), figure))
    }

    /// Returns whether any row of this workload is selected.
    pub(super) fn selected(&self, options: &Options) -> bool {
        self.figures().any(|(id, _)| options.selects(&id))
    }

    /// The selected rows of this workload.
    pub(super) fn rows(&self, ours: &Rounds, bare: &Rounds, options: &Options) -> Vec<Row> {
        self.figures()
            .filter(|(id, _)| options.selects(id))
            .map(|(id, figure)| Row::new(id, (figure.of)(ours, bare), figure.unit))
            .collect()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use clap::Parser;

    use super::{super::round::Round, *};

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        options: Options,
    }

    fn only(prefix: &str) -> Options {
        Flags::try_parse_from(["calls", "--only", prefix]).expect("valid").options
    }

    fn rounds(calls: usize, p50: u64) -> Rounds {
        let mut rounds = Rounds::default();
        let round = Round { calls, elapsed: Duration::from_secs(1), p50: Duration::from_micros(p50) };
        rounds.push(round, Duration::from_millis(500), Duration::from_millis(700));
        rounds
    }

    #[test]
    fn a_workload_is_selected_by_any_of_its_rows() {
        let selected = |prefix: &str| {
            let options = only(prefix);
            WORKLOADS
                .iter()
                .filter(|workload| workload.selected(&options))
                .map(|workload| workload.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(selected("calls/echo/32B"), ["32B-1x1", "32B-1x64"]);
        assert_eq!(selected("calls/echo/64KiB-1x8/p50-us"), ["64KiB-1x8"]);
        assert_eq!(selected("calls").len(), WORKLOADS.len());
        assert!(selected("calls/overload").is_empty());
    }

    #[test]
    fn rows_are_those_that_were_asked_for() {
        let rows = WORKLOADS[1].rows(&rounds(900, 70), &rounds(1_000, 60), &only("calls/echo/32B-1x64/vs"));
        assert_eq!(rows, [Row::new("calls/echo/32B-1x64/vs-bare-quinn", 0.9, "ratio")]);
    }

    #[test]
    fn one_call_in_flight_is_compared_by_its_latency() {
        let rows = WORKLOADS[0].rows(&rounds(900, 66), &rounds(1_000, 60), &only("calls/echo/32B-1x1/"));
        assert_eq!(rows[0].id(), "calls/echo/32B-1x1/p50-vs-bare-quinn");
        assert!((rows[0].value() - 1.1).abs() < 1e-9);
    }

    #[test]
    fn ids_are_distinct() {
        let ids: Vec<_> =
            WORKLOADS.iter().flat_map(|workload| workload.figures().map(|(id, _)| id)).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }
}
