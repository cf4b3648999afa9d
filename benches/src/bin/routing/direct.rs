//! A cluster channel beside a plain channel, to the same worker.

use std::time::Duration;

use rpcnet::{Caller, Channel};
use rpcnet_benches::{Failure, Row, median};
use rpcnet_cluster::ClusterChannel;
use tokio::time::Instant;

use super::{
    Plan,
    role::{Process, Stage},
    service::WorkClient,
    target,
};

pub(crate) const PREFIX: &str = "routing/direct/";

const IN_FLIGHT: usize = 64;

/// A director, one worker, and channels to both.
pub(crate) struct Cluster {
    pub(crate) director: Process,
    pub(crate) worker: Process,
    pub(crate) stage: Stage,
}

impl Cluster {
    pub(crate) fn start() -> Result<Self, Failure> {
        let stage = Stage::new()?;
        let director = stage.director(&[], None)?;
        let worker = stage.member(0, Duration::ZERO, &[director.addr])?;
        Ok(Self { director, worker, stage })
    }

    pub(crate) async fn plain(&self) -> Result<Channel, Failure> {
        Ok(self.stage.channel()?.connect(self.worker.addr.to_string()).await?)
    }

    pub(crate) async fn direct(&self) -> Result<ClusterChannel, Failure> {
        let builder = ClusterChannel::builder()
            .with_directors([self.director.addr.to_string()])
            .with_channel(self.stage.channel()?);
        let channel = builder.connect().await?;
        channel.ready().await;
        Ok(channel)
    }
}

pub(crate) async fn measure(plan: Plan) -> Result<Vec<Row>, Failure> {
    let cluster = Cluster::start()?;
    let plain = WorkClient::new(cluster.plain().await?);
    let direct = WorkClient::new(cluster.direct().await?);
    let time = Duration::from_millis(if plan.quick { 200 } else { 1000 });
    // Afterwards lanes and buffers exist.
    throughput(&plain, time / 2).await?;
    throughput(&direct, time / 2).await?;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds(9) {
        // The order alternates, so that neither is always first.
        let (one, other) = if round % 2 == 0 {
            let one = throughput(&plain, time).await?;
            (one, throughput(&direct, time).await?)
        } else {
            let other = throughput(&direct, time).await?;
            (throughput(&plain, time).await?, other)
        };
        ratios.push(other / one);
        rates.push(other);
    }
    let middle = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
    Ok(vec![
        Row::new(format!("{PREFIX}vs-plain"), middle(ratios), "ratio").with_target(target(">=0.9")),
        Row::new(format!("{PREFIX}calls-per-s"), middle(rates), "1/s"),
    ])
}

/// The number of calls a second with 64 in flight.
async fn throughput<C: Caller>(client: &WorkClient<C>, time: Duration) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let client = client.clone();
        tasks.spawn(async move {
            let mut calls = 0_u64;
            while started.elapsed() < time {
                client.echo([7; 32]).await?;
                calls += 1;
            }
            Ok::<u64, rpcnet::CallError<std::convert::Infallible>>(calls)
        });
    }
    let mut calls = 0;
    while let Some(ended) = tasks.join_next().await {
        calls += ended??;
    }
    Ok(calls as f64 / started.elapsed().as_secs_f64())
}
