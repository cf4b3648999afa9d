//! Follows the set of endpoints, and ejects those that fail more than others.

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

use super::{BalancedShared, endpoint::EndpointState};
use crate::{
    balance::Policy,
    discover::EndpointSet,
    session::{Session, WeakSession},
};

/// The period of the sweep for outliers.
const SWEEP: Duration = Duration::from_millis(250);
/// The number of endpoints above which a hash ring is computed on a blocking thread.
const FEW: usize = 32;

/// Updates the members from the set until the channel is closed.
pub(super) async fn follow(shared: Arc<BalancedShared>, endpoints: watch::Receiver<EndpointSet>) {
    let closing = shared.closing.clone();
    tokio::select! {
        biased;
        () = closing.closed() => {}
        () = follow_set(shared.clone(), endpoints) => {}
    }
    // A connector that closes all its channels ends this task too: calls that wait must notice.
    shared.changed.notify_waiters();
}

async fn follow_set(shared: Arc<BalancedShared>, mut endpoints: watch::Receiver<EndpointSet>) {
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
                    // The sender is gone: the set stays as it is.
                    Err(_) => ends = true,
                },
                _ = sweep.tick() => shared.sweep(),
            }
        }
    }
}

impl BalancedShared {
    async fn update(self: &Arc<Self>, set: &EndpointSet, watchers: &mut JoinSet<()>) {
        let before = self.members.load_full();
        let mut all = Vec::with_capacity(set.len());
        let mut grew = false;
        for endpoint in &**set {
            if let Some(member) = before.all.iter().find(|member| member.is(endpoint)) {
                grew |= member.update_from(endpoint);
                all.push(member.clone());
                continue;
            }
            grew = true;
            debug!(id = %endpoint.id(), addr = %endpoint.addr(), "endpoint added");
            let member = EndpointState::start(&self.dialer, &self.closing, &self.common, endpoint);
            watchers.spawn(watch_member(Arc::downgrade(self), Arc::downgrade(&member)));
            all.push(member);
        }
        let arrange = self.arrange.clone();
        let arrange = move || before.next(all, &arrange);
        // A ring of hundreds of endpoints takes tens of milliseconds.
        let members = if self.config.policy == Policy::ConsistentHash && set.len() > FEW {
            match tokio::task::spawn_blocking(arrange).await {
                Ok(members) => members,
                // The runtime is shutting down.
                Err(_) => return,
            }
        } else {
            arrange()
        };
        self.served.update(Instant::now(), grew, members.services());
        self.members.store(Arc::new(members));
    }

    /// Counts the members that take calls, and updates the groups' counts if the policy needs them.
    fn count_ready(&self) -> usize {
        let members = self.members.load();
        let ready =
            |members: &[Arc<EndpointState>]| members.iter().filter(|member| member.is_untried(&[])).count();
        if self.common.counts {
            members.groups().for_each(|group| group.ready.store(ready(&group.members), Ordering::Relaxed));
        }
        ready(&members.all)
    }

    /// The mean latency over the endpoints that have answered calls.
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
            all[index].eject(ejected);
        }
    }
}

/// Notifies waiting calls whenever a connection of this endpoint begins or ends.
async fn watch_member(shared: Weak<BalancedShared>, member: Weak<EndpointState>) {
    let mut known: Option<WeakSession> = None;
    loop {
        let changes = {
            let (Some(shared), Some(member)) = (shared.upgrade(), member.upgrade()) else { return };
            let changes = member.pool.changes();
            // An extra connection leads to the same process, so it says nothing new about latency.
            let session = member.pool.first();
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
