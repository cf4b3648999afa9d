//! The built-in service that tells whether a node lives, and whether it should get work.

use serde::{Deserialize, Serialize};

use crate::{rpc_impl, rpc_trait, server::Server};

/// Whether a node lives, and whether it should get work. Every [`Server`] registers it.
#[rpc_trait(name = "rpcnet.Health")]
pub trait Health {
    /// Answers as soon as the node can answer anything.
    #[rpc(idempotent, timeout = "5s")]
    async fn health(&self) -> crate::Result<HealthState>;

    /// Whether the node should get calls now, and if not, why.
    #[rpc(idempotent, timeout = "5s")]
    async fn ready(&self) -> crate::Result<Readiness>;
}

/// What a living node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// Milliseconds since the server was made.
    pub uptime_ms: u64,
    /// Calls at work, this one among them.
    pub in_flight: u64,
    /// The wire names of the services, sorted.
    pub services: Vec<String>,
}

/// Whether a node should get calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// It should.
    pub ready: bool,
    /// Why not; empty when it is ready.
    pub reasons: Vec<String>,
}

/// The service over a server that may be gone.
#[derive(Debug)]
pub(crate) struct ServerHealth(pub(crate) crate::server::WeakServer);

#[rpc_impl]
impl Health for ServerHealth {
    async fn health(&self) -> crate::Result<HealthState> {
        self.server().map(|server| server.health())
    }

    async fn ready(&self) -> crate::Result<Readiness> {
        self.server().map(|server| server.readiness())
    }
}

impl ServerHealth {
    fn server(&self) -> crate::Result<Server> {
        self.0.upgrade().ok_or_else(|| crate::Status::unavailable("the server has been dropped"))
    }
}
