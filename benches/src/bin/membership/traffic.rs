//! The traffic of a node when nothing happens.

use std::time::Duration;

use rpcnet_benches::Row;

use super::{
    cluster::{Cluster, over_seeds},
    contender::{Contender, Ours},
    figures::{Plan, middle, target},
    stock::Stock,
};

/// The length of the measurement: longer than the longest pause between two comparisons in a cluster of 1000.
const TIME: Duration = Duration::from_secs(240);

pub(crate) fn traffic(plan: Plan<'_>, rows: &mut Vec<Row>) {
    let sizes = plan.sizes(&[10, 100, 1000]);
    if !plan.wants("membership/traffic/") {
        return;
    }
    let seeds = plan.seeds(3);
    let mut first = None;
    for size in sizes {
        let ours = middle(&over_seeds(seeds, |seed| idle::<Ours>(seed, size)));
        let stock = middle(&over_seeds(seeds, |seed| idle::<Stock>(seed, size)));
        let id = format!("membership/traffic/{size}/bytes-per-s");
        rows.push(Row::new(id, ours, "B/s").with_target(target("<=300")));
        rows.push(Row::new(format!("membership/traffic/{size}/stock/bytes-per-s"), stock, "B/s"));
        let smallest = *first.get_or_insert(ours);
        if size > 10 {
            // The traffic should not grow with the cluster: within half of the traffic of ten nodes.
            let id = format!("membership/traffic/{size}/vs-10");
            rows.push(Row::new(id, ours / smallest, "ratio").with_target(target("<=1.5")));
        }
    }
}

/// The payload that a node sends, in bytes a second.
fn idle<C: Contender>(seed: u64, size: usize) -> f64 {
    let mut cluster = Cluster::<C>::converged(seed, size);
    // After a join, comparisons follow each other faster for a while.
    cluster.world.run_for(Duration::from_secs(120));
    let sent = |cluster: &Cluster<C>| (0..size).map(|index| cluster.world.sent(index).bytes).sum::<u64>();
    let before = sent(&cluster);
    cluster.world.run_for(TIME);
    (sent(&cluster) - before) as f64 / size as f64 / TIME.as_secs_f64()
}
