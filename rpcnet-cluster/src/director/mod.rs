//! A node that tells clients where the workers are, and hands on the calls of those that can't reach them.

pub(crate) mod directory;
mod relay;
mod worker_health;

use std::sync::{Arc, Mutex, PoisonError};

use rpcnet::{BalancedConfig, Context, Server, Status, StreamSender, Streaming, balance::Policy, rpc_impl};
use tokio::sync::watch;

use self::{
    directory::{Directory, DirectoryServer, HEARTBEAT, RoutePolicy, RouteTable, Update},
    relay::{RelaySettings, WorkerRelay},
    worker_health::{WorkerHealth, WorkerWatch},
};
use crate::{Cluster, WorkerRegistry, swim::Member, tags::ROLE};

/// Updates on their way to one client. The newest table waits behind them, older ones are skipped.
const QUEUE: usize = 1;

/// A node that keeps track of the workers and tells clients where they are, as it changes.
///
/// All directors are alike: clients may use any, and go on with another where one is lost. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Director {
    registry: WorkerRegistry,
    relay: Arc<RelaySettings>,
}

impl Director {
    /// Makes this node a director: tags it `role=director` (unless it has a role), registers the service that clients'
    /// [`ClusterChannel`](crate::ClusterChannel)s ask, and relays the calls of those that ask for it.
    ///
    /// # Panics
    ///
    /// When the server is a director already.
    pub fn new(server: &Server, cluster: &Cluster) -> Self {
        let policy = Arc::new(Mutex::new(RoutePolicy::default()));
        let health = watch::Sender::<Arc<WorkerHealth>>::default();
        let list = WorkerList { view: cluster.view(), health: health.subscribe(), policy: policy.clone() };
        server.register(DirectoryServer::new(list)).expect("a server is made a director once");
        let settings = Arc::new(RelaySettings::new(policy));
        let relay = Arc::new(WorkerRelay::new(
            cluster.view(),
            health.subscribe(),
            server.connector(),
            settings.clone(),
        ));
        if server.forward(relay.clone()).is_err() {
            tracing::warn!("this server forwards calls otherwise: the director relays none");
        }
        if !cluster.has_tag(ROLE) {
            cluster.set_tag(ROLE, "director");
        }
        let watching = WorkerWatch::new(cluster.clone(), server.connector(), relay, health);
        let closed = server.closed();
        server.runtime().spawn(async move {
            tokio::select! {
                () = watching.run() => {}
                () = closed => {}
            }
        });
        Self { registry: WorkerRegistry::new(cluster), relay: settings }
    }

    /// The policy for clients that choose none themselves, and for calls that are relayed. Peak EWMA by default.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        *self.relay.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy.into();
        self
    }

    /// Whether it relays: takes the calls of clients in [`Mode::Relay`](crate::Mode::Relay) and makes them at workers in
    /// their place. It does by default. Where it does not, connections for that are refused.
    ///
    /// A relay is a way from the clients' network to the workers', and workers see the director as their caller, not who
    /// called it. Who may call what is then to be decided here, by an interceptor of this server
    /// ([`Server::forward`]).
    #[must_use]
    pub fn with_relay(self, relay: bool) -> Self {
        self.relay.set_open(relay);
        self
    }

    /// Attempts, waiting and budget of calls that are relayed; the policy is that of
    /// [`with_policy`](Self::with_policy). By default as [`BalancedConfig`] has them, but a call waits only 2 s for a
    /// worker. To be set before the first call comes.
    #[must_use]
    pub fn with_relay_balancing(self, config: BalancedConfig) -> Self {
        self.relay.set_balancing(config);
        self
    }

    /// The workers that it knows.
    pub fn registry(&self) -> &WorkerRegistry {
        &self.registry
    }
}

/// What clients watch.
struct WorkerList {
    view: watch::Receiver<Arc<[Member]>>,
    health: watch::Receiver<Arc<WorkerHealth>>,
    policy: Arc<Mutex<RoutePolicy>>,
}

#[rpc_impl]
impl Directory for WorkerList {
    async fn watch(&self, cx: &Context) -> rpcnet::Result<Streaming<Update>> {
        let (view, health, cx) = (self.view.clone(), self.health.clone(), cx.clone());
        let policy = *self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, updates) = Streaming::channel(QUEUE);
        tokio::spawn(async move {
            // It never ends by itself: a server that goes down need not wait for it.
            tokio::select! {
                () = tell(view, health, policy, &sender) => sender.finish(),
                () = cx.draining() => sender.fail(Status::unavailable("the director is going away")).await,
            }
        });
        Ok(updates)
    }
}

/// Sends updates until the client is gone, or the node is.
async fn tell(
    mut view: watch::Receiver<Arc<[Member]>>,
    mut health: watch::Receiver<Arc<WorkerHealth>>,
    policy: RoutePolicy,
    updates: &StreamSender<Update>,
) {
    let mut told = None;
    loop {
        let table = RouteTable::new(policy, view.borrow_and_update().iter(), &health.borrow_and_update());
        // The membership changes more often than what concerns clients.
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
