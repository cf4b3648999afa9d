//! The rows `calls/echo/…`.

mod round;
mod workload;

use std::time::Duration;

use bytes::Bytes;
use rpcnet::dev::DevCa;
use rpcnet_benches::{Credentials, Failure, Options, Row, ServerProcess, bare};

use self::{
    round::{Round, Rounds, round},
    workload::{WORKLOADS, Workload},
};
use crate::{
    ours::{self, EchoClient},
    progress::progress,
    role::{self, Role},
};

/// The prefix of all ids.
pub(crate) const PREFIX: &str = "calls/echo/";

/// A client of an echoing system, on one connection.
pub(crate) trait System: Clone + Send + Sync + 'static {
    /// Sends the payload and waits until it has come back.
    fn echo(&self, payload: &Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send;
}

impl System for bare::Client {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        self.echo(payload).await
    }
}

/// The length of the measurement.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    warm_up: Duration,
    round: Duration,
}

impl Plan {
    fn new(quick: bool) -> Self {
        let millis = Duration::from_millis;
        if quick {
            Self { rounds: 2, warm_up: millis(50), round: millis(200) }
        } else {
            Self { rounds: 5, warm_up: millis(300), round: millis(1000) }
        }
    }
}

/// Returns whether any of these rows is selected.
pub(crate) fn selected(options: &Options) -> bool {
    WORKLOADS.iter().any(|workload| workload.selected(options))
}

/// Starts the servers, measures the selected workloads, and returns the selected rows.
pub(crate) async fn measure(options: &Options) -> Result<Vec<Row>, Failure> {
    if !selected(options) {
        return Ok(Vec::new());
    }
    let ca = DevCa::generate()?;
    let credentials = Credentials::issue(&ca, "client")?;
    let (ours_process, ours_address) = role::start(Role::Ours, &ca)?;
    let (bare_process, bare_address) = role::start(Role::Bare, &ca)?;
    let client = EchoClient::new(ours::connect(ours_address, &credentials).await?);
    let mut ours = Side::new(Role::Ours, ours_process, client);
    let client = bare::Client::connect(&bare::Dialer::new(&credentials)?, bare_address).await?;
    let mut bare = Side::new(Role::Bare, bare_process, client);
    let plan = Plan::new(options.quick());
    let mut rows = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| workload.selected(options)) {
        let payload = workload.payload();
        progress(&format!("{workload}: warm-up"));
        ours.warm_up(workload, &payload, plan).await?;
        bare.warm_up(workload, &payload, plan).await?;
        for index in 0..plan.rounds {
            progress(&format!("{workload}: round {} of {}", index + 1, plan.rounds));
            // The order alternates, so that neither system always follows the other.
            if index % 2 == 0 {
                ours.round(workload, &payload, plan).await?;
                bare.round(workload, &payload, plan).await?;
            } else {
                bare.round(workload, &payload, plan).await?;
                ours.round(workload, &payload, plan).await?;
            }
        }
        rows.extend(workload.rows(&ours.take(), &bare.take(), options));
    }
    progress("");
    Ok(rows)
}

/// One of the two systems, with the results of its rounds.
struct Side<S> {
    role: Role,
    process: ServerProcess,
    client: S,
    rounds: Rounds,
}

impl<S: System> Side<S> {
    fn new(role: Role, process: ServerProcess, client: S) -> Self {
        Self { role, process, client, rounds: Rounds::default() }
    }

    /// Also checks that the reply equals the payload. In rounds only its length is checked.
    async fn warm_up(&self, workload: &Workload, payload: &Bytes, plan: Plan) -> Result<(), Failure> {
        let reply = self.client.echo(payload).await.map_err(|source| self.failed(workload, source))?;
        if reply != *payload {
            return Err(self.failed(workload, "the echo is not what was sent".into()));
        }
        self.calls(workload, payload, plan.warm_up).await?;
        Ok(())
    }

    async fn round(&mut self, workload: &Workload, payload: &Bytes, plan: Plan) -> Result<(), Failure> {
        let cpu_before = self.cpu_times()?;
        let round = self.calls(workload, payload, plan.round).await?;
        let cpu_after = self.cpu_times()?;
        self.rounds.push(round, cpu_after.0 - cpu_before.0, cpu_after.1 - cpu_before.1);
        Ok(())
    }

    async fn calls(&self, workload: &Workload, payload: &Bytes, time: Duration) -> Result<Round, Failure> {
        let result = round(&self.client, payload, workload.in_flight(), time).await;
        result.map_err(|source| self.failed(workload, source))
    }

    fn failed(&self, workload: &Workload, source: Failure) -> Failure {
        Box::new(Failed { what: format!("{workload}, {}", self.role), source })
    }

    /// The processor times of the client, which is this process, and of the server.
    fn cpu_times(&self) -> Result<(Duration, Duration), Failure> {
        Ok((rpcnet_benches::cpu_time(std::process::id())?, self.process.cpu_time()?))
    }

    fn take(&mut self) -> Rounds {
        std::mem::take(&mut self.rounds)
    }
}

/// The error for a failed call, which ends the measurement.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Failed {
    what: String,
    source: Failure,
}
