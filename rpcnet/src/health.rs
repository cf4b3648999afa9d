//! The built-in service that tells whether a node lives, and whether it should get work.

use serde::{Deserialize, Serialize};

use crate::{Context, Status, Streaming, rpc_impl, rpc_trait, server::Server};

/// Whether a node lives, and whether it should get work. Every [`Server`] registers it.
///
/// What makes a node ready: the server runs and does not drain, and all its [checks](Server::add_check) succeed. A
/// single service may be [taken out](Server::set_serving).
#[rpc_trait(name = "rpcnet.Health")]
pub trait Health {
    /// Answers as soon as the node can answer anything.
    #[rpc(idempotent, timeout = "5s")]
    async fn health(&self) -> crate::Result<HealthState>;

    /// Whether the node should get calls now, and if not, why.
    #[rpc(idempotent, timeout = "5s")]
    async fn ready(&self) -> crate::Result<Readiness>;

    /// Whether the service of this wire name should get calls now: `NotFound` where there is none.
    #[rpc(idempotent, timeout = "5s")]
    async fn serving(&self, service: String) -> crate::Result<bool>;

    /// The readiness now, and then whenever it changes, until the server is shut down.
    #[rpc(idempotent)]
    async fn watch(&self, cx: &Context) -> crate::Result<Streaming<Readiness>>;
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// It should.
    pub ready: bool,
    /// Why not. Where it is ready, what people should know all the same; mostly nothing.
    pub reasons: Vec<String>,
    /// The wire names of services that should get no calls though the node is ready; sorted.
    pub not_serving: Vec<String>,
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

    async fn serving(&self, service: String) -> crate::Result<bool> {
        let server = self.server()?;
        if !server.services().contains(&&*service) {
            return Err(Status::not_found(format!("no service {service} is registered here")));
        }
        let readiness = server.readiness();
        Ok(readiness.ready && !readiness.not_serving.contains(&service))
    }

    async fn watch(&self, cx: &Context) -> crate::Result<Streaming<Readiness>> {
        let server = self.server()?;
        let mut readiness = server.watch_readiness();
        let last = readiness.clone();
        // Who watches keeps no server busy, and none alive.
        let watching = server.background();
        drop(server);
        let cx = cx.clone();
        let (sender, updates) = Streaming::channel(1);
        tokio::spawn(async move {
            let _watching = watching;
            let tell = async {
                loop {
                    let now = Readiness::clone(&readiness.borrow_and_update());
                    if sender.send(now).await.is_err() || readiness.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = tell => {}
                () = sender.closed() => {}
                () = cx.draining() => {
                    // Who is told nothing more is to know why.
                    let now = Readiness::clone(&last.borrow());
                    let _ = sender.send(now).await;
                }
            }
            sender.finish();
        });
        Ok(updates)
    }
}

impl ServerHealth {
    fn server(&self) -> crate::Result<Server> {
        self.0.upgrade().ok_or_else(|| Status::unavailable("the server has been dropped"))
    }
}
