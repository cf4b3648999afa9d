//! The health of workers as a director knows it, beyond gossip.
//!
//! It has three sources: the health service of each worker, which the director watches; the outcome of the calls that it
//! relays; and the other directors, which share their findings as broadcasts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::SmallRng};
use rpcnet::{Backoff, Connector, HealthClient, Readiness};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tracing::{debug, info};

use super::relay::WorkerRelay;
use crate::{
    Broadcast, Cluster,
    swim::{Identity, Member, NodeId},
    tags::is_worker,
};

/// The shortest and the longest pause between attempts to watch a worker.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The shortest time between two broadcasts to the other directors.
const SHARE: Duration = Duration::from_millis(500);
/// The prefix of the keys of the directors' broadcasts.
const KEY: &str = "rpcnet.director/";
/// The most workers that one director names to the others.
const TOLD: usize = 150;

/// The state of one worker as this director sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Observation {
    /// The worker's own report.
    Says(Readiness),
    /// The connection by which it was watched is lost or silent.
    Unreachable,
}

/// The health of all workers, as this director and the others see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WorkerHealth {
    own: HashMap<NodeId, Observation>,
    /// The workers that this director's relay has ejected. Sorted.
    ejected: Vec<NodeId>,
    /// The workers that another director can't reach or has ejected. Sorted.
    others: Vec<NodeId>,
}

impl WorkerHealth {
    /// Returns the worker's own report, if it is known.
    pub(crate) fn readiness(&self, id: NodeId) -> Option<&Readiness> {
        match self.own.get(&id)? {
            Observation::Says(readiness) => Some(readiness),
            Observation::Unreachable => None,
        }
    }

    /// Returns whether some director can't reach the worker, or has ejected it.
    pub(crate) fn is_doubtful(&self, id: NodeId) -> bool {
        self.own.get(&id) == Some(&Observation::Unreachable)
            || self.ejected.binary_search(&id).is_ok()
            || self.others.binary_search(&id).is_ok()
    }
}

/// The workers that a director can't reach or has ejected, as it names them to the others.
#[derive(Debug, Default, PartialEq, Eq)]
struct DoubtfulWorkers {
    doubtful: Vec<NodeId>,
}

/// Watches the workers of a cluster until it is dropped.
pub(crate) struct WorkerWatch {
    cluster: Cluster,
    connector: Connector,
    relay: Arc<WorkerRelay>,
    health: watch::Sender<Arc<WorkerHealth>>,
    /// One task for each worker.
    watched: HashMap<Identity, AbortHandle>,
    tasks: JoinSet<()>,
}

