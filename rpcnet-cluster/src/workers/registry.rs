//! The workers of a cluster, as one node sees them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rpcnet::discover::ServiceSet;
use tokio::sync::watch;

use super::{FilterError, TagFilter};
use crate::{
    Cluster,
    swim::{Member, MemberState, NodeId},
    tags::{is_away, is_healthy_worker, is_worker},
};

/// The error of a selection that finds no worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The filter's text is malformed.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No healthy worker matches.
    #[error("none of {workers} healthy workers matches {filter:?}: start one, or ask with another filter")]
    NoWorker {
        /// The number of healthy workers.
        workers: usize,
        /// The filter, as it was given.
        filter: String,
    },
    /// No healthy worker serves the service that the registry is [narrowed to](crate::WorkerRegistry::serving).
    #[error(
        "none of {workers} healthy workers serves {service}: register it at one of them, or check its name"
    )]
    NotServed {
        /// The number of healthy workers.
        workers: usize,
        /// The wire name of the service.
        service: String,
    },
}

/// The state of a worker in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The node's id.
    pub id: NodeId,
    /// The address at which it takes calls.
    pub addr: SocketAddr,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The services that it serves. `None` if it has not announced them: it may serve any.
    pub services: Option<ServiceSet>,
    /// Alive or suspect.
    pub state: MemberState,
    /// True if it announces that it should get no calls: it drains, or is not ready.
    pub away: bool,
}

impl From<&Member> for WorkerStatus {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id(),
            addr: member.call_addr(),
            tags: member.tags().clone(),
            services: member.services().cloned(),
            state: member.state(),
            away: is_away(member),
        }
    }
}

/// The nodes with the tag `role=worker`, kept up to date by gossip. Cheap to clone.
///
/// ```
/// use rpcnet::{Server, ServerConfig, dev::DevCa};
/// use rpcnet_cluster::{ClusterConfig, ClusterExt, WorkerRegistry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let identity = ca.issue("worker-1")?;
/// # let config = ServerConfig::builder()
/// #     .with_bind_addr(([127, 0, 0, 1], 0).into())
/// #     .with_cert_and_key(&identity.cert, &identity.key)?
/// #     .with_ca_cert(ca.ca_pem())?
/// #     .build()?;
/// # let server = Server::new(config)?;
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// let config = ClusterConfig::new_local().with_tag("role", "worker").with_tag("zone", "x");
/// let cluster = server.enable_cluster(config).await?;
/// let registry = WorkerRegistry::new(&cluster);
/// registry.wait_for_healthy(1).await;
/// let worker = registry.select_worker(Some("zone=x"))?;
/// assert_eq!(worker.id, cluster.local_node_id());
/// assert!(registry.select_worker(Some("zone=y")).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WorkerRegistry {
    view: watch::Receiver<Arc<[Member]>>,
    cursor: Arc<AtomicUsize>,
    /// The wire name of the only service whose workers are counted, if this registry is narrowed to one.
    service: Option<Arc<str>>,
}

impl WorkerRegistry {
    /// Returns the registry of this cluster's workers.
    pub fn new(cluster: &Cluster) -> Self {
        Self { view: cluster.view(), cursor: Arc::default(), service: None }
    }

    /// Returns a registry of the workers that serve the service of this wire name. A worker that has not announced its
    /// services is included, because it may serve any.
    ///
    /// ```
    /// # use rpcnet_cluster::{SelectError, WorkerRegistry, WorkerStatus};
    /// # async fn example(registry: WorkerRegistry) -> Result<WorkerStatus, SelectError> {
    /// let counting = registry.serving("text.v1.WordCount");
    /// println!("{} workers count words", counting.healthy_count().await);
    /// counting.select_worker(Some("zone=x"))
    /// # }
    /// ```
    #[must_use]
    pub fn serving(&self, service: impl Into<Arc<str>>) -> Self {
        Self { view: self.view.clone(), cursor: self.cursor.clone(), service: Some(service.into()) }
    }

    fn has(&self, member: &Member) -> bool {
        is_worker(member) && self.serves(member)
    }

    fn has_healthy(&self, member: &Member) -> bool {
        is_healthy_worker(member) && self.serves(member)
    }

    fn serves(&self, member: &Member) -> bool {
        self.service.as_ref().is_none_or(|service| member.may_serve(service))
    }

    /// Returns the number of workers that belong to the cluster, including suspect ones. Completes at once.
    pub async fn worker_count(&self) -> usize {
        self.view.borrow().iter().filter(|member| self.has(member)).count()
    }

    /// Returns the number of workers that are alive and ready. Completes at once.
    pub async fn healthy_count(&self) -> usize {
        self.view.borrow().iter().filter(|member| self.has_healthy(member)).count()
    }

    /// Returns all workers, including suspect ones, by id.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        let view = self.view.borrow();
        let mut workers: Vec<_> =
            view.iter().filter(|member| self.has(member)).map(WorkerStatus::from).collect();
        workers.sort_by_key(|worker| worker.id);
        workers
    }

    /// Selects one of the healthy workers that match, each in its turn. The filter is a [`TagFilter`] as text, such as
    /// `"zone=x,gpu"`. The tag `role=worker` is implied.
    ///
    /// # Errors
    ///
    /// [`SelectError`]:
    ///
    /// - the filter is malformed;
    /// - no healthy worker [serves](Self::serving) the service;
    /// - none of the workers that do matches the filter.
    pub fn select_worker(&self, filter: Option<&str>) -> Result<WorkerStatus, SelectError> {
        let text = filter.unwrap_or_default();
        let filter: TagFilter = text.parse()?;
        let view = self.view.borrow();
        let mut healthy: Vec<_> = view.iter().filter(|member| is_healthy_worker(member)).collect();
        let all = healthy.len();
        healthy.retain(|member| self.serves(member));
        if let (0, Some(service)) = (healthy.len(), &self.service)
            && all > 0
        {
            return Err(SelectError::NotServed { workers: all, service: service.to_string() });
        }
        let workers = healthy.len();
        healthy.retain(|member| filter.matches(member.tags()));
        if healthy.is_empty() {
            return Err(SelectError::NoWorker { workers, filter: text.to_owned() });
        }
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
        Ok(WorkerStatus::from(healthy[turn % healthy.len()]))
    }

    /// Waits until at least `count` workers are healthy. Cancel-safe.
    pub async fn wait_for_healthy(&self, count: usize) {
        let mut view = self.view.clone();
        let enough =
            |view: &Arc<[Member]>| view.iter().filter(|member| self.has_healthy(member)).count() >= count;
        if view.wait_for(enough).await.is_err() {
            std::future::pending().await
        }
    }
}
