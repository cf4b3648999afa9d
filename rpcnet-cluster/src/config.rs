//! The configuration of a node.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use rpcnet::resolve::HostPort;

use crate::swim::{self, NodeId};

/// The versions of the gossip protocol that this release speaks.
pub(crate) const GOSSIP_VERSIONS: RangeInclusive<u8> = 1..=2;

/// Returns whether a text is `host:port`. The host may be a name.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<HostPort>().is_ok()
}

/// The configuration with which a server becomes a node of a cluster
/// ([`ClusterExt::enable_cluster`](crate::ClusterExt::enable_cluster)).
///
/// Only seeds have to be given, and the first node of a cluster does without them.
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{Server, ServerConfig, dev::DevCa};
/// use rpcnet_cluster::{ClusterConfig, ClusterExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let identity = ca.issue("worker-1")?;
/// # let server_config = ServerConfig::builder()
/// #     .with_bind_addr(([127, 0, 0, 1], 0).into())
/// #     .with_cert_and_key(&identity.cert, &identity.key)?
/// #     .with_ca_cert(ca.ca_pem())?
/// #     .build()?;
/// let config = ClusterConfig::new_lan()
///     .with_seeds(["127.0.0.1:7500"])
///     .with_tag("role", "worker")
///     .with_region("eu-west")
///     .with_join_grace(Duration::from_secs(5));
/// let server = Server::new(server_config)?;
/// let cluster = server.enable_cluster(config).await?;
/// assert_eq!(cluster.node_count().await, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    pub(crate) seeds: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) node_id: Option<NodeId>,
    pub(crate) advertise: Option<SocketAddr>,
    pub(crate) bind: Option<SocketAddr>,
    pub(crate) advertise_calls: Option<SocketAddr>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) swim: swim::Config,
    pub(crate) leave_timeout: Option<Duration>,
    pub(crate) join_grace: Duration,
    pub(crate) snapshot_dir: Option<PathBuf>,
    pub(crate) gossip_versions: RangeInclusive<u8>,
    pub(crate) max_links: usize,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self::new_lan()
    }
}

impl ClusterConfig {
    /// Returns the configuration for nodes within one data centre ([`swim::Config::new_lan`]), which is also the default. All
    /// nodes know of a crash within some seconds.
    pub fn new_lan() -> Self {
        Self::with(swim::Config::new_lan())
    }

    /// Returns the configuration for nodes in several data centres ([`swim::Config::new_wan`]): a peer may be slow for longer
    /// before it is suspected.
    pub fn new_wan() -> Self {
        Self::with(swim::Config::new_wan())
    }

    /// Returns the configuration for tests and demonstrations on one host ([`swim::Config::new_local`]).
    pub fn new_local() -> Self {
        Self::with(swim::Config::new_local())
    }

    fn with(swim: swim::Config) -> Self {
        Self {
            seeds: Vec::new(),
            name: None,
            node_id: None,
            advertise: None,
            bind: None,
            advertise_calls: None,
            tags: BTreeMap::new(),
            swim,
            leave_timeout: None,
            join_grace: Duration::from_secs(10),
            snapshot_dir: None,
            gossip_versions: GOSSIP_VERSIONS,
            max_links: 256,
        }
    }

    /// Sets the nodes to join through, as `host:port`. The node tries seeds that do not answer for ever. Without seeds it waits
    /// for others to join it. Default: none.
    ///
    /// A name stands for all its addresses, and is resolved again and again. The node asks each address that is no member,
    /// and skips its own. So all nodes may have one name as their seed.
    #[must_use]
    pub fn with_seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the cluster's name. Nodes of clusters with other names are refused. Default: the name in the server's
    /// certificate, or `default` if the certificate has none.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the node's id, for nodes that keep one across restarts. Default, in this order:
    ///
    /// 1. the id in the certificate, if the node's name in its URI SAN is a UUID (peers then refuse any other id);
    /// 2. the id in the [snapshot](Self::with_snapshot_dir);
    /// 3. a random id.
    ///
    /// Two nodes with one id are a mistake: the node that was started later stops
    /// ([`Cluster::stopped`](crate::Cluster::stopped)).
    #[must_use]
    pub fn with_node_id(mut self, id: NodeId) -> Self {
        self.node_id = Some(id);
        self
    }

