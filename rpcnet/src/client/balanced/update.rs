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

use super::{BalancedShared, endpoint::EndpointState};
use crate::{
    balance::Policy,
    discover::EndpointSet,
    session::{Session, WeakSession},
};

/// How often outliers are looked for.
const SWEEP: Duration = Duration::from_millis(250);
/// The layout of more endpoints is computed where it holds up nobody.
const FEW: usize = 32;

/// Keeps the members as the set says, until the channel is closed.
pub(super) async fn follow(shared: Arc<BalancedShared>, endpoints: watch::Receiver<EndpointSet>) {
    let closing = shared.closing.clone();
    tokio::select! {
        biased;
        () = closing.closed() => {}
        () = keep_up(shared.clone(), endpoints) => {}
    }
    // Also where a connector was closed with all its channels.
    shared.changed.notify_waiters();
}

async fn keep_up(shared: Arc<BalancedShared>, mut endpoints: watch::Receiver<EndpointSet>) {
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

impl BalancedShared {
    async fn update(self: &Arc<Self>, set: &EndpointSet, watchers: &mut JoinSet<()>) {
        let before = self.members.load_full();
        let mut all = Vec::with_capacity(set.len());
        let mut grew = false;
        for endpoint in &**set {
            if let Some(member) = before.all.iter().find(|member| member.is(endpoint)) {
                grew |= member.told(endpoint);
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
        // Of hundreds, a ring takes tens of milliseconds.
        let members = if self.config.policy == Policy::ConsistentHash && set.len() > FEW {
            match tokio::task::spawn_blocking(arrange).await {
                Ok(members) => members,
                // The runtime goes down.
                Err(_) => return,
            }
        } else {
            arrange()
        };
        self.served.update(Instant::now(), grew, members.services());
        self.members.store(Arc::new(members));
    }

    /// Counts the members that calls could go to.
    fn count_ready(&self) -> usize {
        let members = self.members.load();
        let ready =
            |members: &[Arc<EndpointState>]| members.iter().filter(|member| member.is_untried(&[])).count();
        if self.common.counts {
            members.groups().for_each(|group| group.ready.store(ready(&group.members), Ordering::Relaxed));
        }
        ready(&members.all)
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
async fn watch_member(shared: Weak<BalancedShared>, member: Weak<EndpointState>) {
    let mut known: Option<WeakSession> = None;
    loop {
        let changes = {
            let (Some(shared), Some(member)) = (shared.upgrade(), member.upgrade()) else { return };
            let changes = member.pool.changes();
            // A further connection says nothing new of what calls take: it leads to the same process.
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
