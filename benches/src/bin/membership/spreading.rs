//! The speed at which news spreads: joining, crashes, suspicions, leaves.

use std::time::Duration;

use rand::RngExt;
use rpcnet_benches::Row;
use rpcnet_cluster::testing::Fault;

use super::{
    cluster::{Cluster, over_seeds},
    contender::{Contender, Held, Ours},
    figures::{Plan, both, middle, target, worst},
    stock::Stock,
};

const SIZES: [usize; 3] = [10, 100, 1000];
const FOR_EVER: Duration = Duration::from_secs(100_000);

pub(crate) fn join(plan: Plan<'_>, rows: &mut Vec<Row>) {
    for (size, limit) in plan.sizes(&SIZES).into_iter().zip(["<=2", "<=5", "<=15"]) {
        let prefix = format!("membership/join/{size}/");
        if !plan.wants(&prefix) {
            continue;
        }
        let ours = over_seeds(plan.seeds(10), |seed| time_to_join::<Ours>(seed, size, 120));
        let [median, worst] = both(&prefix, &ours, "s");
        rows.extend([median, worst.with_target(target(limit))]);
        // At 1000 nodes this takes ten minutes and more of virtual time, so one seed must do.
        let seeds = if size == 1000 { 1 } else { 10 };
        let stock = over_seeds(plan.seeds(seeds), |seed| time_to_join::<Stock>(seed, size, 1800));
        rows.extend(both(&format!("{prefix}stock/"), &stock, "s"));
    }
}

fn time_to_join<C: Contender>(seed: u64, size: usize, limit: u64) -> f64 {
    let limit = Duration::from_secs(limit);
    let mut cluster = Cluster::<C>::joining(seed, size);
    cluster.until(limit, Cluster::complete).unwrap_or(limit).as_secs_f64()
}

pub(crate) fn crash(plan: Plan<'_>, rows: &mut Vec<Row>) {
    for size in plan.sizes(&SIZES) {
        let prefix = format!("membership/crash/{size}/");
        let suspicion = format!("membership/suspicion/{size}/");
        if !plan.wants(&prefix) && !plan.wants(&suspicion) {
            continue;
        }
        let seeds = plan.seeds(if size == 1000 { 10 } else { 40 });
        let (suspected, ours): (Vec<_>, Vec<_>) =
            over_seeds(seeds, |seed| time_to_notice::<Ours>(seed, size)).into_iter().unzip();
        let (stock_suspected, stock): (Vec<_>, Vec<_>) =
            over_seeds(seeds, |seed| time_to_notice::<Stock>(seed, size)).into_iter().unzip();
        rows.extend(both(&prefix, &ours, "s"));
        rows.extend(both(&format!("{prefix}stock/"), &stock, "s"));
        rows.push(ratio(&prefix, "median-vs-stock", middle(&ours), middle(&stock)));
        rows.push(ratio(&prefix, "worst-vs-stock", worst(&ours), worst(&stock)));
        let [median, worst] = both(&suspicion, &suspected, "s");
        rows.extend([median.with_target(target("<=3")), worst]);
        rows.extend(both(&format!("{suspicion}stock/"), &stock_suspected, "s"));
    }
}

fn ratio(prefix: &str, name: &str, ours: f64, stock: f64) -> Row {
    Row::new(format!("{prefix}{name}"), ours / stock, "ratio").with_target(target("<=1"))
}

/// The times until all nodes know the suspicion, and until all hold the victim down.
fn time_to_notice<C: Contender>(seed: u64, size: usize) -> (f64, f64) {
    let limit = Duration::from_secs(120);
    let mut cluster = Cluster::<C>::converged(seed, size);
    let victim = cluster.rng.random_range(0..size);
    cluster.world.stop(victim);
    let (suspected, _) = cluster.until_each(limit, |host| host.holds(victim) != Some(Held::Alive));
    let (down, _) = cluster.until_each(limit, |host| host.holds(victim) == Some(Held::Down));
    (suspected.as_secs_f64(), (suspected + down).as_secs_f64())
}

pub(crate) fn leave(plan: Plan<'_>, rows: &mut Vec<Row>) {
    for size in plan.sizes(&SIZES) {
        for (name, loss, limit) in [("", 0.0, "<=3"), ("loss/", 0.2, "<=5")] {
            let prefix = format!("membership/leave/{size}/{name}");
            if !plan.wants(&prefix) {
                continue;
            }
            let (ours, left_out) = leaves::<Ours>(plan, size, loss, Held::Left);
            let [median, worst] = both(&prefix, &ours, "s");
            rows.extend([median, worst.with_target(target(limit))]);
            rows.push(Row::new(format!("{prefix}left-out"), left_out, "nodes").with_target(target("==0")));
            let (stock, left_out) = leaves::<Stock>(plan, size, loss, Held::Down);
            rows.extend(both(&format!("{prefix}stock/"), &stock, "s"));
            rows.push(Row::new(format!("{prefix}stock/left-out"), left_out, "nodes"));
        }
    }
}

/// The number of leaves in one cluster, one after the other: converging takes longer than a leave.
const LEAVES: u64 = 4;

/// The times until each of 40 leaves was known to all, and the total number of nodes that had to find a leave out
/// otherwise.
fn leaves<C: Contender>(plan: Plan<'_>, size: usize, loss: f64, held: Held) -> (Vec<f64>, f64) {
    let limit = Duration::from_secs(20);
    let runs = over_seeds(plan.seeds(40 / LEAVES), |seed| {
        let mut cluster = Cluster::<C>::converged(seed, size);
        cluster.world.impose(Fault::Loss(loss), FOR_EVER);
        (0..LEAVES)
            .map(|_| {
                let running: Vec<_> = cluster.world.hosts().map(|(index, _)| index).collect();
                // The seed does not leave, because a node that lost the others would ask it again.
                let leaver = running[cluster.rng.random_range(1..running.len())];
                cluster.world.with(leaver, |host, now| host.leave(now));
                let mut others = running;
                others.retain(|index| *index != leaver);
                let took = cluster.until(limit, |cluster| {
                    others.retain(|index| {
                        cluster.world.host(*index).is_some_and(|host| host.holds(leaver) != Some(held))
                    });
                    others.is_empty()
                });
                cluster.world.stop(leaver);
                cluster.world.run_for(Duration::from_secs(3));
                (took.unwrap_or(limit).as_secs_f64(), others.len())
            })
            .collect::<Vec<_>>()
    });
    let (times, left_out): (Vec<_>, Vec<_>) = runs.into_iter().flatten().unzip();
    (times, left_out.into_iter().sum::<usize>() as f64)
}
