//! Keeps up with the set of endpoints, and looks for those that fail more than others.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tracing::debug;

use super::{Shared, member::Member, picking::Members};
use crate::{
    balance::{Layout, Policy},
    discover::EndpointSet,
    session::{Session, WeakSession},
};

/// How often outliers are looked for.
const SWEEP: Duration = Duration::from_millis(250);
/// The layout of more endpoints is computed where it holds up nobody.
const FEW: usize = 32;

/// Keeps the members as the set says, until the channel is closed.
pub(super) async fn follow(shared: Arc<Shared>, endpoints: watch::Receiver<EndpointSet>) {
    let closing = shared.closing.clone();
    tokio::select! {
        biased;
        () = closing.closed() => {}
        () = keep_up(shared.clone(), endpoints) => {}
    }
    // Also where a connector was closed with all its channels.
    shared.changed.notify_waiters();
}

async fn keep_up(shared: Arc<Shared>, mut endpoints: watch::Receiver<EndpointSet>) {
    let mut watchers = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ends = false;
    loop {
        let set = endpoints.borrow_and_update().clone();
        shared.update(&set, &mut watchers).await;
        shared.changed.notify_waiters();
        while watchers.try_join_next().is_some() {}
        loop {
            tokio::select! {
                changed = endpoints.changed(), if !ends => match changed {
                    Ok(()) => break,
                    // Nobody changes the set any more; it stands.
                    Err(_) => ends = true,
                },
                _ = sweep.tick() => shared.sweep(),
            }
        }
    }
}

impl Shared {
    async fn update(self: &Arc<Self>, set: &EndpointSet, watchers: &mut JoinSet<()>) {
        let before = self.members.load_full();
        let mut all = Vec::with_capacity(set.len());
        for endpoint in &**set {
            if let Some(member) = before.all.iter().find(|member| member.is(endpoint)) {
                member.told(endpoint);
                all.push(member.clone());
                continue;
            }
            debug!(id = %endpoint.id(), addr = %endpoint.addr(), "endpoint added");
            let member = Member::start(&self.dialer, &self.closing, &self.common, endpoint);
            watchers.spawn(watch_member(Arc::downgrade(self), Arc::downgrade(&member)));
            all.push(member);
        }
        let (policy, options) = (self.config.policy, self.config.hash.clone());
        let arrange = move || {
            let ids = all.iter().map(|member| &**member.id());
            let weights = all.iter().map(|member| member.full_weight());
            let layout = Layout::new(policy, ids, &options).with_weights(weights);
            Members { all, layout }
        };
        // Of hundreds, a ring takes tens of milliseconds.
        let members = if policy == Policy::ConsistentHash && set.len() > FEW {
            match tokio::task::spawn_blocking(arrange).await {
                Ok(members) => members,
                // The runtime goes down.
                Err(_) => return,
            }
        } else {
            arrange()
        };
        self.members.store(Arc::new(members));
    }

    /// Counts the members that calls could go to.
    fn count_ready(&self) -> usize {
        let ready = self.members.load().all.iter().filter(|member| member.is_untried(&[])).count();
        self.common.ready.store(ready, Ordering::Relaxed);
        ready
    }

    /// What calls take where there were some, in the mean.
    fn handling(&self) -> Duration {
        let members = self.members.load();
        let known: Vec<_> = members.all.iter().filter_map(|member| member.latency()).collect();
        known.iter().sum::<Duration>() / u32::try_from(known.len().max(1)).unwrap_or(u32::MAX)
    }

    fn sweep(&self) {
        let members = self.members.load();
        let all = &members.all;
        let ready = self.count_ready();
        self.common.detector.has_endpoints(ready);
        let now = Instant::now().into_std();
        let found =
            self.common.detector.sweep(now, all.len(), |index| all[index].outlier(), &mut rand::rng());
        for (index, ejected) in found {
            all[index].out(ejected);
        }
    }
}

/// Tells those who wait for an endpoint when one of this one's connections comes or goes.
async fn watch_member(shared: Weak<Shared>, member: Weak<Member>) {
    let mut known: Option<WeakSession> = None;
    loop {
        let changes = {
            let (Some(shared), Some(member)) = (shared.upgrade(), member.upgrade()) else { return };
            let changes = member.lines.changes();
            // A further connection says nothing new of what calls take: it leads to the same process.
            let session = member.lines.first();
            if let Some(session) = &session
                && !known.as_ref().is_some_and(|known| known.is(session))
            {
                member.connected(session, shared.handling());
            }
            if shared.common.counts {
                shared.count_ready();
            }
            known = session.as_ref().map(Session::downgrade);
            shared.changed.notify_waiters();
            changes
        };
        changes.await;
    }
}
