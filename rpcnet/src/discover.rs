//! Where calls may go: sets of endpoints, and how they change.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Something that serves, at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    id: Arc<str>,
    addr: SocketAddr,
    tags: BTreeMap<String, String>,
}

impl Endpoint {
    /// An endpoint of this identity: a process that was restarted is another endpoint at the same address.
    pub fn new(id: impl Into<Arc<str>>, addr: SocketAddr) -> Self {
        Self { id: id.into(), addr, tags: BTreeMap::new() }
    }

    /// With tags, for those who choose by them.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }

    /// Its identity.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its tags.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }
}

/// All endpoints at a moment. Sent through a watch channel whenever it changes.
pub type EndpointSet = Arc<[Endpoint]>;
