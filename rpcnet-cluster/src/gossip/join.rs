//! Joining: the node asks seeds, and nodes that it knew once, until it is in the cluster, and again whenever it is alone.
//!
//! [`join_schedule`](super::join_schedule) decides which addresses to ask. A round resolves the names and begins dials. It does
//! not wait for them, so a silent address delays no other.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use rpcnet::{Backoff, ConnectError};
use tokio::task::JoinSet;
use tracing::debug;

use super::{
    driver::{Gossip, now, until},
    handshake::{LinkError, PeerLink},
    join_failure,
    join_schedule::{DialReason, JoinOutcome, JoinSchedule, KnownAddresses, PlannedDial, SeedState},
};

/// The shortest and the longest pause between rounds while the node is alone.
const ALONE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The shortest and the longest pause between rounds while the node is not alone. A cluster that was split, and whose parts
/// have forgotten each other, comes together again through the seeds. So does a seed that was restarted and knows no member.
const CHECK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// The states of a node's seeds, by name.
pub(super) type SeedStates = Arc<[(String, SeedState)]>;

/// Asks seeds for as long as the node lives.
pub(super) async fn join(gossip: Arc<Gossip>, seeds: JoinSchedule) {
    tokio::select! {
        () = JoinTask::new(&gossip, seeds).run() => {}
        () = gossip.closed.cancelled() => {}
    }
}

struct JoinTask<'a> {
    gossip: &'a Arc<Gossip>,
    seeds: JoinSchedule,
    rng: StdRng,
    resolving: JoinSet<(usize, Result<Vec<SocketAddr>, ConnectError>)>,
    dialling: JoinSet<(PlannedDial, Result<PeerLink, LinkError>)>,
    /// The links that were made for joining. They end with this task, or with their connection.
    links: JoinSet<()>,
}

impl<'a> JoinTask<'a> {
    fn new(gossip: &'a Arc<Gossip>, seeds: JoinSchedule) -> Self {
        Self {
            gossip,
            seeds,
            rng: StdRng::from_rng(&mut rand::rng()),
            resolving: JoinSet::new(),
            dialling: JoinSet::new(),
            links: JoinSet::new(),
        }
    }

    async fn run(mut self) {
        let gossip = self.gossip;
        let mut backoff = Backoff::new(ALONE.0, ALONE.1);
        let mut check = Backoff::new(CHECK.0, CHECK.1);
        let mut rng = StdRng::from_rng(&mut self.rng);
        loop {
            if !self.seeds.has_seeds() && gossip.known_peers().is_empty() && gossip.rivals().is_empty() {
                gossip.restored.notified().await;
            }
            self.begin();
            {
                let over = wait(gossip, &mut backoff, &mut check, &mut rng);
                tokio::select! {
                    () = self.work() => {}
                    () = over => {}
                    () = gossip.restored.notified() => {}
                }
            }
            if !self.seeds.is_missing(&gossip.known()) {
                check.reset();
            }
        }
    }

    /// Begins a round.
    fn begin(&mut self) {
        let gossip = self.gossip;
        for (index, name) in self.seeds.begin(now()) {
            let connector = gossip.connector.clone();
            self.resolving.spawn(async move { (index, connector.resolve(&name).await) });
        }
        let view = gossip.view().borrow().clone();
        for addr in gossip.known_peers().next(&view[1..], gossip.is_isolated()) {
            self.seeds.also(addr, DialReason::Join);
        }
        for addr in gossip.rivals().next() {
            self.seeds.also(addr, DialReason::Rival);
        }
    }

    /// Dials and takes in the results, for ever. Cancel-safe.
    async fn work(&mut self) {
        loop {
            let gossip = self.gossip;
            let known = gossip.known();
            while let Some(dial) = self.seeds.next(now(), &known) {
                let gossip = gossip.clone();
                self.dialling.spawn(async move {
                    let dialled = gossip.dial(dial.addr, &dial.host).await;
                    (dial, dialled)
                });
            }
            gossip.publish_seed_states(self.seeds.states(&known));
            while self.links.try_join_next().is_some() {}
            let slot = self.seeds.slot(now());
            tokio::select! {
                Some(resolved) = self.resolving.join_next() => {
                    // A panic has been reported; the seed is resolved again in a minute.
                    if let Ok((index, addrs)) = resolved {
                        self.resolved(index, addrs);
                    }
                }
                Some(dialled) = self.dialling.join_next() => {
                    if let Ok((dial, dialled)) = dialled {
                        self.dialled(&dial, dialled);
                    }
                }
                () = until(slot) => {}
            }
        }
    }

    fn resolved(&mut self, index: usize, addrs: Result<Vec<SocketAddr>, ConnectError>) {
        let gossip = self.gossip;
        let addrs = addrs.map_err(|error| {
            let failure = join_failure::unresolved(&error);
            debug!(error = failure.text, "seed does not resolve");
            gossip.metrics.join_failed(failure.reason);
            failure
        });
        // A seed that may be this node itself teaches it no address.
        if let Ok(addrs) = &addrs {
            let others = addrs.iter().filter(|addr| super::advertise::fault(**addr).is_none());
            others.for_each(|addr| gossip.look_towards(*addr));
        }
        self.seeds.resolved(index, addrs, &gossip.known(), &mut self.rng);
    }

    fn dialled(&mut self, dial: &PlannedDial, dialled: Result<PeerLink, LinkError>) {
        let gossip = self.gossip;
        let answer = match dialled {
            Ok(link) => {
                let (linked, identity) = (gossip.clone(), link.identity);
                self.links.spawn(async move { linked.run(link).await });
                gossip.act(|node, now| node.announce(now, identity));
                JoinOutcome::Peer
            }
            Err(LinkError::Ourselves | LinkError::Rival(_)) => {
                gossip.rivals().seen(dial.addr);
                JoinOutcome::Ourselves
            }
            Err(error) => {
                let failure = join_failure::no_link(&error);
                debug!(seed = %dial.addr, error = failure.text, "seed does not answer");
                if dial.why == DialReason::Join {
                    gossip.metrics.join_failed(failure.reason);
                }
                JoinOutcome::Failed(failure)
            }
        };
        self.seeds.answered(dial.addr, &answer);
    }
}

impl Gossip {
    /// Returns the addresses that need not be asked.
    fn known(&self) -> KnownAddresses {
        let view = self.view.borrow();
        let active = view.iter().skip(1).filter(|member| member.state().is_active());
        KnownAddresses {
            members: active.map(|member| member.identity().addr()).collect(),
            own: self.own_addr().into_iter().chain([self.bound]).collect(),
        }
    }

    fn publish_seed_states(&self, states: Vec<(String, SeedState)>) {
        self.seed_states.send_if_modified(|told| {
            let changed = **told != *states;
            if changed {
                *told = states.into();
            }
            changed
        });
    }
}

/// Waits until it is time to ask again: soon while the node is alone, rarely otherwise.
async fn wait(gossip: &Arc<Gossip>, backoff: &mut Backoff, check: &mut Backoff, rng: &mut StdRng) {
    // The answer to an announce takes a round trip.
    let mut view = gossip.view();
    let alone = || gossip.is_isolated();
    if alone() {
        check.reset();
    }
    let pause = backoff.next(rng);
    let joined = async {
        while alone() {
            if view.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(pause, joined).await.is_err() {
        return;
    }
    backoff.reset();
    let lonely = async {
        while !alone() {
            if view.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(check.next(rng), lonely).await;
}
