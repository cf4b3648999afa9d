//! Calls through a director beside direct calls, one at a time.

use std::time::Duration;

use rpcnet::Caller;
use rpcnet_benches::{Failure, Row, median, percentile};
use rpcnet_cluster::{ClusterChannel, Mode};
use tokio::time::Instant;

use super::{Plan, direct::Cluster, service::WorkClient, target};

pub(crate) const PREFIX: &str = "routing/relay/";

pub(crate) async fn measure(plan: Plan) -> Result<Vec<Row>, Failure> {
    let cluster = Cluster::start()?;
    let direct = WorkClient::new(cluster.direct().await?);
    let relayed = ClusterChannel::builder()
        .with_directors([cluster.director.addr.to_string()])
        .with_channel(cluster.stage.channel()?)
        .with_mode(Mode::Relay)
        .connect()
        .await?;
    let relayed = WorkClient::new(relayed);
    let calls = if plan.quick { 500 } else { 5000 };
    // Afterwards the director is connected to the worker, and lanes exist.
    p50(&relayed, 200).await?;
    p50(&direct, 200).await?;
    let (mut ratios, mut directs, mut relays) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds(7) {
        let one = p50(&direct, calls).await?;
        let other = p50(&relayed, calls).await?;
        ratios.push(other / one);
        directs.push(one);
        relays.push(other);
    }
    let middle = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
    Ok(vec![
        Row::new(format!("{PREFIX}p50-vs-direct"), middle(ratios), "ratio").with_target(target("<=1.6")),
        Row::new(format!("{PREFIX}p50"), middle(relays), "us"),
        Row::new(format!("{PREFIX}p50-direct"), middle(directs), "us"),
    ])
}

/// The median latency of `calls` calls, in microseconds.
async fn p50<C: Caller>(client: &WorkClient<C>, calls: usize) -> Result<f64, Failure> {
    let mut latencies: Vec<Duration> = Vec::with_capacity(calls);
    for _ in 0..calls {
        let since = Instant::now();
        client.echo([7; 32]).await?;
        latencies.push(since.elapsed());
    }
    let median = percentile(&mut latencies, 0.5).ok_or("there were calls")?;
    Ok(median.as_secs_f64() * 1e6)
}
