//! The rows `calls/overload/…`: a server gets up to twice as many calls as it can answer.
//!
//! A call needs one of eight places for 5 ms. It sleeps there, so that client and server do not compete for the
//! processor. Calls arrive as from many users who do not wait for each other: as a Poisson process from a seed,
//! independent of earlier calls. Latency counts from the time at which a call was due, not from the time at which it
//! was made.
//!
//! Loads are relative to the capacity, which is measured. tokio's timers count milliseconds, so a sleep of 5 ms takes
//! more than 6, and a server answers fewer than 1600 calls a second.

mod figures;
mod load;
mod service;

use std::time::Duration;

use rpcnet::dev::DevCa;
use rpcnet_benches::{Credentials, Failure, Options, Row, median};

pub(crate) use self::service::serve;
use self::{
    figures::{Figures, Mode, Sweep},
    load::{Load, capacity, offer},
    service::WorkClient,
};
use crate::{
    ours,
    progress::progress,
    role::{self, Role},
};

/// The prefix of all ids.
pub(crate) const PREFIX: &str = "calls/overload/";

/// The offered loads, as multiples of the capacity.
const LOADS: [f64; 5] = [0.5, 0.8, 1.0, 1.5, 2.0];
/// The index of the load whose 99th percentile is the base of comparison.
const MODERATE: usize = 1;

const MODES: [Mode; 3] = [
    Mode { prefix: "", role: Role::Shedding, targets: Some([">=0.9", "<3"]) },
    Mode { prefix: "no-shedding/", role: Role::Unlimited, targets: None },
    Mode { prefix: "adaptive/", role: Role::Adaptive, targets: None },
];

/// The length of the measurement.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: u64,
    /// The uncounted time before each load.
    warm_up: Duration,
    /// The time of each load.
    time: Duration,
    capacity: Duration,
}

impl Plan {
    fn new(quick: bool) -> Self {
        let millis = Duration::from_millis;
        if quick {
            Self { rounds: 1, warm_up: millis(200), time: millis(500), capacity: millis(300) }
        } else {
            Self { rounds: 3, warm_up: millis(500), time: millis(2_000), capacity: millis(1_000) }
        }
    }
}

fn capacity_id() -> String {
    format!("{PREFIX}capacity")
}

/// Returns whether any of these rows is selected.
pub(crate) fn selected(options: &Options) -> bool {
    options.selects(&capacity_id()) || MODES.iter().any(|mode| mode.selected(options))
}

/// Measures the selected rows.
pub(crate) async fn measure(options: &Options) -> Result<Vec<Row>, Failure> {
    if !selected(options) {
        return Ok(Vec::new());
    }
    let plan = Plan::new(options.quick());
    let ca = DevCa::generate()?;
    let credentials = Credentials::issue(&ca, "client")?;
    let mut systems = Vec::new();
    for mode in &MODES {
        let (process, address) = role::start(mode.role, &ca)?;
        let client = WorkClient::new(ours::connect(address, &credentials).await?);
        systems.push(System { mode, client, sweeps: Vec::new(), _process: process });
    }
    let mut capacities = Vec::new();
    for round in 0..plan.rounds {
        progress(&format!("{PREFIX}: capacity"));
        let capacity = capacity(&systems[0].client, plan.capacity).await?;
        capacities.push(capacity);
        for system in systems.iter_mut().filter(|system| system.mode.selected(options)) {
            let sweep = system.sweep(capacity, round, plan).await?;
            system.sweeps.push(sweep);
        }
    }
    progress("");
    let mut rows = Vec::new();
    if options.selects(&capacity_id()) {
        rows.push(Row::new(capacity_id(), median(capacities).unwrap_or(f64::NAN), "calls/s"));
    }
    for system in systems.iter().filter(|system| !system.sweeps.is_empty()) {
        rows.extend(system.mode.rows(&system.sweeps, options));
    }
    Ok(rows)
}

/// A server with the results of its rounds.
struct System {
    mode: &'static Mode,
    client: WorkClient,
    sweeps: Vec<Sweep>,
    _process: rpcnet_benches::ServerProcess,
}

impl System {
    /// Offers all loads, one after the other. Each begins when no call of the last one is left.
    async fn sweep(&self, capacity: f64, round: u64, plan: Plan) -> Result<Sweep, Failure> {
        let mut figures = Vec::new();
        for (index, load) in LOADS.into_iter().enumerate() {
            progress(&format!("{PREFIX}{}{load}x: round {} of {}", self.mode.prefix, round + 1, plan.rounds));
            let load = Load {
                rate: load * capacity,
                warm_up: plan.warm_up,
                time: plan.time,
                // All modes are offered the same calls.
                seed: round << 8 | index as u64,
            };
            figures.push(Figures::of(&offer(&self.client, load).await?, plan.time)?);
        }
        Ok(Sweep { figures: figures.try_into().expect("a figure a load") })
    }
}
