//! A server's place in the cluster.

use std::{collections::BTreeMap, future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use rpcnet::Server;
use tokio::{runtime::Handle, sync::watch};

use crate::{
    Broadcast, BroadcastError, ClusterConfig, ClusterError, ClusterSnapshot, Events,
    gossip::{self, Gossip},
    swim::{Identity, Member, MemberState, NodeId, TagError},
    tags,
};

/// Makes a server a node of a cluster.
pub trait ClusterExt {
    /// Starts to gossip on the server's own port, or on [one of its own](ClusterConfig::with_bind_addr), and to join through the seeds. Gossip is answered from here on,
    /// before the server runs; it ends with the server, which leaves the cluster in its shutdown.
    ///
    /// Does not wait until the node has joined: see [`Cluster::joined`]. The node's tasks run on the server's runtime,
    /// wherever this is awaited. Not cancel-safe: a dropped future leaves the
    /// server with or without a cluster.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] for a seed, address or tag that is not allowed, for a socket that can't be bound, for a snapshot directory that can't be used, and for a
    /// server that is in a cluster already.
    fn enable_cluster(
        &self,
        config: ClusterConfig,
    ) -> impl Future<Output = Result<Cluster, ClusterError>> + Send;
}

impl ClusterExt for Server {
    async fn enable_cluster(&self, config: ClusterConfig) -> Result<Cluster, ClusterError> {
        let runtime = self.runtime().clone();
        let gossip = within(&runtime, gossip::start(self, config)).await?;
        Ok(Cluster { gossip, runtime })
    }
}

/// A handle on a node's membership. Cheap to clone; the node lives as long as its server.
#[derive(Debug, Clone)]
pub struct Cluster {
    gossip: Arc<Gossip>,
    /// The server's.
    runtime: Handle,
}

/// Polls a future within a runtime, on which its tasks and timers are then, wherever the result is awaited.
async fn within<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        let _entered = runtime.enter();
        future.as_mut().poll(cx)
    })
    .await
}

impl Cluster {
    /// This node's id.
    pub fn local_node_id(&self) -> NodeId {
        self.gossip.identity().id()
    }

    /// This node's identity now. Its address may have to be learnt first, its generation may rise.
    pub fn local_identity(&self) -> Identity {
        self.gossip.identity()
    }

    /// The address at which others gossip with this node, and call it unless gossip has
    /// [a socket of its own](ClusterConfig::with_bind_addr). 0.0.0.0 as long as it is not known.
    pub fn advertised_addr(&self) -> SocketAddr {
        self.gossip.identity().addr()
    }

    /// Gives this node a tag. All see it within seconds, later joiners when they join. A tag that is not allowed is
    /// logged as an error and not set; [`try_set_tag`](Self::try_set_tag) says so to the caller.
    pub fn set_tag(&self, key: impl AsRef<str>, value: impl AsRef<str>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        if let Err(error) = self.try_set_tag(key, value) {
            tracing::error!(key, value, %error, "tag not set");
        }
    }

    /// Gives this node a tag.
    ///
    /// # Errors
    ///
    /// [`TagError`] for a tag that is not allowed or one too many; the tags are as they were.
    pub fn try_set_tag(&self, key: impl AsRef<str>, value: impl AsRef<str>) -> Result<(), TagError> {
        tags::check(key.as_ref())?;
        self.gossip.set_tag(key.as_ref(), value.as_ref())
    }

    /// Takes a tag from this node.
    ///
    /// # Errors
    ///
    /// [`TagError::Left`] after the node has left, [`TagError::Reserved`] for a key of this crate's own.
    pub fn remove_tag(&self, key: impl AsRef<str>) -> Result<(), TagError> {
        tags::check(key.as_ref())?;
        self.gossip.remove_tag(key.as_ref())
    }

    /// Whether this node has a tag now; the view may not show yet what was just set.
    pub(crate) fn has_tag(&self, key: &str) -> bool {
        self.gossip.members().first().is_some_and(|own| own.tags().contains_key(key))
    }

    /// How many nodes belong to the cluster (alive or suspect), this one among them.
    pub async fn node_count(&self) -> usize {
        self.gossip.active_count()
    }

    /// All nodes that are known, those that are down or have left among them, and the broadcasts.
    pub async fn nodes(&self) -> ClusterSnapshot {
        self.gossip.snapshot()
    }

