//! The service `rpcnet.Directory`, by which directors list the workers to clients.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rpcnet::{
    Context, Streaming,
    balance::Policy,
    discover::{Endpoint, EndpointSet, Standing},
    rpc_trait,
};
use serde::{Deserialize, Serialize};

use super::worker_health::WorkerHealth;
use crate::{
    TagFilter,
    swim::{Identity, Member, MemberState, services},
    tags::{RESERVED, is_away, is_worker},
};

/// The longest time between two updates to a client.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// The wire name of [`Directory`].
pub(crate) const DIRECTORY: &str = "rpcnet.Directory";

/// The service of a director.
#[rpc_trait(name = "rpcnet.Directory")]
pub(crate) trait Directory {
    /// Streams the list of workers until the client or the director is gone.
    #[rpc(idempotent)]
    async fn watch(&self, cx: &Context) -> rpcnet::Result<Streaming<Update>>;
}

/// An item of the stream. The first is a table. Later ones are a table when something has changed, and otherwise a sign of
/// life every [`HEARTBEAT`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Update {
    Table(RouteTable),
    Alive,
}

/// The list of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteTable {
    pub(crate) policy: RoutePolicy,
    pub(crate) workers: Vec<Route>,
}

/// A worker in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// The worker's identity, with the address for calls.
    identity: Identity,
    /// The user's tags, and the services in the form that they have in records. A client of the previous release reads them
    /// as tags; a director of that release leaves them out.
    tags: BTreeMap<String, String>,
    standing: RouteStanding,
    /// The services that should get no calls at this worker.
    not_serving: Vec<String>,
}

/// A worker's [`Standing`], as it is on the wire: the numbers of its variants stay when those of `Standing` change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RouteStanding {
    #[default]
    Ready,
    /// Gossip suspects it, or some director can't reach it.
    Suspect,
    /// It drains, or is not ready.
    Away,
}

impl From<RouteStanding> for Standing {
    fn from(standing: RouteStanding) -> Self {
        match standing {
            RouteStanding::Ready => Self::Ready,
            RouteStanding::Suspect => Self::Suspect,
            RouteStanding::Away => Self::Away,
        }
    }
}

impl Route {
    fn new(member: &Member, health: &WorkerHealth) -> Self {
        let says = health.readiness(member.id());
        let away = is_away(member) || says.is_some_and(|says| !says.ready);
        let doubtful = member.state() == MemberState::Suspect || health.is_doubtful(member.id());
        // Clients do not choose by reserved tags.
        let tags = member.tags().iter().filter(|(key, _)| !key.starts_with(RESERVED));
        let mut tags: BTreeMap<_, _> = tags.map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(services) = member.services() {
            services::put(services, &mut tags);
        }
        Self {
            identity: member.callee(),
            tags,
            standing: match (away, doubtful) {
                (true, _) => RouteStanding::Away,
                (false, true) => RouteStanding::Suspect,
                (false, false) => RouteStanding::Ready,
            },
            not_serving: says.map(|says| says.not_serving.clone()).unwrap_or_default(),
        }
    }
}

/// A [`Policy`] that a director suggests, as it is on the wire: the numbers of its variants stay when those of `Policy`
/// change. A client's own choice goes before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoutePolicy {
    #[default]
    PeakEwma,
    RoundRobin,
    Random,
    LeastRequest,
    Weighted,
    ConsistentHash,
}

impl From<Policy> for RoutePolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::RoundRobin => Self::RoundRobin,
            Policy::Random => Self::Random,
            Policy::LeastRequest => Self::LeastRequest,
            Policy::Weighted => Self::Weighted,
            Policy::ConsistentHash => Self::ConsistentHash,
            _ => Self::PeakEwma,
        }
    }
}

impl From<RoutePolicy> for Policy {
    fn from(policy: RoutePolicy) -> Self {
        match policy {
            RoutePolicy::PeakEwma => Self::PeakEwma,
            RoutePolicy::RoundRobin => Self::RoundRobin,
            RoutePolicy::Random => Self::Random,
            RoutePolicy::LeastRequest => Self::LeastRequest,
            RoutePolicy::Weighted => Self::Weighted,
            RoutePolicy::ConsistentHash => Self::ConsistentHash,
        }
    }
}

impl RouteTable {
    /// Lists the workers among the members, with their health. Workers that should get no calls stay in the list: calls in
    /// flight end there, and the connection is still open when they come back.
    pub(crate) fn new<'a>(
        policy: RoutePolicy,
        members: impl Iterator<Item = &'a Member>,
        health: &WorkerHealth,
    ) -> Self {
        let workers =
            members.filter(|member| is_worker(member)).map(|member| Route::new(member, health)).collect();
        Self { policy, workers }
    }

    #[cfg(test)]
    pub(crate) fn of(workers: impl Iterator<Item = (Identity, BTreeMap<String, String>)>) -> Self {
        let workers = workers.map(|(identity, tags)| Route {
            identity,
            tags,
            standing: RouteStanding::default(),
            not_serving: Vec::new(),
        });
        let workers = workers.collect();
        Self { policy: RoutePolicy::default(), workers }
    }

    /// Returns the number of workers.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Returns the number of workers that match the filter.
    pub(crate) fn matching(&self, filter: &TagFilter) -> usize {
        self.workers.iter().filter(|route| filter.matches(&route.tags)).count()
    }

    /// Returns the workers as a client's endpoints. A restarted worker is another endpoint. So is a worker that was taken for
    /// dead and has a new generation for that, which costs a handshake.
    pub(crate) fn endpoints(&self) -> EndpointSet {
        let endpoint = |route: &Route| {
            let id: Arc<str> = route.identity.to_string().into();
            let mut tags = route.tags.clone();
            let services = services::take(&mut tags);
            let endpoint = Endpoint::new(id, route.identity.addr())
                .with_tags(tags)
                .with_standing(route.standing.into())
                .with_not_serving(route.not_serving.clone());
            match services {
                Some(services) => endpoint.with_services(services),
                None => endpoint,
            }
        };
        self.workers.iter().map(endpoint).collect()
    }
}
