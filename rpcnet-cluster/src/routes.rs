//! What directors tell clients: the service `rpcnet.Directory`.

use std::{collections::BTreeMap, sync::Arc};

use rpcnet::{
    Context, Streaming,
    balance::Policy,
    discover::{Endpoint, EndpointSet},
    rpc_trait,
};
use serde::{Deserialize, Serialize};

use crate::swim::{Identity, Member};

/// What a director serves.
#[rpc_trait(name = "rpcnet.Directory")]
pub(crate) trait Directory {
    /// The workers, for as long as somebody listens.
    #[rpc(idempotent)]
    async fn watch(&self, cx: &Context) -> rpcnet::Result<Streaming<Update>>;
}

/// An item of the stream: the first is a table; later ones are tables when something has changed, and a sign of
/// life every [`HEARTBEAT`](crate::director::HEARTBEAT) otherwise.
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
    identity: Identity,
    tags: BTreeMap<String, String>,
}

/// What a director suggests; a client's own choice goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoutePolicy {
    #[default]
    PeakEwma,
    RoundRobin,
}

impl From<Policy> for RoutePolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::RoundRobin => Self::RoundRobin,
            _ => Self::PeakEwma,
        }
    }
}

impl From<RoutePolicy> for Policy {
    fn from(policy: RoutePolicy) -> Self {
        match policy {
            RoutePolicy::PeakEwma => Self::PeakEwma,
            RoutePolicy::RoundRobin => Self::RoundRobin,
        }
    }
}

impl RouteTable {
    /// The workers among the members. Suspects stay: a client that is connected to one knows better whether it
    /// answers.
    pub(crate) fn new<'a>(policy: RoutePolicy, members: impl Iterator<Item = &'a Member>) -> Self {
        let workers = members
            .filter(|member| crate::registry::is_worker(member))
            .map(|member| Route { identity: member.identity(), tags: member.tags().clone() })
            .collect();
        Self { policy, workers }
    }

    #[cfg(test)]
    pub(crate) fn of(workers: impl Iterator<Item = (Identity, BTreeMap<String, String>)>) -> Self {
        let workers = workers.map(|(identity, tags)| Route { identity, tags }).collect();
        Self { policy: RoutePolicy::default(), workers }
    }

    /// As a client's endpoints. A worker that was restarted is another endpoint; one that was merely taken for dead
    /// (and has a new generation for that) is another one too, which costs a handshake.
    pub(crate) fn endpoints(&self) -> EndpointSet {
        let endpoint = |route: &Route| {
            let id: Arc<str> = route.identity.to_string().into();
            Endpoint::new(id, route.identity.addr()).with_tags(route.tags.clone())
        };
        self.workers.iter().map(endpoint).collect()
    }
}
