//! What a director knows of the workers beyond gossip: it watches the health service of each, knows to which of them the
//! calls that it relays fail, and hears from the other directors what they see.

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

/// Pauses between attempts to watch a worker.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often the other directors are told, at most.
const SHARE: Duration = Duration::from_millis(500);
/// What the keys of the directors' broadcasts begin with.
const KEY: &str = "rpcnet.director/";
/// Workers of which one director tells the others.
const TOLD: usize = 150;

/// What one director sees of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Observation {
    /// What it says of itself.
    Says(Readiness),
    /// It was watched, and the connection is lost or silent.
    Unreachable,
}

/// What is seen of the workers, by this director and by the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WorkerHealth {
    own: HashMap<NodeId, Observation>,
    /// Those that the calls which it relays are kept from. Sorted.
    ejected: Vec<NodeId>,
    /// Those that some other director can't reach, or keeps calls from. Sorted.
    others: Vec<NodeId>,
}

impl WorkerHealth {
    /// What the worker says of itself, as far as it is known.
    pub(crate) fn readiness(&self, id: NodeId) -> Option<&Readiness> {
        match self.own.get(&id)? {
            Observation::Says(readiness) => Some(readiness),
            Observation::Unreachable => None,
        }
    }

    /// Whether some director can't reach it, or calls that one relays fail there.
    pub(crate) fn is_doubtful(&self, id: NodeId) -> bool {
        self.own.get(&id) == Some(&Observation::Unreachable)
            || self.ejected.binary_search(&id).is_ok()
            || self.others.binary_search(&id).is_ok()
    }
}

/// Which workers a director can't reach, or keeps calls from, as it tells the others.
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
    /// One task a worker.
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

    /// Watches for ever.
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
                // Also where it could not be told the last time.
                _ = share.tick() => {
                    self.look();
                    let health = self.health.borrow().clone();
                    self.share(&health, &mut told);
                }
            }
        }
    }

    /// Has a task at each worker.
    fn follow(&mut self, members: &[Member]) {
        while self.tasks.try_join_next().is_some() {}
        // Of itself a director knows without asking.
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

    /// Takes in what the other directors tell.
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
                // What it said last says nothing any more. Whoever is first takes it away; the others do no harm.
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

    /// Takes in whom calls are kept from here.
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

    /// Tells the other directors what this one sees, where that has changed.
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
        // Not by its address, which may change.
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

/// Ids one after the other, sixteen bytes each.
fn told_to(told: &DoubtfulWorkers) -> Bytes {
    told.doubtful.iter().flat_map(|id| id.as_u128().to_be_bytes()).collect()
}

fn told_from(bytes: &[u8]) -> Option<DoubtfulWorkers> {
    let (ids, []) = bytes.as_chunks::<16>() else { return None };
    Some(DoubtfulWorkers {
        doubtful: ids.iter().map(|id| NodeId::from_u128(u128::from_be_bytes(*id))).collect(),
    })
}

/// Follows what one worker says of itself.
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
                // One that said goodbye is not in trouble.
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
