//! Clusters that were split and come together again.

use std::time::Duration;

use rpcnet_benches::Row;
use rpcnet_cluster::testing::Fault;

use super::{
    cluster::{Cluster, LOOK, over_seeds},
    contender::{Contender, Ours},
    figures::{Plan, both, target, worst},
    stock::Stock,
};

const SPLIT: Duration = Duration::from_secs(60);
const SEEDS: u64 = 40;

pub(crate) fn healing(plan: Plan<'_>, rows: &mut Vec<Row>) {
    let half = |size: usize| (0..size / 2).collect::<Vec<_>>();
    let scenarios = [
        ("membership/split/20/", 20, vec![half(20)]),
        ("membership/split/100/", 100, vec![half(100)]),
        ("membership/two-node/", 2, vec![half(2)]),
        ("membership/isolated/", 10, (0..10).map(|node| vec![node]).collect()),
    ];
    for (prefix, size, groups) in scenarios {
        if !plan.wants(prefix) {
            continue;
        }
        let seeds = plan.seeds(SEEDS);
        let (times, dips): (Vec<_>, Vec<_>) =
            over_seeds(seeds, |seed| heal::<Ours>(seed, size, &groups)).into_iter().unzip();
        let [median, slowest] = both(prefix, &times, "s");
        rows.extend([median, slowest.with_target(target("<=15"))]);
        rows.push(Row::new(format!("{prefix}dips"), worst(&dips), "nodes").with_target(target("==0")));
        let (times, dips): (Vec<_>, Vec<_>) =
            over_seeds(seeds, |seed| heal::<Stock>(seed, size, &groups)).into_iter().unzip();
        rows.extend(both(&format!("{prefix}stock/"), &times, "s"));
        rows.push(Row::new(format!("{prefix}stock/dips"), worst(&dips), "nodes"));
    }
}

/// The time after the split until all nodes list all nodes again, and the largest drop: the number of nodes by which a
/// node's count of alive nodes fell below its earlier maximum since the split.
fn heal<C: Contender>(seed: u64, size: usize, groups: &[Vec<usize>]) -> (f64, f64) {
    let limit = Duration::from_secs(180);
    let mut cluster = Cluster::<C>::converged(seed, size);
    cluster.world.impose(Fault::Partition(groups.to_vec()), SPLIT);
    cluster.world.run_for(SPLIT);
    let mut most = vec![0; size];
    let mut dip = 0;
    let took = cluster.until(limit, |cluster| {
        let mut complete = true;
        for (index, host) in cluster.world.hosts() {
            let alive = host.alive();
            dip = dip.max(most[index] - alive.min(most[index]));
            most[index] = most[index].max(alive);
            complete &= alive == size;
        }
        complete
    });
    debug_assert!(LOOK < Duration::from_millis(100), "dips are brief");
    (took.unwrap_or(limit).as_secs_f64(), dip as f64)
}
