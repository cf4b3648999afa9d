//! The membership of a server: the handle to its node.

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

/// Extends [`Server`] with membership in a cluster.
pub trait ClusterExt {
    /// Makes the server a node of a cluster: starts to gossip, on the server's port or on
    /// [a socket of its own](ClusterConfig::with_bind_addr), and to join through the seeds.
    ///
    /// The node answers gossip from here on, before the server runs. It ends with the server, whose shutdown leaves the
    /// cluster. This method does not wait until the node has joined: see [`Cluster::joined`]. The node's tasks run on the
    /// server's runtime, wherever the future is awaited.
    ///
    /// Not cancel-safe: a dropped future leaves the server with or without a cluster.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]:
    ///
    /// - a seed, an address or a tag is not allowed;
    /// - the socket can't be bound;
    /// - the snapshot directory can't be used;
    /// - the server is in a cluster already.
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

/// A handle to a node's membership in its cluster. Cheap to clone. The node lives as long as its server.
///
/// ```
/// use rpcnet::{Server, ServerConfig, dev::DevCa};
/// use rpcnet_cluster::{ClusterConfig, ClusterExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let start = |name: &str| -> Result<Server, Box<dyn std::error::Error>> {
/// #     let identity = ca.issue(name)?;
/// #     let config = ServerConfig::builder()
/// #         .with_bind_addr(([127, 0, 0, 1], 0).into())
/// #         .with_cert_and_key(&identity.cert, &identity.key)?
/// #         .with_ca_cert(ca.ca_pem())?
/// #         .build()?;
/// #     Ok(Server::new(config)?)
/// # };
/// let (first, second) = (start("first")?, start("second")?);
/// let cluster = first.enable_cluster(ClusterConfig::new_local()).await?;
/// cluster.set_tag("zone", "a");
/// # let running = first.clone();
/// # tokio::spawn(async move { running.run().await });
///
/// let seeds = [cluster.advertised_addr().to_string()];
/// let joined = second.enable_cluster(ClusterConfig::new_local().with_seeds(seeds)).await?;
/// # let running = second.clone();
/// # tokio::spawn(async move { running.run().await });
/// joined.joined().await;
/// let seen = joined.node(cluster.local_node_id()).await.expect("it has joined through this node");
/// println!("{} has the tags {:?}", seen.identity(), seen.tags());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cluster {
    gossip: Arc<Gossip>,
    /// The server's runtime.
    runtime: Handle,
}

/// Polls a future within a runtime, so that its tasks and timers run there, wherever the result is awaited.
async fn within<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        let _entered = runtime.enter();
        future.as_mut().poll(cx)
    })
    .await
}

impl Cluster {
    /// Returns this node's id.
    pub fn local_node_id(&self) -> NodeId {
        self.gossip.identity().id()
    }

    /// Returns this node's current identity. The node may have to learn its address first, and its generation may rise.
    pub fn local_identity(&self) -> Identity {
        self.gossip.identity()
    }

    /// Returns the address at which other nodes gossip with this one. They also call it there, unless gossip has
    /// [a socket of its own](ClusterConfig::with_bind_addr). The address is 0.0.0.0 until the node has learnt it.
    pub fn advertised_addr(&self) -> SocketAddr {
        self.gossip.identity().addr()
    }

    /// Gives this node a tag. All nodes see it within seconds, later joiners when they join. A tag that is not allowed is
    /// logged as an error and not set; [`try_set_tag`](Self::try_set_tag) returns the error to the caller.
    pub fn set_tag(&self, key: impl AsRef<str>, value: impl AsRef<str>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        if let Err(error) = self.try_set_tag(key, value) {
            tracing::error!(key, value, %error, "tag not set");
        }
    }

    /// Gives this node a tag. All nodes see it within seconds, later joiners when they join.
    ///
    /// # Errors
    ///
    /// [`TagError`] for a tag that is not allowed, or for one tag too many. The tags stay as they were.
    pub fn try_set_tag(&self, key: impl AsRef<str>, value: impl AsRef<str>) -> Result<(), TagError> {
        tags::check(key.as_ref())?;
        self.gossip.set_tag(key.as_ref(), value.as_ref())
    }

    /// Takes a tag from this node. A tag that can't be removed is logged as an error and stays;
    /// [`try_remove_tag`](Self::try_remove_tag) returns the error to the caller.
    pub fn remove_tag(&self, key: impl AsRef<str>) {
        let key = key.as_ref();
        if let Err(error) = self.try_remove_tag(key) {
            tracing::error!(key, %error, "tag not removed");
        }
    }

