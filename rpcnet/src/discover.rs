//! Where calls may go: sets of endpoints, and how they change.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Something that serves, at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    id: Arc<str>,
    addr: SocketAddr,
    tags: BTreeMap<String, String>,
    host: Option<Arc<str>>,
}

impl Endpoint {
    /// An endpoint of this identity: a process that was restarted is another endpoint at the same address.
    pub fn new(id: impl Into<Arc<str>>, addr: SocketAddr) -> Self {
        Self { id: id.into(), addr, tags: BTreeMap::new(), host: None }
    }

    /// With tags, for those who choose by them.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }

    /// With the name that its address was found by, which its certificate may be made out to. Without, a certificate that
    /// names no node must name the address.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<Arc<str>>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The name that its address was found by, where there is one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
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
