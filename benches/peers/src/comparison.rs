//! The rows: the compared figures, the systems on both sides, and the targets.

use rpcnet_benches::{Options, Row};

use crate::{
    measurement::{Figure, Samples},
    system::System::{self, *},
    workload::{Kind, Workload},
};

/// A row of the report.
struct Comparison {
    id: String,
    value: Value,
    figure: Figure,
}

/// The way in which a row's value is computed from the figures.
enum Value {
    /// The ratio of rpcnet's figure to the best figure of these systems.
    Ratio(&'static [System]),
    /// The median figure of one system, divided by a number, in a unit.
    Median(System, f64, &'static str),
}

/// The targets of the rows, by their ids.
const TARGETS: [(&str, &str); 20] = [
    ("speed/32B-1x1/vs-bare-quinn", "<=1.15"),
    ("speed/32B-1x64/vs-bare-quinn-lane", ">=0.75"),
    ("speed/32B-1x64/vs-tarpc", ">=2.0"),
    ("speed/32B-1x64/vs-tonic-tls", ">=4.0"),
    ("speed/32B-1x64/vs-rpcnet-0.1", ">=2.5"),
    ("speed/32B-8x32/vs-bare-quinn-lane", ">=0.6"),
    ("speed/32B-8x32/vs-tarpc", ">=2.5"),
    ("speed/32B-8x32/vs-tonic-tls", ">=8.0"),
    ("speed/32B-8x32/vs-rpcnet-0.1", ">=5.0"),
    ("speed/16KiB/vs-bare-quinn-stream", ">=0.95"),
    ("speed/16KiB/vs-tonic-tls", ">=1.0"),
    ("speed/1MiB/vs-tonic-tls", ">=1.05"),
    ("speed/1MiB/vs-rpcnet-0.1", ">=10.0"),
    ("speed/items/vs-tonic-tls", ">=1.0"),
    ("speed/loss/vs-stream-a-call/p95", "<=1.5"),
    ("speed/loss/vs-stream-a-call/p99", "<=1.2"),
    ("speed/loss/vs-stream-a-call", ">=0.9"),
    ("speed/idle/vs-tonic-tls", "<=1.25"),
    ("speed/connects/vs-bare-quinn", ">=0.85"),
    ("balancing/slow/share/rpcnet", "<1"),
];

type Against = (&'static str, &'static [System]);

const BETTER_BARE: Against = ("bare-quinn", &[BareStream, BareLane]);
const BARE: Against = ("bare-quinn", &[BareStream]);
const BARE_ITEMS: Against = ("bare-quinn", &[BareItems]);
const STREAM: Against = ("bare-quinn-stream", &[BareStream]);
const LANE: Against = ("bare-quinn-lane", &[BareLane]);
const OWN_STREAMS: Against = ("stream-a-call", &[OursStreams]);
const FIRST: Against = ("rpcnet-0.1", &[Rpcnet01]);
const TARPC: Against = ("tarpc", &[Tarpc]);
const TLS: Against = ("tonic-tls", &[TonicTls]);
const TCP: Against = ("tonic-tcp", &[TonicTcp]);
const PLAIN: Against = ("plain", &[Ours]);
const BALANCE_LIST: Against = ("tonic-balance-list", &[TonicBalanceList]);
const PEAK_EWMA: Against = ("tower-peak-ewma", &[TowerPeakEwma]);

/// The suffixes of the ids of each system's own rows.
const BALANCERS: [(&str, System); 3] =
    [("rpcnet", OursBalanced), (BALANCE_LIST.0, TonicBalanceList), (PEAK_EWMA.0, TowerPeakEwma)];

fn against(workload: &Workload) -> &'static [Against] {
    match workload.kind {
        Kind::Calls { connections: 1, in_flight: 1, .. } => &[BETTER_BARE, FIRST, TARPC, TLS, TCP],
        Kind::Calls { .. } => &[STREAM, LANE, FIRST, TARPC, TLS, TCP],
        // tarpc has no streams.
        Kind::Items { .. } => &[BARE_ITEMS, FIRST, TLS, TCP],
        // Over TCP the kernel repeats lost packets, and the proxy loses only datagrams.
        Kind::Lossy { .. } => &[OWN_STREAMS, STREAM, LANE, FIRST],
        Kind::Idle { .. } => &[BARE, FIRST, TARPC, TLS, TCP],
        // Without TLS there is no handshake to measure.
        Kind::Connects { .. } => &[BARE, FIRST, TLS],
        Kind::Balanced { .. } => &[PLAIN, BALANCE_LIST, PEAK_EWMA],
        // The p99 of a system that overloads a server grows with the length of the round. So the figure is a row, and
        // no ratio is made of it.
        Kind::Slow { .. } => &[],
    }
}

fn comparisons(workload: &Workload) -> Vec<Comparison> {
    let row = |(name, against): Against, suffix: &str, figure| Comparison {
        id: format!("{workload}/vs-{name}{suffix}"),
        value: Value::Ratio(against),
        figure,
    };
    let mut rows: Vec<_> =
        against(workload).iter().map(|&against| row(against, "", workload.figure())).collect();
    if matches!(workload.kind, Kind::Lossy { .. }) {
        rows.insert(1, row(OWN_STREAMS, "/p95", Figure::P95));
        rows.insert(2, row(OWN_STREAMS, "/p99", Figure::P99));
    }
    if matches!(workload.kind, Kind::Slow { .. }) {
        for (name, figure, divisor, unit) in
            [("share", Figure::SlowShare, 1.0, "%"), ("p99-ms", Figure::P99, 1e3, "ms")]
        {
            rows.extend(BALANCERS.map(|(balancer, system)| Comparison {
                id: format!("{workload}/{name}/{balancer}"),
                value: Value::Median(system, divisor, unit),
                figure,
            }));
        }
    }
    rows
}

/// The systems that the selected rows need, ours first. Empty if no row is selected.
pub(crate) fn systems(workload: &Workload, options: &Options) -> Vec<System> {
    let mut systems = Vec::new();
    for comparison in comparisons(workload).iter().filter(|comparison| options.selects(&comparison.id)) {
        if systems.is_empty() {
            systems.push(workload.ours());
        }
        let others = match &comparison.value {
            Value::Ratio(against) => against,
            Value::Median(system, ..) => std::slice::from_ref(system),
        };
        for &system in others {
            if !systems.contains(&system) {
                systems.push(system);
            }
        }
    }
    systems
}

/// The selected rows, as far as there are measurements for them.
pub(crate) fn rows(samples: &Samples, options: &Options) -> Vec<Row> {
    comparisons(samples.workload())
        .into_iter()
        .filter(|comparison| options.selects(&comparison.id))
        .filter_map(|Comparison { id, value, figure }| {
            let (value, unit) = match value {
                Value::Ratio(against) => (samples.ratio(against, figure)?.median, "ratio"),
                Value::Median(system, divisor, unit) => (samples.median(system, figure)? / divisor, unit),
            };
            let target = TARGETS.iter().find(|(of, _)| *of == id);
            let row = Row::new(id, value, unit);
            Some(match target {
                Some((_, target)) => row.with_target(target.parse().expect("all targets are valid")),
                None => row,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::Parser;
    use rpcnet_benches::Target;

    use super::*;
    use crate::{
        measurement::tests::round,
        workload::{PREFIXES, WORKLOADS},
    };

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        options: Options,
    }

    fn only(prefix: &str) -> Options {
        Flags::try_parse_from(["peers", "--only", prefix]).expect("valid").options
    }

    #[test]
    fn each_target_is_that_of_a_row() {
        let ids: Vec<_> = WORKLOADS.iter().flat_map(comparisons).map(|row| row.id).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        for (id, target) in TARGETS.iter() {
            assert!(ids.iter().any(|row| row == id), "{id}");
            assert!(target.parse::<Target>().is_ok(), "{target}");
        }
        assert!(ids.iter().all(|id| PREFIXES.iter().any(|prefix| id.starts_with(prefix))));
    }

    #[test]
    fn only_what_the_rows_need_is_measured() {
        let [one, many, ..] = &WORKLOADS;
        assert_eq!(systems(one, &only("speed/32B-1x1/vs-bare")), [Ours, BareStream, BareLane]);
        assert_eq!(systems(many, &only("speed/32B-1x64/vs-tarpc")), [Ours, Tarpc]);
        assert_eq!(systems(many, &only("speed/32B-1x1/")), []);
        assert_eq!(systems(many, &only("speed")).len(), 7);
    }

    #[test]
    fn balancers_are_told_each_by_its_own_figures() {
        let workload = *WORKLOADS.last().expect("there are some");
        assert_eq!(systems(&workload, &only("balancing/slow/share/tower")), [OursBalanced, TowerPeakEwma]);
        let mut samples = Samples::new(workload);
        samples.push(round(workload, OursBalanced, 0, 1000, 1000.0));
        samples.push(round(workload, TowerPeakEwma, 0, 1000, 4000.0));
        let rows = rows(&samples, &only("balancing/slow/p99"));
        let told: Vec<_> = rows.iter().map(|row| (row.id(), row.value())).collect();
        let expected =
            [("balancing/slow/p99-ms/rpcnet", 3.0), ("balancing/slow/p99-ms/tower-peak-ewma", 12.0)];
        assert_eq!(told, expected);
    }

    #[test]
    fn rows_are_told_where_both_sides_were_measured() {
        let mut samples = Samples::new(WORKLOADS[1]);
        samples.push(round(WORKLOADS[1], Ours, 0, 300, 10.0));
        samples.push(round(WORKLOADS[1], Tarpc, 0, 200, 10.0));
        samples.push(round(WORKLOADS[1], TonicTcp, 0, 100, 10.0));
        let rows = rows(&samples, &only("speed"));
        let told: Vec<_> = rows.iter().map(|row| (row.id(), row.value(), row.holds())).collect();
        let expected =
            [("speed/32B-1x64/vs-tarpc", 1.5, Some(false)), ("speed/32B-1x64/vs-tonic-tcp", 3.0, None)];
        assert_eq!(told, expected);
    }
}
