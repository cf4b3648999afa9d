//! Healthy nodes that are taken for dead, because of slow observers or of loss.

use std::time::Duration;

use rand::RngExt;
use rpcnet_benches::Row;
use rpcnet_cluster::testing::Fault;

use super::{
    cluster::{Cluster, over_seeds},
    contender::{Contender, Ours},
    figures::{Plan, both, middle, target, worst},
    stock::Stock,
};

const FOR_EVER: Duration = Duration::from_secs(100_000);

/// The number of nodes, as in the Lifeguard paper's experiment (section V).
const NODES: usize = 128;
/// The range of the times for which messages are blocked, and then not blocked, in milliseconds.
const BLOCKED: std::ops::Range<u64> = 100..30_000;

pub(crate) fn stalled(plan: Plan<'_>, rows: &mut Vec<Row>) {
    let time = plan.seconds(300);
    for sick in [1, 4, 16, 32] {
        let prefix = format!("membership/stalled/{sick}/");
        if !plan.wants(&prefix) {
            continue;
        }
        let seeds = plan.seeds(10);
        let ours = over_seeds(seeds, |seed| downs_while_stalled::<Ours>(seed, sick, time));
        let stock = over_seeds(seeds, |seed| downs_while_stalled::<Stock>(seed, sick, time));
        let [median, most] = both(&prefix, &ours, "downs");
        if sick == 1 {
            rows.extend([median, most.with_target(target("<=1"))]);
        } else {
            let ratio = (middle(&stock) + 1.0) / (middle(&ours) + 1.0);
            rows.extend([median, most]);
            rows.push(Row::new(format!("{prefix}stock-vs-ours"), ratio, "ratio").with_target(target(">=50")));
        }
        rows.extend(both(&format!("{prefix}stock/"), &stock, "downs"));
    }
}

/// The number of healthy nodes that healthy nodes report down.
fn downs_while_stalled<C: Contender>(seed: u64, sick: usize, time: Duration) -> f64 {
    let mut cluster = Cluster::<C>::converged(seed, NODES);
    let start = cluster.world.now();
    let end = start + time;
    // The last nodes are slow, so that the seed is healthy.
    let mut next: Vec<_> = (NODES - sick..NODES)
        .map(|index| (start + Duration::from_millis(cluster.rng.random_range(BLOCKED)), index))
        .collect();
    loop {
        next.sort_unstable();
        let Some((at, index)) = next.first_mut() else { break };
        let now = cluster.world.now();
        if *at >= end {
            break;
        }
        cluster.world.run_for(at.saturating_sub(now));
        let blocked = Duration::from_millis(cluster.rng.random_range(BLOCKED));
        cluster.world.impose(Fault::Block(*index), blocked);
        *at += blocked + Duration::from_millis(cluster.rng.random_range(BLOCKED));
    }
    let now = cluster.world.now();
    cluster.world.run_for(end.saturating_sub(now));
    let healthy = NODES - sick;
    let reported = (0..healthy).flat_map(|observer| cluster.downs(observer));
    reported.filter(|down| *down < healthy).count() as f64
}

pub(crate) fn loss(plan: Plan<'_>, rows: &mut Vec<Row>) {
    let prefix = "membership/loss/";
    if !plan.wants(prefix) {
        return;
    }
    let time = plan.seconds(300);
    let seeds = plan.seeds(10);
    for (name, runs) in [
        ("", over_seeds(seeds, |seed| under_loss::<Ours>(seed, time))),
        ("stock/", over_seeds(seeds, |seed| under_loss::<Stock>(seed, time))),
    ] {
        let figures: [Vec<f64>; 3] =
            std::array::from_fn(|figure| runs.iter().map(|run| run[figure]).collect());
        for (figure, values) in ["downs", "renewals", "silent"].into_iter().zip(figures) {
            let row = Row::new(format!("{prefix}{name}{figure}"), worst(&values), "nodes");
            rows.push(if name.is_empty() { row.with_target(target("==0")) } else { row });
        }
    }
}

/// The numbers of downs reported, of identities given up, and of nodes that send nothing in the end.
fn under_loss<C: Contender>(seed: u64, time: Duration) -> [f64; 3] {
    let mut cluster = Cluster::<C>::converged(seed, 100);
    let generations: Vec<_> = cluster.world.hosts().map(|(_, host)| host.generation()).collect();
    cluster.world.impose(Fault::Loss(0.2), FOR_EVER);
    cluster.world.run_for(time);
    let sent: Vec<_> = (0..cluster.count).map(|index| cluster.world.sent(index).packets).collect();
    cluster.world.run_for(Duration::from_secs(10));
    let silent =
        (0..cluster.count).filter(|index| cluster.world.sent(*index).packets == sent[*index]).count();
    let now = cluster.world.hosts().map(|(_, host)| host.generation());
    let renewals: u64 = now.zip(generations).map(|(now, before)| now - before).sum();
    let downs: usize = (0..cluster.count).map(|index| cluster.downs(index).len()).sum();
    [downs as f64, renewals as f64, silent as f64]
}
