//! Measures the selected rows.

use std::io::{self, IsTerminal, Write};

use rpcnet_benches::{Failure, Options, chain};

use crate::{
    comparison,
    measurement::{Measurement, Samples, Usage},
    order::{Order, Outcome},
    pair::{Identities, Pair},
    plan::Plan,
    system::System,
    workload::{Kind, WORKLOADS, Workload},
};

/// The seed of the lossy path's dice, which is the same for all systems.
const SEED: u64 = 20;

/// Returns whether any of these rows is selected.
pub(crate) fn selected(options: &Options) -> bool {
    WORKLOADS.iter().any(|workload| !comparison::systems(workload, options).is_empty())
}

/// Runs all rounds of all selected workloads. A peer that fails at a workload is left out of it, and its failure is
/// printed on stderr.
pub(crate) fn measure(options: &Options, plan: Plan) -> Result<Vec<Samples>, Failure> {
    let identities = Identities::new()?;
    let mut all = Vec::new();
    for workload in &WORKLOADS {
        let mut systems = comparison::systems(workload, options);
        systems.retain(|&system| {
            let built = system.is_built();
            if !built {
                note(&format!("{workload}: {system} is skipped: it was not built"));
            }
            built
        });
        if !systems.is_empty() {
            all.push(rounds(workload, systems, &identities, plan)?);
        }
    }
    progress("");
    Ok(all)
}

/// A system at a workload.
struct Contestant {
    system: System,
    /// The running processes, if they outlive a round.
    pair: Option<Pair>,
}

fn rounds(
    workload: &Workload,
    systems: Vec<System>,
    identities: &Identities,
    plan: Plan,
) -> Result<Samples, Failure> {
    let mut samples = Samples::new(*workload);
    let mut contestants = Vec::new();
    for system in systems {
        progress(&format!("{workload}, {system}: warm-up"));
        match warm_up(workload, system, identities, plan) {
            Ok(pair) => contestants.push(Contestant { system, pair }),
            Err(error) => failed(workload, system, &mut samples, error)?,
        }
    }
    let rounds = plan.rounds(workload.kind);
    for round in 0..rounds {
        // Each system begins a round once. Its predecessor changes only when failing systems drop out.
        let mut waiting = std::mem::take(&mut contestants);
        if round > 0 && !waiting.is_empty() {
            waiting.rotate_left(1);
        }
        for mut contestant in waiting {
            let system = contestant.system;
            progress(&format!("{workload}, {system}: round {} of {rounds}", round + 1));
            match self::round(workload, &mut contestant, identities, plan) {
                Ok((outcome, usage)) => {
                    samples.push(Measurement::new(*workload, system, round, outcome, usage));
                    contestants.push(contestant);
                }
                Err(error) => failed(workload, system, &mut samples, error)?,
            }
        }
    }
    Ok(samples)
}

/// Records a failed peer. A failure of rpcnet ends the measurement, because then there is nothing to compare.
fn failed(workload: &Workload, system: System, samples: &mut Samples, error: Failure) -> Result<(), Failure> {
    let message = format!("{workload}, {system}: {}", chain(&*error));
    if system == workload.ours() {
        return Err(message.into());
    }
    note(&format!("{message}; it is left out"));
    samples.remove(system);
    Ok(())
}

fn warm_up(
    workload: &Workload,
    system: System,
    identities: &Identities,
    plan: Plan,
) -> Result<Option<Pair>, Failure> {
    let lossy = matches!(workload.kind, Kind::Lossy { .. }).then_some(SEED);
    let (connections, call) = match workload.kind {
        Kind::Calls { connections, .. } | Kind::Lossy { connections, .. } => (connections, true),
        // All calls are on one connection, whatever a balancer opens behind it.
        Kind::Balanced { .. } | Kind::Slow { .. } => (1, true),
        // Bare quinn sends only items there.
        Kind::Items { .. } => (1, false),
        Kind::Connects { .. } => (0, false),
        Kind::Idle { .. } => return Ok(None),
    };
    let mut pair = Pair::start(system, identities, lossy)?;
    pair.ask(Order::Connect { connections, call })?;
    pair.ask(order(workload.kind, 0, plan.warm_up()))?;
    Ok(Some(pair))
}

fn round(
    workload: &Workload,
    contestant: &mut Contestant,
    identities: &Identities,
    plan: Plan,
) -> Result<(Outcome, [Usage; 2]), Failure> {
    let order = order(workload.kind, plan.settling(), plan.round(workload.kind));
    match (&mut contestant.pair, workload.kind) {
        (Some(pair), _) => pair.measure(order),
        (None, Kind::Idle { connections }) => {
            idle(contestant.system, plan.idle(connections), order, identities)
        }
        (None, _) => Err("its processes do not run".into()),
    }
}

/// Makes the order of a round. `settle_millis` precede it if a system must first find its balance.
fn order(kind: Kind, settle_millis: u64, millis: u64) -> Order {
    match kind {
        Kind::Calls { size, in_flight, .. }
        | Kind::Lossy { size, in_flight, .. }
        | Kind::Balanced { size, in_flight } => Order::Calls { size, in_flight, millis },
        Kind::Items { count } => Order::Items { count, millis },
        Kind::Connects { at_a_time } => Order::Connects { at_a_time, millis },
        Kind::Idle { .. } => Order::Rest { millis },
        Kind::Slow { rate } => Order::Arrivals { rate, settle_millis, millis },
    }
}

/// Measures idle connections with fresh processes: they would take memory again that was freed before, and no growth
/// would be seen.
fn idle(
    system: System,
    connections: usize,
    rest: Order,
    identities: &Identities,
) -> Result<(Outcome, [Usage; 2]), Failure> {
    let mut pair = Pair::start(system, identities, None)?;
    // Memory that is allocated only once does not count.
    pair.ask(Order::Connect { connections: 1, call: true })?;
    let before = pair.resident()?;
    let opened = pair.ask(Order::Connect { connections, call: true })?;
    let (_, mut usage) = pair.measure(rest)?;
    let after = pair.resident()?;
    for side in 0..usage.len() {
        let grown = after[side].saturating_sub(before[side]);
        usage[side].connection_bytes = Some(grown as f64 / connections as f64);
    }
    Ok((opened, usage))
}

/// Prints a line on stderr that stays.
fn note(text: &str) {
    progress("");
    let _ = writeln!(io::stderr(), "{text}");
}

/// Shows the current step on one line of a terminal. Prints nothing if stderr is not a terminal.
fn progress(text: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}
