//! Where calls may go: sets of endpoints, and how they change.

mod services;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

pub use self::services::{ParseServicesError, ServiceSet};

/// Something that serves, at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    id: Arc<str>,
    addr: SocketAddr,
    tags: BTreeMap<String, String>,
    standing: Standing,
    services: Option<ServiceSet>,
    not_serving: Vec<String>,
    host: Option<Arc<str>>,
}

/// What whoever names an endpoint says of it. What calls find out themselves comes on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It should get calls.
    #[default]
    Ready,
    /// It may be in trouble: it gets fewer.
    Suspect,
    /// It should get no new calls: it drains, or is not ready.
    Away,
}

impl Endpoint {
    /// An endpoint of this identity: a process that was restarted is another endpoint at the same address.
    pub fn new(id: impl Into<Arc<str>>, addr: SocketAddr) -> Self {
        Self {
            id: id.into(),
            addr,
            tags: BTreeMap::new(),
            standing: Standing::default(),
            services: None,
            not_serving: Vec::new(),
            host: None,
        }
    }

    /// With tags, for those who choose by them. `weight` is a number: its share of the calls under
    /// [`Policy::Weighted`](crate::balance::Policy::Weighted), 1 where it is missing or none.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }

    /// With what is said of it.
    #[must_use]
    pub fn with_standing(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    /// With the services that it serves: it gets no calls of other services, except of those whose names begin with
    /// `rpcnet.`. An endpoint without a list may serve any service.
    #[must_use]
    pub fn with_services(mut self, services: ServiceSet) -> Self {
        self.services = Some(services);
        self
    }

    /// With the wire names of services that should get no calls there, though others should.
    #[must_use]
    pub fn with_not_serving(mut self, services: Vec<String>) -> Self {
        self.not_serving = services;
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

    /// The services that it serves. `None` if they are not known: it may serve any.
    pub fn services(&self) -> Option<&ServiceSet> {
        self.services.as_ref()
    }

    /// Services that should get no calls there.
    pub fn not_serving(&self) -> &[String] {
        &self.not_serving
    }

    /// What is said of it.
    pub fn standing(&self) -> Standing {
        self.standing
    }
}

/// All endpoints at a moment. Sent through a watch channel whenever it changes.
pub type EndpointSet = Arc<[Endpoint]>;
