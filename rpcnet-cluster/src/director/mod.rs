//! Directors: nodes that tell clients where the workers are, and relay the calls of clients that can't reach them.

pub(crate) mod directory;
mod relay;
mod worker_health;

use std::{sync::Arc, time::Duration};

use rpcnet::{
    BalancedConfig, Context, Server, ServerError, Status, StreamSender, Streaming, balance::Policy, rpc_impl,
};
use tokio::sync::watch;

use self::{
    directory::{DIRECTORY, Directory, DirectoryServer, HEARTBEAT, RoutePolicy, RouteTable, Update},
    relay::{RelaySettings, WorkerRelay},
    worker_health::{WorkerHealth, WorkerWatch},
};
use crate::{Cluster, WorkerRegistry, swim::Member, tags::ROLE};

/// The most updates on their way to one client. The newest table waits behind them, and older ones are skipped.
const QUEUE: usize = 1;

/// A node that keeps track of the workers and tells clients where they are.
///
/// All directors are alike: a client may use any of them, and follows another one when it loses the first. Cheap to clone.
/// The director runs for as long as its server, even if all handles are dropped.
///
/// ```
/// use rpcnet::{Server, ServerConfig, dev::DevCa};
/// use rpcnet_cluster::{ClusterConfig, ClusterExt, Director, Policy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = DevCa::generate()?;
/// let identity = ca.issue("director-1")?;
/// let config = ServerConfig::builder()
///     .with_bind_addr(([127, 0, 0, 1], 0).into())
///     .with_cert_and_key(&identity.cert, &identity.key)?
///     .with_ca_cert(ca.ca_pem())?
///     .build()?;
/// let server = Server::new(config)?;
/// let cluster = server.enable_cluster(ClusterConfig::new_local()).await?;
/// let director = Director::builder(&server, &cluster).with_policy(Policy::LeastRequest).with_relay(false).start()?;
/// assert_eq!(director.registry().worker_count().await, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Director {
    registry: WorkerRegistry,
}

impl Director {
    /// Makes this node a director with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`DirectorBuilder::start`].
    pub fn new(server: &Server, cluster: &Cluster) -> Result<Self, DirectorError> {
        Self::builder(server, cluster).start()
    }

    /// Returns a builder of a director on this node.
    pub fn builder(server: &Server, cluster: &Cluster) -> DirectorBuilder {
        // A client that has other directors must not run out of time at one that knows no worker.
        let balancing = BalancedConfig::default().with_ready_timeout(Duration::from_secs(2));
        let relay = RelaySettings { is_open: true, balancing, policy: RoutePolicy::default() };
        DirectorBuilder { server: server.clone(), cluster: cluster.clone(), relay }
    }

    /// Returns the registry of the workers that this node knows.
    pub fn registry(&self) -> &WorkerRegistry {
        &self.registry
    }
}

/// Configures a [`Director`] before it starts.
#[derive(Debug, Clone)]
pub struct DirectorBuilder {
    server: Server,
    cluster: Cluster,
    relay: RelaySettings,
}

