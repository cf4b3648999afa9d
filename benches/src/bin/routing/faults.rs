//! One worker of four is killed, or hangs.

use std::time::{Duration, SystemTime};

use rpcnet::{BalancedChannel, BalancedConfig};
use rpcnet_benches::{Failure, Row};
use rustix::process::Signal;
use tokio::sync::watch;

use super::{
    Plan,
    load::{OpenLoop, Outcome, p99},
    role::{Process, Stage, endpoints},
    service::WorkClient,
    slow::all_ready,
    target,
};

pub(crate) const KILL: &str = "routing/kill/";
pub(crate) const HANG: &str = "routing/hang/";
pub(crate) const HEDGING: &str = "routing/hedging/";

/// The rate in calls a second: 30 % of the capacity of four workers.
const RATE: f64 = 0.3 * 4.0 * 2000.0;
const TAKES: Duration = Duration::from_millis(2);
/// The time before the fault.
const QUIET: Duration = Duration::from_secs(4);

struct Fleet {
    workers: Vec<Process>,
    channel: BalancedChannel,
    _set: watch::Sender<rpcnet::discover::EndpointSet>,
}

impl Fleet {
    async fn start() -> Result<Self, Failure> {
        let stage = Stage::new()?;
        let workers = stage.workers(&[TAKES; 4])?;
        let set = watch::Sender::new(endpoints(&workers));
        let channel = BalancedChannel::new(stage.channel()?, set.subscribe(), BalancedConfig::default())?;
        all_ready(&channel, 4).await;
        Ok(Self { workers, channel, _set: set })
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        self.workers[0].signal(signal)
    }
}

/// The rows of a SIGKILL, with both kinds of calls at half of the rate each.
pub(crate) async fn kill(plan: Plan) -> Result<Vec<Row>, Failure> {
    let fleet = Fleet::start().await?;
    let (quiet, time) = if plan.quick { (Duration::from_secs(1), 3) } else { (QUIET, 10) };
    let client = WorkClient::new(fleet.channel.clone());
    let repeated = client.clone();
    let time = Duration::from_secs(time);
    let idempotent = OpenLoop::start(RATE / 2.0, time, move |_| repeated.work());
    let once = OpenLoop::start(RATE / 2.0, time, move |id| client.once(id));
    tokio::time::sleep_until(idempotent.started + quiet).await;
    let at_work = fleet.channel.endpoints()[0].pending;
    let killed = SystemTime::now();
    fleet.signal(Signal::KILL)?;
    let (idempotent, once) = (idempotent.ended().await, once.ended().await);
    let failed = |outcomes: &[Outcome]| outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    // Calls that never ran could have been made at another worker.
    let not_run = |outcome: &&Outcome| matches!(outcome.result, Err((false, _)));
    let needless = once.iter().filter(not_run).count();
    let last = fleet.channel.endpoints()[0].last_pick.unwrap_or(killed);
    let late = last.duration_since(killed).unwrap_or_default().as_secs_f64() * 1000.0;
    let id = |name: &str| format!("{KILL}{name}");
    Ok(vec![
        Row::new(id("idempotent-failed"), failed(&idempotent) as f64, "calls").with_target(target("==0")),
        Row::new(id("once-failed"), failed(&once) as f64, "calls"),
        Row::new(id("once-failed-though-not-executed"), needless as f64, "calls").with_target(target("==0")),
        Row::new(id("at-work-there-when-killed"), at_work as f64, "calls"),
        Row::new(id("last-pick"), late, "ms").with_target(target("<=500")),
        Row::new(id("idempotent-p99-after"), p99(&idempotent, quiet, time), "ms"),
    ])
}

/// The rows of a SIGSTOP: the port stays open, and no answer comes.
pub(crate) async fn hang(plan: Plan, hedged: bool) -> Result<Vec<Row>, Failure> {
    let fleet = Fleet::start().await?;
    let quiet = if plan.quick { Duration::from_secs(1) } else { QUIET };
    let stopped = if plan.quick { Duration::from_secs(2) } else { Duration::from_secs(8) };
    let client = WorkClient::new(fleet.channel.clone());
    let time = quiet + stopped;
    let calls = OpenLoop::start(RATE, time, move |_| {
        let client = client.clone();
        async move { if hedged { client.work_hedged().await } else { client.work().await } }
    });
    tokio::time::sleep_until(calls.started + quiet).await;
    fleet.signal(Signal::STOP)?;
    tokio::time::sleep(stopped).await;
    fleet.signal(Signal::CONT)?;
    let outcomes = calls.ended().await;
    let second = Duration::from_secs(1);
    let before = p99(&outcomes, second.min(quiet / 2), quiet);
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    let prefix = if hedged { HEDGING } else { HANG };
    let id = |name: &str| format!("{prefix}{name}");
    // The windows are a quarter of a second, with 600 calls each.
    let window = second / 4;
    let windows = (0..(stopped.as_millis() / window.as_millis()) as u32).map(|index| {
        let from = quiet + window * index;
        p99(&outcomes, from, from + window) / before
    });
    let windows: Vec<f64> = windows.collect();
    let settled = windows.iter().rposition(|ratio| *ratio >= 2.0).map_or(0, |last| last + 1);
    let mut rows =
        vec![Row::new(id("p99-before"), before, "ms"), Row::new(id("failed"), failed as f64, "calls")];
    let in_a_second = p99(&outcomes, quiet + second, time) / before;
    let worst = windows.iter().copied().fold(0.0, f64::max);
    if hedged {
        rows.push(
            Row::new(id("p99-at-once"), p99(&outcomes, quiet, time) / before, "ratio")
                .with_target(target("<2")),
        );
        rows.push(Row::new(id("worst-quarter-second-p99"), worst, "ratio"));
        rows.push(Row::new(id("hedges"), fleet.channel.hedges() as f64, "calls"));
    } else {
        rows.push(Row::new(id("p99-after-a-second"), in_a_second, "ratio").with_target(target("<2")));
        rows.push(Row::new(id("p99-settled-after"), (window * settled as u32).as_secs_f64(), "s"));
        rows.push(Row::new(id("worst-quarter-second-p99"), worst, "ratio"));
    }
    Ok(rows)
}
