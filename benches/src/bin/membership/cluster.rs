//! A simulated cluster of either kind, and runs of many seeds on all cores.

use std::{
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rpcnet_cluster::testing::engine::World;

use super::contender::Contender;

/// The interval at which a condition is checked.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The time within which the nodes of a converged cluster are started.
const WARM_UP: Duration = Duration::from_millis(400);

/// A cluster under virtual time.
pub(crate) struct Cluster<C: Contender> {
    pub(crate) world: World<C>,
    pub(crate) count: usize,
    /// The scenario's own random choices, such as nodes and times. They are the same for both kinds.
    pub(crate) rng: StdRng,
}

impl<C: Contender> Cluster<C> {
    /// A cluster whose nodes were all started at once, to join through host 0.
    pub(crate) fn joining(seed: u64, count: usize) -> Self {
        Self::started(seed, count, false)
    }

    fn started(seed: u64, count: usize, warm: bool) -> Self {
        let mut world = World::new(seed);
        let mut rng = StdRng::seed_from_u64(!seed);
        for index in 0..count {
            let now = world.clock(index);
            world.start(index, C::start(index, count, warm, &mut rng, now));
            if warm {
                // Nodes that were started at one instant would probe in step. All nodes are started before a probe is
                // given up.
                world.run_for(WARM_UP / count as u32);
            }
        }
        Self { world, count, rng: StdRng::seed_from_u64(seed.rotate_left(32)) }
    }

    /// A cluster in which all nodes know each other and the news of it has died down.
    pub(crate) fn converged(seed: u64, count: usize) -> Self {
        let mut cluster = Self::started(seed, count, true);
        cluster.until(Duration::from_secs(180), Self::complete);
        let spread = cluster.rng.random_range(0..1000);
        cluster.world.run_for(Duration::from_millis(15_000 + spread));
        for index in 0..count {
            cluster.downs(index);
        }
        cluster
    }

    /// Returns whether all nodes list all nodes.
    pub(crate) fn complete(&self) -> bool {
        self.world.hosts().all(|(_, host)| host.active() == self.count)
    }

    /// Lets time pass until `done`. Returns `None` if it takes longer than `limit`.
    pub(crate) fn until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let start = self.world.now();
        loop {
            let passed = self.world.now() - start;
            if done(self) {
                return Some(passed);
            }
            if passed >= limit {
                return None;
            }
            self.world.run_for(LOOK);
        }
    }

    /// The time until `holds` is true for each running host. If that takes longer than `limit`, returns `limit` and the
    /// number of hosts that are left.
    pub(crate) fn until_each(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&C) -> bool,
    ) -> (Duration, usize) {
        let mut waiting: Vec<usize> = self.world.hosts().map(|(index, _)| index).collect();
        let took = self.until(limit, |cluster| {
            waiting.retain(|index| cluster.world.host(*index).is_some_and(|host| !holds(host)));
            waiting.is_empty()
        });
        (took.unwrap_or(limit), waiting.len())
    }

    /// The nodes that this host has reported down since the last call.
    pub(crate) fn downs(&mut self, index: usize) -> Vec<usize> {
        self.world.with(index, |host, _| host.take_downs()).unwrap_or_default()
    }
}

/// Runs `run` for each seed, on as many threads as there are cores. The results are in the order of the seeds.
pub(crate) fn over_seeds<T: Send>(seeds: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(1);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return done;
            }
            done.push((seed, run(seed)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a scenario does not panic")).collect()
    });
    done.sort_by_key(|(seed, _)| *seed);
    done.into_iter().map(|(_, result)| result).collect()
}
