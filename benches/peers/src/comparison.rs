//! The rows: which figure of ours is compared with whose, and what it should come to.

use rpcnet_benches::{Options, Row};

use crate::{
    measurement::{Figure, Samples},
    system::System::{self, *},
    workload::{Kind, Workload},
};

/// A row: ours by the best of `against`.
struct Comparison {
    id: String,
    against: &'static [System],
    figure: Figure,
}

/// What the rows should come to, by their ids.
const TARGETS: [(&str, &str); 19] = [
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

fn against(workload: &Workload) -> &'static [Against] {
    match workload.kind {
        Kind::Calls { connections: 1, in_flight: 1, .. } => &[BETTER_BARE, FIRST, TARPC, TLS, TCP],
        Kind::Calls { .. } => &[STREAM, LANE, FIRST, TARPC, TLS, TCP],
        // tarpc has no streams.
        Kind::Items { .. } => &[BARE_ITEMS, FIRST, TLS, TCP],
        // What runs over TCP has its packets repeated by the kernel: no datagram of it can be lost here.
        Kind::Lossy { .. } => &[OWN_STREAMS, STREAM, LANE, FIRST],
        Kind::Idle { .. } => &[BARE, FIRST, TARPC, TLS, TCP],
        // Without TLS there is no handshake to measure.
        Kind::Connects { .. } => &[BARE, FIRST, TLS],
    }
}

fn comparisons(workload: &Workload) -> Vec<Comparison> {
    let row = |(name, against): Against, suffix: &str, figure| Comparison {
        id: format!("{workload}/vs-{name}{suffix}"),
        against,
        figure,
    };
    let mut rows: Vec<_> =
        against(workload).iter().map(|&against| row(against, "", workload.figure())).collect();
    if matches!(workload.kind, Kind::Lossy { .. }) {
        rows.insert(1, row(OWN_STREAMS, "/p95", Figure::P95));
        rows.insert(2, row(OWN_STREAMS, "/p99", Figure::P99));
    }
    rows
}

/// The systems that the rows need which are asked for, ours first; none where none is.
pub(crate) fn systems(workload: &Workload, options: &Options) -> Vec<System> {
    let mut systems = Vec::new();
    for comparison in comparisons(workload).iter().filter(|comparison| options.selects(&comparison.id)) {
        if systems.is_empty() {
            systems.push(Ours);
        }
        for &system in comparison.against {
            if !systems.contains(&system) {
                systems.push(system);
            }
        }
    }
    systems
}

/// The rows that are asked for, as far as there are measurements for them.
pub(crate) fn rows(samples: &Samples, options: &Options) -> Vec<Row> {
    comparisons(samples.workload())
        .into_iter()
        .filter(|comparison| options.selects(&comparison.id))
        .filter_map(|Comparison { id, against, figure }| {
            let ratio = samples.ratio(against, figure)?;
            let target = TARGETS.iter().find(|(of, _)| *of == id);
            let row = Row::new(id, ratio.median, "ratio");
            Some(match target {
                Some((_, target)) => row.with_target(target.parse().expect("all targets are")),
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
    use crate::{measurement::tests::round, workload::WORKLOADS};

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
