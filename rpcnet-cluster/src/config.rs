//! How a node enters a cluster.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::swim::{self, NodeId};

/// Whether it is `host:port`; the host may be a name.
pub(crate) fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// How a node enters a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterConfig {
    pub(crate) seeds: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) node_id: Option<NodeId>,
    pub(crate) advertise: Option<SocketAddr>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) swim: swim::Config,
    pub(crate) leave_timeout: Option<Duration>,
}

impl ClusterConfig {
    /// Nodes to join through, as `host:port`. One that is this node itself is skipped; names are resolved again and
    /// again, and seeds that do not answer are tried for ever. Without seeds the node waits for others to join it.
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

    /// The node's id, for nodes that keep one across restarts. A random one by default.
    #[must_use]
    pub fn with_node_id(mut self, id: NodeId) -> Self {
        self.node_id = Some(id);
        self
    }

    /// The address at which others reach this node. By default the one that was bound, and for a server bound to
    /// 0.0.0.0 the one at which the first peer sees it.
    #[must_use]
    pub fn with_advertise_addr(mut self, addr: SocketAddr) -> Self {
        self.advertise = Some(addr);
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

    /// How long [`Cluster::leave`](crate::Cluster::leave) waits for acknowledgements. 3 s by default.
    #[must_use]
    pub fn with_leave_timeout(mut self, timeout: Duration) -> Self {
        self.leave_timeout = Some(timeout);
        self
    }
}