    /// Sets the address at which other nodes reach this one. Default: the bound address.
    ///
    /// A server that is bound to 0.0.0.0 takes the address of the interface by which it reaches its seeds and members, or the
    /// address at which two members see it. It keeps a loopback address only until it knows of a node on another host. Behind
    /// address translation the address has to be set.
    #[must_use]
    pub fn with_advertise_addr(mut self, addr: SocketAddr) -> Self {
        self.advertise = Some(addr);
        self
    }

    /// Gossips on a UDP socket of its own, bound to this address, instead of on the server's socket. The socket uses the
    /// server's certificates, also after they are reloaded. By convention its port is 7946. Default: the server's socket.
    ///
    /// Seeds then name this port, and [`with_advertise_addr`](Self::with_advertise_addr) is the address of this socket. Clients
    /// still reach directors and workers on the server's port. The node announces the address for calls
    /// ([`Member::call_addr`](crate::Member::call_addr)) in a reserved tag, which leaves 63 tags to the user. A director of a
    /// release that does not know the tag would send calls to this socket: upgrade directors first.
    #[must_use]
    pub fn with_bind_addr(mut self, addr: SocketAddr) -> Self {
        self.bind = Some(addr);
        self
    }

    /// Sets the address at which the node takes calls. It is needed if calls arrive neither at the address for gossip nor at
    /// that host with the server's port, as behind a translation of ports. Default: derived from these two.
    #[must_use]
    pub fn with_advertise_call_addr(mut self, addr: SocketAddr) -> Self {
        self.advertise_calls = Some(addr);
        self
    }

    /// Sets the node's region, which is the tag `region`.
    #[must_use]
    pub fn with_region(self, region: impl Into<String>) -> Self {
        self.with_tag("region", region)
    }

    /// Adds a tag that the node has from the start: no other node sees it without.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Sets how fast the node probes and gossips. It has to be the same on all nodes. Default: [`swim::Config::new_lan`].
    #[must_use]
    pub fn with_swim(mut self, swim: swim::Config) -> Self {
        self.swim = swim;
        self
    }

    /// Sets the time for which a node that reaches none of its seeds is not ready. Default: 10 s. After that time it is ready
    /// although it is alone, and reports that in the log, in the metric `cluster_joined`, and as a note beside its readiness.
    ///
    /// A worker (tag `role=worker`) is not ready until it has reached a member, however long that takes, because no director
    /// could send it calls. A node without seeds other than itself is ready at once.
    #[must_use]
    pub fn with_join_grace(mut self, grace: Duration) -> Self {
        self.join_grace = grace;
        self
    }

    /// Sets the time that [`Cluster::leave`](crate::Cluster::leave) waits for acknowledgements. Default: 3 s.
    /// The node announces its leave for at most a minute.
    #[must_use]
    pub fn with_leave_timeout(mut self, timeout: Duration) -> Self {
        self.leave_timeout = Some(timeout);
        self
    }

    /// Sets the directory for the node's snapshot: its id and generation, the tags that were set while it ran, the members,
    /// and the broadcasts. The directory is created if it does not exist. Default: none, and nothing is written.
    ///
    /// A node that restarts with its snapshot has the same id and a later generation, and asks the members that it knew. So
    /// a whole cluster comes up again without its seeds.
    ///
    /// A directory belongs to one node. The file in it is written at the start, at most once a second when something has
    /// changed, and at the end. Each write replaces it as a whole. A file that can't be read (damaged, of a later version, or
    /// of another cluster) is renamed to `cluster.snapshot.unreadable`, with a warning and a count in the metrics, and the
    /// node starts without it. A configured id or tag goes before the one in the file.
    #[must_use]
    pub fn with_snapshot_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.snapshot_dir = Some(directory.into());
        self
    }

    /// Sets the most connections to peers that are kept for gossip. Default: 256, at least 1. One connection more closes the
    /// one that was unused the longest, and the next probe of that peer takes a new handshake.
    #[must_use]
    pub fn with_max_links(mut self, links: usize) -> Self {
        self.max_links = links.max(1);
        self
    }

    /// Sets the lowest and the highest version of the gossip protocol that the node speaks. Default: `1..=2`, which is all
    /// that this release speaks.
    ///
    /// Two nodes speak the newest version that they have in common, so the nodes of a cluster may be upgraded one after the
    /// other. Nodes that have no version in common refuse each other.
    #[must_use]
    pub fn with_gossip_versions(mut self, versions: RangeInclusive<u8>) -> Self {
        self.gossip_versions = versions;
        self
    }
}