    /// Takes a tag from this node. Removing a tag that the node does not have is no error.
    ///
    /// # Errors
    ///
    /// [`TagError::Left`] after the node has left, [`TagError::Reserved`] for a key that is reserved for this crate.
    pub fn try_remove_tag(&self, key: impl AsRef<str>) -> Result<(), TagError> {
        tags::check(key.as_ref())?;
        self.gossip.remove_tag(key.as_ref())
    }

    /// Returns whether this node has a tag. Unlike the view, it includes a tag that was just set.
    pub(crate) fn has_tag(&self, key: &str) -> bool {
        self.gossip.members().first().is_some_and(|own| own.tags().contains_key(key))
    }

    /// Returns the number of nodes that belong to the cluster (alive or suspect), including this one. Completes at once.
    pub async fn node_count(&self) -> usize {
        self.gossip.active_count()
    }

    /// Returns all known nodes, including those that are down or have left, and the broadcasts. Completes at once.
    pub async fn nodes(&self) -> ClusterSnapshot {
        self.gossip.snapshot()
    }

    /// Restores a snapshot that [`nodes`](Self::nodes) returned earlier, on this node or another one.
    ///
    /// The node asks the snapshot's nodes as it asks seeds: first those that belonged to the cluster, then the others. It gets
    /// the tags that it had in the snapshot and does not have now. Returns the number of nodes to ask, without waiting for
    /// their answers.
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

    /// Returns one node, or `None` if it is not known. Completes at once.
    pub async fn node(&self, id: NodeId) -> Option<Member> {
        self.gossip.members().into_iter().find(|member| member.id() == id)
    }

    /// Shares a value with the whole cluster under a key: rules, configuration, a switch. It replaces the key's former value.
    /// Returns the value's version.
    ///
    /// All nodes see the value within seconds, later joiners when they join. Of two values that were set at once, all nodes
    /// keep the same one. Setting the value that the key has already changes nothing. Every node of the cluster may replace
    /// the value.
    ///
    /// The value lasts for as long as one node that has it runs. It lasts longer if nodes have a
    /// [snapshot directory](ClusterConfig::with_snapshot_dir).
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
    /// [`BroadcastError`], and nothing changes:
    ///
    /// - the key is empty or longer than 64 bytes;
    /// - the value is longer than 4096 bytes;
    /// - it would be the 65th key;
    /// - the node has left.
    pub fn broadcast(&self, key: impl AsRef<str>, value: impl Into<Bytes>) -> Result<u64, BroadcastError> {
        self.gossip.broadcast(key.as_ref(), value.into())
    }

    /// Removes a key's value at all nodes. A node that was away for longer than members are remembered (a day by default) may
    /// bring the value back.
    ///
    /// # Errors
    ///
    /// [`BroadcastError::Left`] after the node has left.
    pub fn withdraw(&self, key: impl AsRef<str>) -> Result<(), BroadcastError> {
        self.gossip.withdraw(key.as_ref())
    }

    /// Returns a receiver of the broadcasts by key, which changes whenever one of them does. It may skip versions, but never
    /// the newest.
    pub fn broadcasts(&self) -> watch::Receiver<Arc<BTreeMap<String, Broadcast>>> {
        self.gossip.broadcast_values()
    }

    /// Returns a stream of the events from now on.
    pub fn events(&self) -> Events {
        self.gossip.subscribe()
    }

    /// Returns a receiver of the members, which changes whenever one of them does. This node comes first, then the others by
    /// id.
    pub fn view(&self) -> watch::Receiver<Arc<[Member]>> {
        self.gossip.view()
    }

    /// Waits until this node knows another one that is alive. Cancel-safe. It never resolves for a node that stays alone.
    pub async fn joined(&self) {
        let mut view = self.gossip.view();
        let other_alive =
            |view: &Arc<[Member]>| view.iter().skip(1).any(|member| member.state() == MemberState::Alive);
        if view.wait_for(other_alive).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until this node has stopped because another node with its address or id was there first. Cancel-safe. Otherwise
    /// it never resolves.
    ///
    /// A node that has stopped does not gossip and knows no member, and the others see it fail, not leave. Its server runs on:
    /// shut it down, because it has no view of the cluster any more.
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

    /// Leaves the cluster: the other nodes see a leave, not a failure.
    ///
    /// Returns when enough nodes have acknowledged the leave, or after the [timeout](ClusterConfig::with_leave_timeout). If no
    /// peer has acknowledged it by then, a warning tells the number of peers that do not know. The server's shutdown leaves
    /// too. A second call does nothing.
    ///
    /// Cancel-safe: if the future is dropped, the node goes on announcing its leave, and a further call waits for the rest.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Conflict`] if the node has [stopped](Self::stopped).
    pub async fn leave(&self) -> Result<(), ClusterError> {
        within(&self.runtime, self.gossip.leave()).await
    }
}
