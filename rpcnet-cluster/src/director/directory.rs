//! What directors tell clients: the service `rpcnet.Directory`.

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
    /// The workers, for as long as somebody listens.
    #[rpc(idempotent)]
    async fn watch(&self, cx: &Context) -> rpcnet::Result<Streaming<Update>>;
}

/// An item of the stream: the first is a table; later ones are tables when something has changed, and a sign of
/// life every [`HEARTBEAT`] otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Update {
    Table(RouteTable),
    Alive,
}

/// Where the workers are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteTable {
    pub(crate) policy: RoutePolicy,
    pub(crate) workers: Vec<Route>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// With the address for calls.
    identity: Identity,
    /// The user's tags, and the services in the form that they have in records. A client of the previous release reads them
    /// as tags; a director of that release leaves them out.
    tags: BTreeMap<String, String>,
    standing: RouteStanding,
    /// Services that it has and that should get no calls there.
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
        // Tags of this crate's own are nobody's to choose by.
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
    /// The workers among the members, with what is seen of them. Those that should get no calls stay too: calls at work
    /// there end in peace, and the connection stands when they come back.
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

    /// The number of workers.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The number of them that have these tags.
    pub(crate) fn matching(&self, filter: &TagFilter) -> usize {
        self.workers.iter().filter(|route| filter.matches(&route.tags)).count()
    }

    /// As a client's endpoints. A worker that was restarted is another endpoint; one that was merely taken for dead
    /// (and has a new generation for that) is another one too, which costs a handshake.
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