    /// Takes up what [`nodes`](Self::nodes) once gave, on this node or another: those who belonged to the cluster then
    /// (and then the others) are asked like seeds, and this node gets the tags that it had then and does not have now.
    /// Says how many nodes will be asked; it does not wait for them.
    ///
    /// ```
    /// # fn example(cluster: &rpcnet_cluster::Cluster, saved: &[u8]) -> Result<(), serde_json::Error> {
    /// let backup: rpcnet_cluster::ClusterSnapshot = serde_json::from_slice(saved)?;
    /// cluster.restore(&backup);
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore(&self, snapshot: &ClusterSnapshot) -> usize {
        self.gossip.restore(snapshot)
    }

    /// What is known of one node.
    pub async fn node(&self, id: NodeId) -> Option<Member> {
        self.gossip.members().into_iter().find(|member| member.id() == id)
    }

    /// Gives the whole cluster a value under a key, in place of the one that it had: rules, configuration, a switch. Says
    /// its version. All nodes see it within seconds, later joiners when they join; of two that were made at once, all
    /// nodes keep the same one. A value that the key has already is not made anew.
    ///
    /// It lasts for as long as one node runs that has it, and, where nodes have a
    /// [snapshot directory](ClusterConfig::with_snapshot_dir), longer. Every node of the cluster may replace it.
    ///
    /// ```
    /// # fn example(cluster: &rpcnet_cluster::Cluster) -> Result<(), rpcnet_cluster::BroadcastError> {
    /// cluster.broadcast("limits/uploads", "20 a second")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BroadcastError`] for a key that is empty or longer than 64 bytes, a value of more than 4096 bytes, a 65th key,
    /// and after the node has left. Nothing is changed.
    pub fn broadcast(&self, key: impl AsRef<str>, value: impl Into<Bytes>) -> Result<u64, BroadcastError> {
        self.gossip.broadcast(key.as_ref(), value.into())
    }

    /// Takes the value away from a key, at all nodes. A node that was away for longer than members are remembered (a day
    /// by default) may bring it back.
    ///
    /// # Errors
    ///
    /// [`BroadcastError::Left`] after the node has left.
    pub fn withdraw(&self, key: impl AsRef<str>) -> Result<(), BroadcastError> {
        self.gossip.withdraw(key.as_ref())
    }

    /// The broadcasts by key, now and whenever one changes. It may skip versions, never the newest.
    pub fn broadcasts(&self) -> watch::Receiver<Arc<BTreeMap<String, Broadcast>>> {
        self.gossip.broadcast_values()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.gossip.subscribe()
    }

    /// The members now and whenever something about them changes: this node first, then the others by id.
    pub fn view(&self) -> watch::Receiver<Arc<[Member]>> {
        self.gossip.view()
    }

    /// Waits until another node is known to be alive. Cancel-safe; never resolves for a node that stays alone.
    pub async fn joined(&self) {
        let mut view = self.gossip.view();
        let other_alive =
            |view: &Arc<[Member]>| view.iter().skip(1).any(|member| member.state() == MemberState::Alive);
        if view.wait_for(other_alive).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until this node has stopped because another one with its address or id was there first. Cancel-safe; never
    /// resolves otherwise.
    ///
    /// A node that has stopped gossips no more, knows nobody, and is seen to fail, not to leave. Its server goes on: shut
    /// it down, for what it tells of the cluster is nothing.
    ///
    /// ```no_run
    /// # async fn example(server: rpcnet::Server, cluster: rpcnet_cluster::Cluster) -> Result<(), Box<dyn std::error::Error>> {
    /// tokio::select! {
    ///     done = server.run_until(rpcnet::shutdown_signal()) => done?,
    ///     error = cluster.stopped() => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stopped(&self) -> ClusterError {
        let (ours, theirs) = self.gossip.until_stopped().await;
        ClusterError::Conflict { ours, theirs }
    }

    /// Leaves the cluster: others see it as a leave, not as a failure. Returns once enough of them have acknowledged it,
    /// and after the [timeout](ClusterConfig::with_leave_timeout) at the latest; where no peer has acknowledged it by then, a
    /// warning says how many were not told. The server's shutdown does it too; a second call does nothing.
    ///
    /// Cancel-safe: dropped, it goes on telling the others, and a further call waits for what is left of that.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Conflict`] where the node has stopped.
    pub async fn leave(&self) -> Result<(), ClusterError> {
        within(&self.runtime, self.gossip.leave()).await
    }
}
