//! Every worker and every director is restarted, one after the other, under load, and streams move.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use rpcnet::CallError;
use rpcnet_benches::{Failure, Row};
use rpcnet_cluster::ClusterChannel;
use tokio::time::Instant;

use super::{
    Plan,
    load::{OpenLoop, Outcome, p99},
    role::{Process, Stage},
    service::WorkClient,
    target,
};

pub(crate) const PREFIX: &str = "routing/rolling-restart/";
pub(crate) const STREAM: &str = "routing/stream/";

const WORKERS: usize = 4;
const DIRECTORS: usize = 2;
/// The rate in calls a second: 30 % of the capacity of three workers. Half of the calls may not be made twice.
const RATE: f64 = 0.3 * 3.0 * 2000.0;
const TAKES: Duration = Duration::from_millis(2);
const QUIET: Duration = Duration::from_secs(4);
/// The pause between two restarts: the time until a node is known everywhere.
const PAUSE: Duration = Duration::from_millis(1500);

struct Fleet {
    stage: Stage,
    directors: Vec<Process>,
    workers: Vec<Process>,
}

impl Fleet {
    fn start() -> Result<Self, Failure> {
        let stage = Stage::new()?;
        let mut directors = vec![stage.director(&[], None)?];
        let seed = directors[0].addr;
        for _ in 1..DIRECTORS {
            directors.push(stage.director(&[seed], None)?);
        }
        let seeds: Vec<_> = directors.iter().map(|director| director.addr).collect();
        let worker = |index| stage.member(index as u32, TAKES, &seeds);
        let workers = (0..WORKERS).map(worker).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { stage, directors, workers })
    }

    fn seeds(&self) -> Vec<SocketAddr> {
        self.directors.iter().map(|director| director.addr).collect()
    }
}

/// Restarts each process. Blocks, so it runs on a thread of its own.
fn restart_all(mut fleet: Fleet) -> Result<Fleet, Failure> {
    let seeds = fleet.seeds();
    for index in 0..DIRECTORS {
        let addr = fleet.directors[index].addr;
        fleet.directors[index].stop()?;
        let others: Vec<_> = seeds.iter().copied().filter(|seed| *seed != addr).collect();
        // The director keeps its address, which clients know.
        fleet.directors[index] = fleet.stage.director(&others, Some(addr))?;
        pause();
    }
    for index in 0..WORKERS {
        fleet.workers[index].stop()?;
        fleet.workers[index] = fleet.stage.member(index as u32, TAKES, &seeds)?;
        pause();
    }
    Ok(fleet)
}

#[expect(clippy::disallowed_methods, reason = "a thread that has nothing else to do")]
fn pause() {
    std::thread::sleep(PAUSE);
}

pub(crate) async fn measure(plan: Plan) -> Result<Vec<Row>, Failure> {
    let fleet = Fleet::start()?;
    let builder = ClusterChannel::builder()
        .with_directors(fleet.seeds().iter().map(SocketAddr::to_string))
        .with_channel(fleet.stage.channel()?);
    let channel = builder.connect().await?;
    while channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() < WORKERS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let client = WorkClient::new(channel.clone());
    let quiet = if plan.quick { Duration::from_secs(1) } else { QUIET };
    // The pauses between restarts take most of the time, and each restart about a second.
    let time = quiet + (PAUSE + Duration::from_secs(1)) * (WORKERS + DIRECTORS) as u32;
    let repeated = client.clone();
    let idempotent = OpenLoop::start(RATE / 2.0, time, move |_| repeated.work());
    let other = client.clone();
    let once = OpenLoop::start(RATE / 2.0, time, move |id| other.once(id));
    let stream = tokio::spawn(follow(client, time));
    tokio::time::sleep_until(idempotent.started + quiet).await;
    let fleet = tokio::task::spawn_blocking(|| restart_all(fleet)).await??;
    let restarted = idempotent.started.elapsed();
    let (idempotent, once) = (idempotent.ended().await, once.ended().await);
    let stream = stream.await??;
    drop(fleet);
    let failed = |outcomes: &[Outcome]| outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    let all: Vec<_> = idempotent.iter().chain(&once).cloned().collect();
    let before = p99(&all, Duration::from_secs(1).min(quiet / 2), quiet);
    let id = |name: &str| format!("{PREFIX}{name}");
    let of_stream = |name: &str| format!("{STREAM}{name}");
    Ok(vec![
        Row::new(id("failed"), (failed(&idempotent) + failed(&once)) as f64, "calls")
            .with_target(target("==0")),
        Row::new(id("calls"), all.len() as f64, "calls"),
        Row::new(id("p99-vs-quiet"), p99(&all, quiet, restarted.min(time)) / before, "ratio")
            .with_target(target("<3")),
        Row::new(id("p99-quiet"), before, "ms"),
        Row::new(of_stream("lost"), stream.lost as f64, "items").with_target(target("==0")),
        Row::new(of_stream("repeated"), stream.repeated as f64, "items").with_target(target("==0")),
        Row::new(of_stream("items"), stream.items as f64, "items"),
        Row::new(of_stream("moves"), stream.moves as f64, "moves"),
        Row::new(of_stream("longest-pause"), stream.longest.as_secs_f64() * 1000.0, "ms"),
    ])
}

#[derive(Debug, Default)]
struct Seen {
    items: u64,
    lost: u64,
    repeated: u64,
    moves: u64,
    longest: Duration,
}

/// Reads one stream for `time`.
async fn follow(client: WorkClient<ClusterChannel>, time: Duration) -> Result<Seen, CallError<Infallible>> {
    let started = Instant::now();
    let mut items = client.numbers().await?;
    let (mut seen, mut next, mut from, mut last) = (Seen::default(), 1, None, Instant::now());
    while started.elapsed() < time {
        let Some(item) = items.next().await else { break };
        let (worker, number) = item.map_err(CallError::from)?;
        seen.longest = seen.longest.max(last.elapsed());
        last = Instant::now();
        seen.items += 1;
        seen.lost += number.saturating_sub(next);
        seen.repeated += u64::from(number < next);
        next = number + 1;
        seen.moves += u64::from(from.is_some_and(|from| from != worker));
        from = Some(worker);
    }
    Ok(seen)
}
