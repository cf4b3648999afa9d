//! The workers of a cluster, as one node sees them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;

use crate::{
    Cluster, SelectError, TagFilter, standing,
    swim::{Member, MemberState, NodeId},
};

/// The tag by which a node says what it is.
pub(crate) const ROLE: &str = "role";
pub(crate) const WORKER: &str = "worker";

/// Whether a member is a worker that should get calls. One that drains or is not ready is not, and neither is a suspect one: calls know better than gossip whether
/// it answers, and those that are connected to it go on.
pub(crate) fn is_healthy_worker(member: &Member) -> bool {
    is_worker(member) && member.state() == MemberState::Alive && !standing::is_away(member)
}

pub(crate) fn is_worker(member: &Member) -> bool {
    member.state().is_active() && member.tags().get(ROLE).is_some_and(|role| role == WORKER)
}

/// A worker as a registry gives it out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The node's id.
    pub id: NodeId,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Alive or suspect.
    pub state: MemberState,
    /// It says that it should get no calls: it drains, or is not ready.
    pub away: bool,
}

impl From<&Member> for WorkerStatus {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id(),
            addr: member.identity().addr(),
            tags: member.tags().clone(),
            state: member.state(),
            away: standing::is_away(member),
        }
    }
}

/// The nodes with the tag `role=worker`, kept up to date by gossip. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerRegistry {
    view: watch::Receiver<Arc<[Member]>>,
    cursor: Arc<AtomicUsize>,
}

impl WorkerRegistry {
    /// The workers of this cluster.
    pub fn new(cluster: &Cluster) -> Self {
        Self { view: cluster.view(), cursor: Arc::default() }
    }

    /// The workers that belong to the cluster, suspect ones among them.
    pub async fn worker_count(&self) -> usize {
        self.view.borrow().iter().filter(|member| is_worker(member)).count()
    }

    /// The workers that are alive and ready.
    pub async fn healthy_count(&self) -> usize {
        self.view.borrow().iter().filter(|member| is_healthy_worker(member)).count()
    }

    /// All workers, suspect ones among them, by id.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        let view = self.view.borrow();
        let mut workers: Vec<_> =
            view.iter().filter(|member| is_worker(member)).map(WorkerStatus::from).collect();
        workers.sort_by_key(|worker| worker.id);
        workers
    }

    /// One of the healthy workers that match, each in its turn. The filter is a [`TagFilter`] as text, such as
    /// `"zone=x,gpu"`; `role=worker` holds anyway.
    ///
    /// # Errors
    ///
    /// [`SelectError`] where the filter is not one, or no healthy worker matches it.
    pub fn select_worker(&self, filter: Option<&str>) -> Result<WorkerStatus, SelectError> {
        let text = filter.unwrap_or_default();
        let filter: TagFilter = text.parse()?;
        let view = self.view.borrow();
        let mut healthy: Vec<_> = view.iter().filter(|member| is_healthy_worker(member)).collect();
        let workers = healthy.len();
        healthy.retain(|member| filter.matches(member.tags()));
        if healthy.is_empty() {
            return Err(SelectError::NoWorker { workers, filter: text.to_owned() });
        }
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
        Ok(WorkerStatus::from(healthy[turn % healthy.len()]))
    }

    /// Waits until at least so many workers are healthy. Cancel-safe.
    pub async fn wait_for_healthy(&self, count: usize) {
        let mut view = self.view.clone();
        let enough =
            |view: &Arc<[Member]>| view.iter().filter(|member| is_healthy_worker(member)).count() >= count;
        if view.wait_for(enough).await.is_err() {
            std::future::pending().await
        }
    }
}
