//! Rows of all runs together, and for people what broke.

use std::collections::BTreeMap;

use rpcnet_benches::{Report, Row, percentile};

use crate::{
    checks::Invariant,
    resources::{Growth, RUNNER},
    run::{Outcomes, say},
};

/// Descriptors that a process may have more of in the end: a dial that is under way, a snapshot that is being written.
const DESCRIPTORS: &str = "<=4";
/// Memory that a process may have more of in the end, in MiB: allocators keep what large bodies needed. The client
/// makes six such calls a second by default; while they wait for their deadlines, those of five seconds take 30 MiB.
const MEMORY: &str = "<=64";

/// By how much a node that has lived for a minute may grow, in MiB a minute. A small leak shows in long runs.
const SLOPE: &str = "<=15";

/// The figures of these runs.
pub(crate) fn report(runs: &[(u64, Outcomes)]) -> Report {
    let mut rows = Vec::new();
    let sum = |of: fn(&Outcomes) -> u64| runs.iter().map(|(_, run)| of(run)).sum::<u64>() as f64;
    let row = |name: &str, value: f64, unit: &'static str| Row::new(format!("chaos/{name}"), value, unit);
    let held = |name: &str, value: f64, unit: &'static str, target: &str| {
        row(name, value, unit).with_target(target.parse().expect("written here"))
    };
    for invariant in Invariant::ALL {
        let breaches = runs.iter().filter_map(|(_, run)| run.findings.breaches.get(&invariant)).sum::<u64>();
        rows.push(held(invariant.name(), breaches as f64, "calls", "==0"));
    }
    rows.push(held("panics", sum(|run| run.panics.len() as u64), "lines", "==0"));
    rows.push(held("unexpected-exits", sum(|run| run.broken.len() as u64), "processes", "==0"));
    rows.push(held("unhealed", sum(|run| run.unhealed.len() as u64), "nodes", "==0"));
    let growths = || runs.iter().flat_map(|(_, run)| &run.growths);
    let most = |of: fn(&Growth) -> f64| growths().map(of).fold(0.0, f64::max);
    rows.push(held("descriptors-grown", most(|growth| growth.descriptors as f64), "files", DESCRIPTORS));
    rows.push(held("memory-grown", most(|growth| growth.memory), "MiB", MEMORY));
    rows.push(held("memory-slope", most(slope), "MiB/min", SLOPE));
    let of_runner = growths().filter(|growth| growth.life == RUNNER).map(|growth| growth.memory);
    rows.push(row("memory-grown-runner", of_runner.fold(0.0, f64::max), "MiB"));

    rows.push(row("calls", sum(|run| run.findings.calls), "calls"));
    rows.push(row("quiet-calls", sum(|run| run.findings.quiet_calls), "calls"));
    let (idempotent, failed) =
        (sum(|run| run.findings.idempotent), sum(|run| run.findings.idempotent_failed));
    rows.push(row("idempotent-failed", failed / idempotent.max(1.0) * 100.0, "%"));
    for (code, count) in added(runs.iter().map(|(_, run)| &run.findings.failed)) {
        rows.push(row(&format!("failed/{code}"), count as f64, "calls"));
    }
    for (kind, count) in added(runs.iter().map(|(_, run)| &run.faults)) {
        rows.push(row(&format!("faults/{kind}"), count as f64, "faults"));
    }
    let mut quiet: Vec<_> = runs.iter().flat_map(|(_, run)| run.findings.quiet.iter().copied()).collect();
    for (name, share) in [("quiet-p50", 0.5), ("quiet-p99", 0.99)] {
        if let Some(micros) = percentile(&mut quiet, share) {
            rows.push(row(name, micros as f64, "us"));
        }
    }
    rows.push(row("quiet-not-judged", sum(|run| run.not_judged as u64), "times"));
    let stalled = runs.iter().map(|(_, run)| run.stalled.as_secs_f64());
    rows.push(row("runner-stalled", stalled.fold(0.0, f64::max), "s"));
    let healed = runs.iter().map(|(_, run)| run.healed.as_secs_f64());
    rows.push(row("longest-to-heal", healed.fold(0.0, f64::max), "s"));
    rows.into_iter().collect()
}

/// A node's. The runner keeps what became of each call, and the bodies of those under way.
fn slope(growth: &Growth) -> f64 {
    growth.slope.filter(|_| growth.life != RUNNER).unwrap_or_default()
}

fn added<'a>(counts: impl Iterator<Item = &'a BTreeMap<&'static str, u64>>) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    for (name, count) in counts.flatten() {
        *all.entry(*name).or_default() += count;
    }
    all
}

/// Returns true if an invariant was broken, after printing which, how, and the journal.
pub(crate) fn tell(seed: u64, run: &Outcomes) -> bool {
    let mut broken = run.findings.told.clone();
    broken.extend(run.panics.iter().map(|line| format!("panic: {line}")));
    broken.extend(run.broken.iter().map(|line| format!("unexpected exit: {line}")));
    broken.extend(run.unhealed.iter().map(|line| format!("unhealed: {line}")));
    let target = |text: &str| text.parse::<rpcnet_benches::Target>().expect("written here");
    for growth in &run.growths {
        let held = target(DESCRIPTORS).holds(growth.descriptors as f64)
            && target(MEMORY).holds(growth.memory)
            && target(SLOPE).holds(slope(growth));
        if !held {
            broken.push(format!("growth: {growth}"));
        }
    }
    if broken.is_empty() {
        say(&format!("seed {seed}: all invariants hold"));
        return false;
    }
    say(&format!("seed {seed}: invariants are BROKEN; what happened:"));
    run.journal.iter().for_each(|line| say(&format!("  {line}")));
    say("what broke:");
    broken.iter().for_each(|line| say(&format!("  {line}")));
    true
}
