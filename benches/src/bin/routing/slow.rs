//! One worker of four takes ten times as long as the others.

use std::time::Duration;

use rpcnet::{BalancedChannel, BalancedConfig, balance::Policy};
use rpcnet_benches::{Failure, Row, median};
use tokio::sync::watch;

use super::{
    Plan,
    load::{OpenLoop, p99},
    role::{Stage, endpoints},
    service::WorkClient,
    target,
};

pub(crate) const PREFIX: &str = "routing/slow/";

/// The rate in calls a second: 30 % of the capacity of the three fast workers.
pub(crate) const RATE: f64 = 0.3 * 3.0 * 2000.0;
const FAST: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(20);

struct Seen {
    /// The share of calls that the slow worker answered.
    share: f64,
    p99: f64,
}

pub(crate) async fn measure(plan: Plan) -> Result<Vec<Row>, Failure> {
    let stage = Stage::new()?;
    let mut rows = Vec::new();
    let (mut shares, mut ratios, mut turns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds(3) {
        let without = run(&stage, &[FAST; 3], Policy::PeakEwma, plan).await?;
        let seen = run(&stage, &[FAST, FAST, FAST, SLOW], Policy::PeakEwma, plan).await?;
        let in_turn = run(&stage, &[FAST, FAST, FAST, SLOW], Policy::RoundRobin, plan).await?;
        shares.push(seen.share * 100.0);
        ratios.push(seen.p99 / without.p99);
        turns.push((in_turn.share * 100.0, in_turn.p99 / without.p99));
    }
    let middle = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
    let id = |name: &str| format!("{PREFIX}{name}");
    rows.push(Row::new(id("peak-ewma/share"), middle(shares), "%").with_target(target("<1")));
    rows.push(Row::new(id("peak-ewma/p99-vs-without"), middle(ratios), "ratio").with_target(target("<=1.5")));
    let (shares, ratios) = turns.into_iter().unzip();
    rows.push(Row::new(id("round-robin/share"), middle(shares), "%"));
    rows.push(Row::new(id("round-robin/p99-vs-without"), middle(ratios), "ratio"));
    Ok(rows)
}

async fn run(stage: &Stage, takes: &[Duration], policy: Policy, plan: Plan) -> Result<Seen, Failure> {
    let workers = stage.workers(takes)?;
    let set = watch::Sender::new(endpoints(&workers));
    let config = BalancedConfig::default().with_policy(policy);
    let channel = BalancedChannel::new(stage.channel()?, set.subscribe(), config)?;
    all_ready(&channel, takes.len()).await;
    let client = WorkClient::new(channel);
    let time = plan.seconds(10) + Duration::from_secs(1);
    let outcomes = OpenLoop::start(RATE, time, move |_| client.work());
    let outcomes = outcomes.ended().await;
    // In the first second nothing is known about any worker.
    let from = Duration::from_secs(1);
    let late: Vec<_> = outcomes.iter().filter(|outcome| outcome.due >= from).collect();
    let slow = late.iter().filter(|outcome| outcome.result == Ok(3)).count();
    Ok(Seen { share: slow as f64 / late.len() as f64, p99: p99(&outcomes, from, time) })
}

/// Waits until `count` endpoints are connected.
pub(crate) async fn all_ready(channel: &BalancedChannel, count: usize) {
    while channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
