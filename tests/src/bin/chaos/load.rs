//! Calls all the while: an open loop at a modest rate, so that slow answers don't make fewer calls.

use std::{fmt, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rpcnet::{CallError, Code, Status};
use rpcnet_cluster::ClusterChannel;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::service::{Answer, ChaosClient, body, expected};

/// Calls under way. Beyond, none is made until some have ended: they all have deadlines.
const UNDER_WAY: usize = 4096;
/// Of unary calls with small bodies.
const DEADLINE: Duration = Duration::from_secs(3);
/// Of the others, from their beginning to the last byte.
const LONG_DEADLINE: Duration = Duration::from_secs(5);
/// The largest body. It is sent there and back.
const LARGEST: usize = 1 << 20;

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Repeatable,
    Once,
    Items,
    Large,
}

impl Kind {
    pub(crate) fn is_idempotent(self) -> bool {
        matches!(self, Self::Repeatable | Self::Large)
    }

    pub(crate) fn deadline(self) -> Duration {
        match self {
            Self::Repeatable | Self::Once => DEADLINE,
            Self::Items | Self::Large => LONG_DEADLINE,
        }
    }
}

/// The end of a call.
#[derive(Debug)]
pub(crate) enum End {
    /// Well, by this execution.
    Answered {
        execution: u64,
    },
    /// With an answer that is not the right one.
    Wrong(String),
    Failed(Failed),
}

/// An error, as the caller saw it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: Code,
    pub(crate) maybe_executed: bool,
    pub(crate) message: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let executed = if self.maybe_executed { "may have run" } else { "not executed" };
        write!(f, "{} ({executed}): {}", self.code, self.message)
    }
}

impl Outcome {
    /// For people, where it did not end well.
    pub(crate) fn failure(&self) -> Option<String> {
        let End::Failed(failed) = &self.end else { return None };
        let (began, took) = (self.began.as_secs_f64(), self.took.as_secs_f64());
        Some(format!("{began:8.2} s  {:?} {:#x} took {took:.3} s: {failed}", self.kind, self.id))
    }
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    /// True if its handler answered at once.
    pub(crate) prompt: bool,
    /// Since the beginning of the run.
    pub(crate) began: Duration,
    pub(crate) took: Duration,
    pub(crate) end: End,
}

/// Calls that are being made. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Outcome>>,
}

impl Load {
    /// Starts to call, so often a second; `zero` is the beginning of the run.
    pub(crate) fn start(channel: &ClusterChannel, seed: u64, rate: u32, zero: Instant) -> Self {
        let (stop, stopped) = oneshot::channel();
        let client = ChaosClient::new(channel.clone());
        let task = tokio::spawn(run(client, StdRng::seed_from_u64(seed), rate, zero, stopped));
        Self { stop, task }
    }

    /// Makes no further calls, and waits for those under way.
    pub(crate) async fn stop(self) -> Result<Vec<Outcome>, tokio::task::JoinError> {
        let _ = self.stop.send(());
        self.task.await
    }
}

async fn run(
    client: ChaosClient<ClusterChannel>,
    mut rng: StdRng,
    rate: u32,
    zero: Instant,
    mut stopped: oneshot::Receiver<()>,
) -> Vec<Outcome> {
    let mut calls = JoinSet::new();
    let mut outcomes = Vec::new();
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut id = rng.random::<u64>() << 32;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(ended) = calls.join_next() => outcomes.extend(ended),
            _ = ticks.tick(), if calls.len() < UNDER_WAY => {
                id += 1;
                calls.spawn(call(client.clone(), Wanted::new(id, &mut rng), zero));
            }
        }
    }
    outcomes.extend(calls.join_all().await);
    outcomes
}

/// A call to be made.
struct Wanted {
    id: u64,
    kind: Kind,
    /// The time that its handler takes.
    work: Duration,
    /// Bytes of a body, or a number of items.
    size: usize,
}

impl Wanted {
    fn new(id: u64, rng: &mut StdRng) -> Self {
        let kind = match rng.random_range(0..100) {
            0..45 => Kind::Repeatable,
            45..85 => Kind::Once,
            85..95 => Kind::Items,
            _ => Kind::Large,
        };
        let work = match rng.random_range(0..20) {
            0..16 => 0,
            16..19 => rng.random_range(1..20),
            _ => rng.random_range(100..500),
        };
        let size = match kind {
            Kind::Items => rng.random_range(1..100),
            _ => rng.random_range(LARGEST / 16..LARGEST),
        };
        Self { id, kind, work: Duration::from_millis(work), size }
    }
}

async fn call(client: ChaosClient<ClusterChannel>, wanted: Wanted, zero: Instant) -> Outcome {
    let began = Instant::now();
    let Wanted { id, kind, work, size } = wanted;
    let end = match kind {
        Kind::Repeatable => answered(id, client.repeatable(id, work).timeout(DEADLINE).await),
        Kind::Once => answered(id, client.once(id, work).timeout(DEADLINE).await),
        Kind::Items => items(&client, id, size, work / 20).await,
        Kind::Large => large(&client, id, size).await,
    };
    Outcome { id, kind, prompt: work.is_zero(), began: began - zero, took: began.elapsed(), end }
}

fn answered(id: u64, result: Result<Answer, CallError>) -> End {
    match result {
        Ok(Answer { value, execution }) if value == expected(id) => End::Answered { execution },
        Ok(Answer { value, .. }) => End::Wrong(format!("{value} in place of {}", expected(id))),
        Err(error) => failed(error),
    }
}

async fn items(client: &ChaosClient<ClusterChannel>, id: u64, count: usize, between: Duration) -> End {
    let mut items = match client.items(id, count as u32, between).timeout(LONG_DEADLINE).await {
        Ok(items) => items,
        Err(error) => return failed(error),
    };
    let execution = match items.next().await {
        Some(Ok(execution)) => execution,
        Some(Err(status)) => return failed(status),
        None => return End::Wrong("no item".into()),
    };
    for index in 0.. {
        match items.next().await {
            Some(Ok(value)) if index < count && value == expected(id.wrapping_add(index as u64)) => {}
            Some(Ok(value)) => return End::Wrong(format!("item {index} of {count} is {value}")),
            Some(Err(status)) => return failed(status),
            None if index == count => break,
            None => return End::Wrong(format!("{index} items in place of {count}")),
        }
    }
    End::Answered { execution }
}

async fn large(client: &ChaosClient<ClusterChannel>, id: u64, length: usize) -> End {
    let sent = body(id, length);
    match client.large(id, sent.clone()).timeout(LONG_DEADLINE).await {
        Ok(large) if large.body == sent => End::Answered { execution: large.execution },
        Ok(large) => End::Wrong(format!("{} bytes that are not the {length} sent", large.body.len())),
        Err(error) => failed(error),
    }
}

fn failed(error: impl Into<Status>) -> End {
    let status = error.into();
    let (code, maybe_executed) = (status.code(), status.maybe_executed());
    End::Failed(Failed { code, maybe_executed, message: status.message().to_owned() })
}
