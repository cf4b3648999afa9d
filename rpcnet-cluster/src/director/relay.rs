//! Relays the calls of clients that can't reach the workers.
//!
//! A director has one balanced channel for each filter by which its clients choose workers, made at the first call with that
//! filter. The channel spreads, retries and hedges the calls, because only the director knows the workers.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, MutexGuard, OnceLock},
    time::Duration,
};

use rpcnet::{
    __cluster::Mutex, BalancedChannel, BalancedConfig, Caller, Connector, ReplyFuture, Request, Status,
    discover::EndpointSet, relay::Forward,
};
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    directory::{RoutePolicy, RouteTable},
    worker_health::WorkerHealth,
};
use crate::{
    TagFilter,
    swim::{Identity, Member},
    tags::is_worker,
};

/// The most filters in use. Each has connections of its own to the workers that it matches.
const FILTERS: usize = 32;
/// The time after which an unused filter makes room for another one.
const UNUSED: Duration = Duration::from_secs(60);

/// The operator's choices for relaying.
#[derive(Debug, Clone)]
pub(crate) struct RelaySettings {
    pub(crate) is_open: bool,
    pub(crate) balancing: BalancedConfig,
    pub(crate) policy: RoutePolicy,
}

/// Forwards calls to the workers among the members.
pub(crate) struct WorkerRelay {
    view: watch::Receiver<Arc<[Member]>>,
    health: watch::Receiver<Arc<WorkerHealth>>,
    connector: Connector,
    settings: RelaySettings,
    /// All workers, for calls without a filter: those of most clients.
    all: OnceLock<Workers>,
    filtered: Mutex<HashMap<Box<str>, FilteredWorkers>>,
}

/// The workers that match a filter, and the connections to them.
struct Workers {
    channel: BalancedChannel,
    following: AbortHandle,
}

struct FilteredWorkers {
    workers: Workers,
    last: Instant,
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl fmt::Debug for WorkerRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerRelay").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Forward for WorkerRelay {
    fn is_open(&self) -> bool {
        self.settings.is_open
    }

    fn forward(&self, call: Request) -> ReplyFuture {
        let channel = match call.selector() {
            None => Ok(self.all.get_or_init(|| self.start(TagFilter::default())).channel.clone()),
            Some(selector) => self.filtered(selector),
        };
        match channel {
            Ok(channel) => Box::pin(channel.call(call)),
            Err(status) => Box::pin(std::future::ready(Err(status.not_executed()))),
        }
    }
}

impl WorkerRelay {
    pub(crate) fn new(
        view: watch::Receiver<Arc<[Member]>>,
        health: watch::Receiver<Arc<WorkerHealth>>,
        connector: Connector,
        settings: RelaySettings,
    ) -> Self {
        Self { view, health, connector, settings, all: OnceLock::new(), filtered: Mutex::default() }
    }

    /// Returns the workers that outlier detection has ejected.
    pub(crate) fn ejected(&self) -> Vec<Identity> {
        let mut ejected: HashSet<Arc<str>> = HashSet::new();
        let filtered = self.lock();
        let all = self.all.get().into_iter().chain(filtered.values().map(|used| &used.workers));
        all.for_each(|workers| ejected.extend(workers.channel.ejected()));
        drop(filtered);
        if ejected.is_empty() {
            return Vec::new();
        }
        let view = self.view.borrow();
        let identities = view.iter().map(Member::callee);
        identities.filter(|identity| ejected.contains(&*identity.to_string())).collect()
    }

    /// Returns the channel to the workers that match a client's filter.
    fn filtered(&self, selector: &str) -> Result<BalancedChannel, Status> {
        let now = Instant::now();
        let mut filtered = self.lock();
        if let Some(used) = filtered.get_mut(selector) {
            used.last = now;
            return Ok(used.workers.channel.clone());
        }
        let filter: TagFilter = selector
            .parse()
            .map_err(|error: crate::FilterError| Status::invalid_argument(error.to_string()))?;
        filtered.retain(|_, used| now.saturating_duration_since(used.last) < UNUSED);
        if filtered.len() >= FILTERS {
            let message = format!("clients of this director choose workers by {FILTERS} filters already");
            return Err(Status::resource_exhausted(message));
        }
        let workers = self.start(filter);
        let channel = workers.channel.clone();
        filtered.insert(selector.into(), FilteredWorkers { workers, last: now });
        Ok(channel)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, FilteredWorkers>> {
        self.filtered.lock()
    }

    fn start(&self, filter: TagFilter) -> Workers {
        let (sender, endpoints) = watch::channel(EndpointSet::from([]));
        let RelaySettings { balancing, policy, .. } = &self.settings;
        let channel = self.connector.balanced(endpoints, balancing.clone().with_policy((*policy).into()));
        let (view, wanted) = (self.view.clone(), filter.clone());
        channel.set_origin(move || {
            let view = view.borrow();
            let workers: Vec<_> = view.iter().filter(|member| is_worker(member)).collect();
            let matching = workers.iter().filter(|member| wanted.matches(member.tags())).count();
            let known = workers.len();
            format!("this director knows {known} workers, of which {matching} match the filter \"{wanted}\"")
        });
        let following =
            tokio::spawn(follow(self.view.clone(), self.health.clone(), filter, sender)).abort_handle();
        Workers { channel, following }
    }
}

/// Keeps the endpoints equal to the workers among the members.
async fn follow(
    mut view: watch::Receiver<Arc<[Member]>>,
    mut health: watch::Receiver<Arc<WorkerHealth>>,
    filter: TagFilter,
    endpoints: watch::Sender<EndpointSet>,
) {
    loop {
        let table = RouteTable::new(
            RoutePolicy::default(),
            view.borrow_and_update().iter(),
            &health.borrow_and_update(),
        );
        let workers = table.endpoints();
        let matching: EndpointSet =
            workers.iter().filter(|endpoint| filter.matches(endpoint.tags())).cloned().collect();
        endpoints.send_if_modified(|current| {
            let changed = *current != matching;
            *current = matching;
            changed
        });
        let changed = tokio::select! {
            changed = view.changed() => changed,
            changed = health.changed() => changed,
        };
        if changed.is_err() {
            // The node has stopped. The last known workers stay.
            return;
        }
    }
}
