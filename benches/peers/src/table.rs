//! Measurements of a workload as a Markdown table.

use std::fmt::Write;

use crate::{
    measurement::{Figure, Samples},
    peer::ITEM,
    system::System,
    workload::Kind,
};

/// A column: its head, its figure, and the divisor of the figure.
type Column = (&'static str, Figure, f64);

const MEBI: f64 = (1 << 20) as f64;

const LATENCIES: [Column; 3] =
    [("p50 µs", Figure::P50, 1.0), ("p99 µs", Figure::P99, 1.0), ("p99.9 µs", Figure::P999, 1.0)];
const MILLISECONDS: [Column; 3] =
    [("p50 ms", Figure::P50, 1e3), ("p99 ms", Figure::P99, 1e3), ("p99.9 ms", Figure::P999, 1e3)];
const MEMORY: [Column; 2] =
    [("client MiB", Figure::ClientPeak, MEBI), ("server MiB", Figure::ServerPeak, MEBI)];
const CONNECTIONS: [Column; 2] = [
    ("client KiB each", Figure::ClientConnection, 1024.0),
    ("server KiB each", Figure::ServerConnection, 1024.0),
];

fn cpu(unit: &'static str) -> [Column; 2] {
    let [client, server] = match unit {
        "item" => ["client µs an item", "server µs an item"],
        "connection" => ["client µs each", "server µs each"],
        _ => ["client µs a call", "server µs a call"],
    };
    [(client, Figure::ClientCpu, 1.0), (server, Figure::ServerCpu, 1.0)]
}

/// A column for megabytes of payload a second, in one direction.
fn megabytes(size: usize) -> Column {
    ("MB/s", Figure::Throughput, 1e6 / size as f64)
}

fn columns(kind: Kind) -> Vec<Column> {
    let mut columns = Vec::new();
    match kind {
        Kind::Calls { size, .. } | Kind::Lossy { size, .. } | Kind::Balanced { size, .. } => {
            columns.extend([("calls/s", Figure::Throughput, 1.0), megabytes(size)]);
            columns.extend(LATENCIES);
            if matches!(kind, Kind::Lossy { .. }) {
                columns.insert(3, ("p95 µs", Figure::P95, 1.0));
            }
            columns.extend(cpu("call"));
            columns.extend(MEMORY);
        }
        Kind::Items { .. } => {
            columns.extend([("items/s", Figure::Throughput, 1.0), megabytes(ITEM)]);
            columns.extend(cpu("item"));
            columns.extend(MEMORY);
        }
        Kind::Connects { .. } => {
            columns.push(("connections/s", Figure::Throughput, 1.0));
            columns.extend(LATENCIES);
            columns.extend(cpu("connection"));
            columns.extend(MEMORY);
        }
        Kind::Idle { .. } => columns.extend(CONNECTIONS),
        Kind::Slow { .. } => {
            columns.extend([("at the slow one %", Figure::SlowShare, 1.0)]);
            columns.extend(MILLISECONDS);
            columns.extend(cpu("call"));
        }
    }
    columns
}

/// A table of all measured systems: the medians over the rounds, then rpcnet's ratio to each system, with the least and
/// the greatest ratio of a round.
pub(crate) fn table(samples: &Samples) -> String {
    let workload = samples.workload();
    let columns = columns(workload.kind);
    let ratio = match workload.figure() {
        Figure::P50 => "ours/it, p50",
        Figure::P99 => "ours/it, p99",
        Figure::ServerConnection => "ours/it, server",
        _ => "ours/it",
    };
    let mut text = String::from("| system |");
    for (head, ..) in &columns {
        let _ = write!(text, " {head} |");
    }
    let _ = writeln!(text, " {ratio} | least – most |");
    text.push_str("| --- |");
    text.push_str(&" ---: |".repeat(columns.len() + 2));
    text.push('\n');
    for system in systems(samples) {
        let _ = write!(text, "| {system} |");
        for &(_, figure, divisor) in &columns {
            let cell = samples.median(system, figure).map(|value| rounded(value / divisor));
            let _ = write!(text, " {} |", cell.unwrap_or_else(|| "–".into()));
        }
        match samples.ratio(&[system], workload.figure()).filter(|_| system != workload.ours()) {
            Some(ratio) => {
                let [median, least, most] = [ratio.median, ratio.least, ratio.most].map(rounded);
                let _ = writeln!(text, " {median} | {least} – {most} |");
            }
            None => text.push_str(" | |\n"),
        }
    }
    text
}

/// The systems in the order in which they were first measured.
fn systems(samples: &Samples) -> Vec<System> {
    let mut systems = Vec::new();
    for round in samples.iter() {
        if !systems.contains(&round.system) {
            systems.push(round.system);
        }
    }
    systems
}

/// Formats three significant digits, or all digits before the point.
fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{measurement::tests::round, workload::WORKLOADS};

    #[test]
    fn a_line_a_system() {
        let workload = WORKLOADS[1];
        let mut samples = Samples::new(workload);
        samples.push(round(workload, System::Ours, 0, 300_000, 20.0));
        samples.push(round(workload, System::Tarpc, 0, 200_000, 30.0));
        let expected = "\
| system | calls/s | MB/s | p50 µs | p99 µs | p99.9 µs | client µs a call | server µs a call | client MiB | server MiB | ours/it | least – most |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| rpcnet | 300000 | 9.60 | 20.0 | 60.0 | 80.0 | 1.67 | 1.67 | 8.00 | 8.00 | | |
| tarpc, plain TCP | 200000 | 6.40 | 30.0 | 90.0 | 120 | 2.50 | 2.50 | 8.00 | 8.00 | 1.50 | 1.50 – 1.50 |
";
        assert_eq!(table(&samples), expected);
    }

    #[test]
    fn idle_connections_are_told_by_their_memory() {
        let workload =
            *WORKLOADS.iter().find(|workload| workload.name == "speed/idle").expect("there is one");
        let mut samples = Samples::new(workload);
        samples.push(round(workload, System::Ours, 0, 1000, 1.0));
        samples.push(round(workload, System::TonicTls, 0, 1000, 1.0));
        let table = table(&samples);
        assert!(table.contains("| tonic, TLS | 2.00 | 2.00 | 1.00 | 1.00 – 1.00 |"), "{table}");
    }
}
