//! The built-in service that reports whether a node is alive and whether it should get calls.

use serde::{Deserialize, Serialize};

use crate::{Context, Status, Streaming, rpc_impl, rpc_trait, server::Server};

/// Reports whether a node is alive and whether it should get calls. Every [`Server`] registers this service.
///
/// A node is ready if its server runs, does not drain, and all its [checks](Server::add_check) succeed. A
/// single service may be [taken out of service](Server::set_serving).
///
/// ```
/// use rpcnet::HealthClient;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
/// let health = HealthClient::new(channel);
/// println!("up for {} ms", health.health().await?.uptime_ms);
/// // The first item is the state now. Further ones come as it changes.
/// let mut changes = health.watch().await?;
/// if let Some(now) = changes.next().await {
///     assert!(now?.ready);
/// }
/// # Ok(())
/// # }
/// ```
#[rpc_trait(name = "rpcnet.Health")]
pub trait Health {
    /// Returns the node's state. Answers as soon as the node can answer anything.
    #[rpc(idempotent, timeout = "5s")]
    async fn health(&self) -> crate::Result<HealthState>;

    /// Returns whether the node should get calls now, and if not, why.
    #[rpc(idempotent, timeout = "5s")]
    async fn ready(&self) -> crate::Result<Readiness>;

    /// Returns whether the service with this wire name should get calls now. `NotFound` if there is none.
    #[rpc(idempotent, timeout = "5s")]
    async fn serving(&self, service: String) -> crate::Result<bool>;

    /// Returns a stream of the readiness: now, and then whenever it changes, until the server is shut down.
    #[rpc(idempotent)]
    async fn watch(&self, cx: &Context) -> crate::Result<Streaming<Readiness>>;
}

/// The state of a node that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// Milliseconds since the server was made.
    pub uptime_ms: u64,
    /// Calls in flight, including this one.
    pub in_flight: u64,
    /// The wire names of the services, sorted.
    pub services: Vec<String>,
}

/// The readiness of a node: whether it should get calls.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
/// # rpcnet::HealthClient::new(channel).health().await?;
/// let cache = server.readiness_condition("cache");
/// cache.fail("loading");
/// assert!(!server.readiness().ready);
/// assert_eq!(server.readiness().reasons, ["cache: loading"]);
/// cache.meet();
/// assert!(server.readiness().ready);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Set if the node should get calls.
    pub ready: bool,
    /// The reasons why the node is not ready. If it is ready, notes for people who look; usually empty.
    pub reasons: Vec<String>,
    /// The wire names of services that should get no calls though the node is ready; sorted.
    pub not_serving: Vec<String>,
}

/// The implementation. It does not keep the server alive.
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
        // A watch neither counts as a call in flight nor keeps the server alive.
        let watching = server.background();
        drop(server);
        let cx = cx.clone();
        let (sender, updates) = Streaming::channel(1);
        tokio::spawn(async move {
            let _watching = watching;
            let send_changes = async {
                loop {
                    let now = Readiness::clone(&readiness.borrow_and_update());
                    if sender.send(now).await.is_err() || readiness.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = send_changes => {}
                () = sender.closed() => {}
                () = cx.draining() => {
                    // The last item tells the watcher why the stream ends.
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
