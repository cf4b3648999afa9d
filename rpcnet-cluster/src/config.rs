//! How a node enters a cluster.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use rpcnet::resolve::HostPort;

use crate::swim::{self, NodeId};

/// The versions of the gossip protocol that this release speaks.
pub(crate) const GOSSIP_VERSIONS: RangeInclusive<u8> = 1..=2;

/// Whether it is `host:port`; the host may be a name.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<HostPort>().is_ok()
}

/// How a node enters a cluster.
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
    /// For nodes within one data centre ([`swim::Config::new_lan`]); also the default. A crash is known to all within
    /// some seconds.
    pub fn new_lan() -> Self {
        Self::with(swim::Config::new_lan())
    }

    /// For nodes in several data centres ([`swim::Config::new_wan`]): a peer may be slow for longer before it is accused.
    pub fn new_wan() -> Self {
        Self::with(swim::Config::new_wan())
    }

    /// For tests and demonstrations on one host ([`swim::Config::new_local`]).
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

    /// Nodes to join through, as `host:port`. Seeds that do not answer are tried for ever. Without seeds the node waits for
    /// others to join it.
    ///
    /// A name stands for all its addresses, and is resolved again and again: each address that is no member is asked, and
    /// one that is this node itself is skipped. So all nodes may have one name as their seed.
    #[must_use]
    pub fn with_seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// The cluster's name: nodes of another are refused. By default the one in the server's certificate, and
    /// `default` where it names none.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The node's id, for nodes that keep one across restarts. By default the one that the certificate is made out to
    /// (where the node's name in its URI SAN is a UUID: then peers refuse every other), else the one in the
    /// [snapshot](Self::with_snapshot_dir), else a random one.
    ///
    /// Two nodes with one id are a mistake: the one that was started later stops
    /// ([`Cluster::stopped`](crate::Cluster::stopped)).
    #[must_use]
    pub fn with_node_id(mut self, id: NodeId) -> Self {
        self.node_id = Some(id);
        self
    }

    /// The address at which others reach this node. By default the one that was bound. A server bound to 0.0.0.0 takes the
    /// address of the interface by which it reaches its seeds and members, or the one at which two members see it; a
    /// loopback address only until it knows of a node on another host. Behind address translation it has to be said.
    #[must_use]
    pub fn with_advertise_addr(mut self, addr: SocketAddr) -> Self {
        self.advertise = Some(addr);
        self
    }

    /// Gossips on a UDP socket of its own, bound to this address, in place of the server's. It has the server's certificates,
    /// also when they are reloaded. By convention its port is 7946.
    ///
    /// Seeds are then named with this port, and [`with_advertise_addr`](Self::with_advertise_addr) is the address of this socket;
    /// clients and their directors still meet on the server's port. The node tells the others where it takes calls
    /// ([`Member::call_addr`](crate::Member::call_addr)), in a tag of this crate's own: that leaves 63 to the user. A director of
    /// a release that does not know the tag would send calls to this socket: upgrade directors first.
    #[must_use]
    pub fn with_bind_addr(mut self, addr: SocketAddr) -> Self {
        self.bind = Some(addr);
        self
    }

    /// The address at which the node takes calls, where it is neither the one that others gossip with nor that host with the
    /// server's own port: behind a translation of ports, for example.
    #[must_use]
    pub fn with_advertise_call_addr(mut self, addr: SocketAddr) -> Self {
        self.advertise_calls = Some(addr);
        self
    }

    /// The node's region, as the tag `region`.
    #[must_use]
    pub fn with_region(self, region: impl Into<String>) -> Self {
        self.with_tag("region", region)
    }

    /// A tag that the node has from the start: nobody sees it without.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// How fast the node probes and gossips. [`swim::Config::new_lan`] by default; the same on all nodes.
    #[must_use]
    pub fn with_swim(mut self, swim: swim::Config) -> Self {
        self.swim = swim;
        self
    }

    /// The time for which a node with seeds that reaches none of them is not ready. 10 s by default. After that it is ready and alone,
    /// and says so: in the log, in the metric `cluster_joined`, and as a note beside its readiness.
    ///
    /// A worker (tag `role=worker`) is not ready until it has reached a member, however long that takes: no director could
    /// send it calls. A node without seeds but itself is ready at once.
    #[must_use]
    pub fn with_join_grace(mut self, grace: Duration) -> Self {
        self.join_grace = grace;
        self
    }

    /// How long [`Cluster::leave`](crate::Cluster::leave) waits for acknowledgements. 3 s by default, a minute at most.
    #[must_use]
    pub fn with_leave_timeout(mut self, timeout: Duration) -> Self {
        self.leave_timeout = Some(timeout);
        self
    }

    /// Keeps what the node knows in this directory, which is made if it is not there: its id and generation, the tags
    /// that were set while it ran, and the members. Restarted with it, the node is a later life of the same one, and asks
    /// those it knew, so that a whole cluster comes up again without its seeds. None by default: nothing is written.
    ///
    /// A directory belongs to one node. The file in it is written at the start, on change but at most once a second, and
    /// at the end, and is replaced as a whole. One that can't be read (damaged, of a later version, or of another
    /// cluster) is set aside as `cluster.snapshot.unreadable`, with a warning and a count in the metrics, and the node
    /// starts without it. An id that is configured goes before the one in the file, and so does a configured tag.
    #[must_use]
    pub fn with_snapshot_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.snapshot_dir = Some(directory.into());
        self
    }

    /// How many connections to peers are kept for gossip. At least 1, 256 by default. Beyond, the one that was unused the
    /// longest is closed, and probing that peer takes a new handshake.
    #[must_use]
    pub fn with_max_links(mut self, links: usize) -> Self {
        self.max_links = links.max(1);
        self
    }

    /// The lowest and the highest version of the gossip protocol that the node speaks; nodes that have none in common
    /// refuse each other. `1..=2` by default, which is all that this release speaks: the newest that two nodes have in
    /// common is spoken between them, so the nodes of a cluster may be upgraded one after the other.
    #[must_use]
    pub fn with_gossip_versions(mut self, versions: RangeInclusive<u8>) -> Self {
        self.gossip_versions = versions;
        self
    }
}