impl DirectorBuilder {
    /// Sets the policy for clients that choose none themselves, and for calls that are relayed. Default: peak EWMA.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.relay.policy = policy.into();
        self
    }

    /// Sets whether the director relays: it then accepts the calls of clients in [`Mode::Relay`](crate::Mode::Relay) and
    /// makes them at workers in their place. Default: `true`. With `false` the director refuses such clients.
    ///
    /// A relay is a way from the clients' network to the workers', and workers see the director as their caller, not the
    /// client. An interceptor of this server ([`Server::forward`]) has to decide which clients may call what.
    #[must_use]
    pub fn with_relay(mut self, relay: bool) -> Self {
        self.relay.is_open = relay;
        self
    }

    /// Sets the attempts, waiting and budget of calls that are relayed. [`with_policy`](Self::with_policy) sets their
    /// policy. Default: [`BalancedConfig::default`] with a
    /// [ready timeout](BalancedConfig::with_ready_timeout) of 2 s.
    #[must_use]
    pub fn with_relay_balancing(mut self, config: BalancedConfig) -> Self {
        self.relay.balancing = config;
        self
    }

    /// Makes the node a director: gives it the tag `role=director` if it has no role, registers the service that clients'
    /// [`ClusterChannel`](crate::ClusterChannel)s ask, and accepts calls to relay.
    ///
    /// # Errors
    ///
    /// [`DirectorError`] if the server is a director already, or if it forwards calls by other means and this director is to
    /// relay. The node stays as it was.
    pub fn start(self) -> Result<Director, DirectorError> {
        let Self { server, cluster, relay: settings } = self;
        let health = watch::Sender::<Arc<WorkerHealth>>::default();
        let list = WorkerList { view: cluster.view(), health: health.subscribe(), policy: settings.policy };
        let list = DirectoryServer::new(list);
        if server.services().contains(&DIRECTORY) {
            return Err(DirectorError::AlreadyStarted);
        }
        let is_open = settings.is_open;
        let relay =
            Arc::new(WorkerRelay::new(cluster.view(), health.subscribe(), server.connector(), settings));
        // A director that does not relay still registers: clients in relay mode get its refusal.
        match server.forward(relay.clone()) {
            Err(error) if is_open => return Err(DirectorError::Forwarding(error)),
            _ => {}
        }
        server.register(list).map_err(|_| DirectorError::AlreadyStarted)?;
        if !cluster.has_tag(ROLE) {
            cluster.set_tag(ROLE, "director");
        }
        let watch = WorkerWatch::new(cluster.clone(), server.connector(), relay, health);
        let closed = server.closed();
        server.runtime().spawn(async move {
            tokio::select! {
                () = watch.run() => {}
                () = closed => {}
            }
        });
        Ok(Director { registry: WorkerRegistry::new(&cluster) })
    }
}

/// The error of [`DirectorBuilder::start`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectorError {
    /// The server is a director already.
    #[error("this server is a director already: use the handle that the first start returned")]
    AlreadyStarted,
    /// The server forwards calls by other means ([`Server::forward`]), so that the director can't relay.
    #[error("this server forwards calls already, so its director can't relay: start it with_relay(false)")]
    Forwarding(#[source] ServerError),
}

/// The directory that clients watch.
struct WorkerList {
    view: watch::Receiver<Arc<[Member]>>,
    health: watch::Receiver<Arc<WorkerHealth>>,
    policy: RoutePolicy,
}

#[rpc_impl]
impl Directory for WorkerList {
    async fn watch(&self, cx: &Context) -> rpcnet::Result<Streaming<Update>> {
        let (view, health, cx) = (self.view.clone(), self.health.clone(), cx.clone());
        let policy = self.policy;
        let (sender, updates) = Streaming::channel(QUEUE);
        tokio::spawn(async move {
            // The stream never ends by itself, and a server that drains need not wait for it.
            tokio::select! {
                () = tell(view, health, policy, &sender) => sender.finish(),
                () = cx.draining() => sender.fail(Status::unavailable("the director is going away")).await,
            }
        });
        Ok(updates)
    }
}

/// Sends updates until the client or the node is gone.
async fn tell(
    mut view: watch::Receiver<Arc<[Member]>>,
    mut health: watch::Receiver<Arc<WorkerHealth>>,
    policy: RoutePolicy,
    updates: &StreamSender<Update>,
) {
    let mut told = None;
    loop {
        let table = RouteTable::new(policy, view.borrow_and_update().iter(), &health.borrow_and_update());
        // The membership changes more often than the list of workers.
        let update = if told.as_ref() == Some(&table) {
            Update::Alive
        } else {
            told = Some(table.clone());
            Update::Table(table)
        };
        if updates.send(update).await.is_err() {
            return;
        }
        let changed = async {
            loop {
                let changed = tokio::select! {
                    changed = view.changed() => changed,
                    changed = health.changed() => changed,
                };
                if changed.is_err() {
                    return false;
                }
                let table =
                    RouteTable::new(policy, view.borrow_and_update().iter(), &health.borrow_and_update());
                if told.as_ref() != Some(&table) {
                    return true;
                }
            }
        };
        tokio::select! {
            changed = tokio::time::timeout(HEARTBEAT, changed) => {
                if matches!(changed, Ok(false)) {
                    return;
                }
            }
            () = updates.closed() => return,
        }
    }
}