impl WorkerWatch {
    pub(crate) fn new(
        cluster: Cluster,
        connector: Connector,
        relay: Arc<WorkerRelay>,
        health: watch::Sender<Arc<WorkerHealth>>,
    ) -> Self {
        Self { cluster, connector, relay, health, watched: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Watches the workers for ever.
    pub(crate) async fn run(mut self) {
        let mut view = self.cluster.view();
        let mut broadcasts = self.cluster.broadcasts();
        let mut told = DoubtfulWorkers::default();
        let mut share = tokio::time::interval(SHARE);
        share.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.follow(&view.borrow_and_update().clone());
            self.hear(&view.borrow().clone(), &broadcasts.borrow_and_update().clone());
            let changed = async {
                tokio::select! {
                    changed = view.changed() => changed,
                    changed = broadcasts.changed() => changed,
                }
            };
            tokio::select! {
                changed = changed => if changed.is_err() { return },
                // Repeats a broadcast that failed.
                _ = share.tick() => {
                    self.look();
                    let health = self.health.borrow().clone();
                    self.share(&health, &mut told);
                }
            }
        }
    }

    /// Starts and ends the tasks, so that each worker has one.
    fn follow(&mut self, members: &[Member]) {
        while self.tasks.try_join_next().is_some() {}
        // A director need not ask itself.
        let own = self.cluster.local_node_id();
        let others = members.iter().filter(|member| is_worker(member) && member.id() != own);
        let workers: HashMap<Identity, ()> = others.map(|member| (member.callee(), ())).collect();
        self.watched.retain(|identity, task| {
            let stays = workers.contains_key(identity);
            if !stays {
                task.abort();
            }
            stays
        });
        for identity in workers.into_keys() {
            if !self.watched.contains_key(&identity) {
                let task = watch_worker(self.connector.clone(), identity, self.health.clone());
                self.watched.insert(identity, self.tasks.spawn(task));
            }
        }
        let gone = |health: &WorkerHealth| {
            health.own.keys().any(|id| !self.watched.keys().any(|known| known.id() == *id))
        };
        self.health.send_if_modified(|health| {
            let changed = gone(health);
            if changed {
                Arc::make_mut(health).own.retain(|id, _| self.watched.keys().any(|known| known.id() == *id));
            }
            changed
        });
    }

    /// Takes in the broadcasts of the other directors.
    fn hear(&self, members: &[Member], broadcasts: &BTreeMap<String, Broadcast>) {
        let own = self.cluster.local_node_id();
        let mut others = Vec::new();
        for (key, broadcast) in broadcasts.range(KEY.to_owned()..).take_while(|(key, _)| key.starts_with(KEY))
        {
            let origin = broadcast.origin();
            if origin == own {
                continue;
            }
            if !members.iter().any(|member| member.id() == origin && member.state().is_active()) {
                // The last broadcast of a director that is gone is void. The first director to see that withdraws it, and the
                // others do no harm.
                if members.iter().any(|member| member.id() == origin)
                    && let Err(error) = self.cluster.withdraw(key)
                {
                    debug!(key, %error, "not withdrawn");
                }
                continue;
            }
            match told_from(&broadcast.value()) {
                Some(told) => others.extend(told.doubtful),
                None => debug!(key, "not understood"),
            }
        }
        others.sort_unstable();
        others.dedup();
        self.health.send_if_modified(|health| {
            let changed = health.others != others;
            if changed {
                Arc::make_mut(health).others = others;
            }
            changed
        });
    }

    /// Takes in the workers that the relay has ejected.
    fn look(&self) {
        let mut ejected: Vec<_> = self.relay.ejected().into_iter().map(|worker| worker.id()).collect();
        ejected.sort_unstable();
        ejected.dedup();
        self.health.send_if_modified(|health| {
            let changed = health.ejected != ejected;
            if changed {
                Arc::make_mut(health).ejected = ejected;
            }
            changed
        });
    }

    /// Shares the doubtful workers with the other directors, if they have changed.
    fn share(&self, health: &WorkerHealth, told: &mut DoubtfulWorkers) {
        let unreachable =
            health.own.iter().filter(|(_, seen)| **seen == Observation::Unreachable).map(|(id, _)| *id);
        let mut doubtful: Vec<_> = unreachable.chain(health.ejected.iter().copied()).collect();
        doubtful.sort_unstable();
        doubtful.dedup();
        doubtful.truncate(TOLD);
        let now = DoubtfulWorkers { doubtful };
        if now == *told {
            return;
        }
        // The id names the director, because its address may change.
        let key = format!("{KEY}{}", self.cluster.local_node_id());
        let result = if now.doubtful.is_empty() {
            self.cluster.withdraw(&key)
        } else {
            self.cluster.broadcast(&key, told_to(&now)).map(drop)
        };
        match result {
            Ok(()) => *told = now,
            Err(error) => debug!(%error, "other directors not told"),
        }
    }
}

/// Encodes ids one after the other, sixteen bytes each.
fn told_to(told: &DoubtfulWorkers) -> Bytes {
    told.doubtful.iter().flat_map(|id| id.as_u128().to_be_bytes()).collect()
}

fn told_from(bytes: &[u8]) -> Option<DoubtfulWorkers> {
    let (ids, []) = bytes.as_chunks::<16>() else { return None };
    Some(DoubtfulWorkers {
        doubtful: ids.iter().map(|id| NodeId::from_u128(u128::from_be_bytes(*id))).collect(),
    })
}

/// Follows the reports of one worker.
async fn watch_worker(connector: Connector, worker: Identity, health: watch::Sender<Arc<WorkerHealth>>) {
    let see = |seen: Observation| {
        health.send_if_modified(|health| {
            let changed = health.own.get(&worker.id()) != Some(&seen);
            if changed {
                Arc::make_mut(health).own.insert(worker.id(), seen);
            }
            changed
        });
    };
    let Ok(channel) = connector.connect_lazy(worker.addr().to_string()) else { return };
    let client = HealthClient::new(channel);
    let mut rng = SmallRng::from_rng(&mut rand::rng());
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        match client.watch().await {
            Ok(mut updates) => {
                backoff.reset();
                let mut last = None;
                while let Some(Ok(readiness)) = updates.next().await {
                    if last.as_ref() != Some(&readiness) && !readiness.ready {
                        info!(%worker, reasons = readiness.reasons.join("; "), "worker is not ready");
                    }
                    last = Some(readiness.clone());
                    see(Observation::Says(readiness));
                }
                // A worker that said goodbye is not unreachable.
                if last.is_none_or(|readiness| readiness.ready) {
                    see(Observation::Unreachable);
                }
            }
            Err(error) => {
                debug!(%worker, %error, "worker is not watched");
                see(Observation::Unreachable);
            }
        }
        tokio::time::sleep(backoff.next(&mut rng)).await;
    }
}
