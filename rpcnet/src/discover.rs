//! Endpoints that can serve calls, and how their set changes.

mod services;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

pub use self::services::{ParseServicesError, ServiceSet};

/// A server process at an address.
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

/// An endpoint's fitness for calls, as reported by service discovery. The results of calls are judged separately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// The endpoint should get calls.
    #[default]
    Ready,
    /// The endpoint may be in trouble and gets fewer calls.
    Suspect,
    /// The endpoint should get no new calls: it drains, or is not ready.
    Away,
}

impl Endpoint {
    /// Creates an endpoint with this identity. A restarted process is another endpoint at the same address.
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

    /// Sets the tags, by which calls can be routed. The tag `weight` is a number: the endpoint's share of the calls
    /// under [`Policy::Weighted`](crate::balance::Policy::Weighted). 1 if it is missing or not a number.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }

    /// Sets the standing.
    #[must_use]
    pub fn with_standing(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    /// Sets the services that the endpoint serves. It gets no calls of other services, except for those whose names
    /// begin with `rpcnet.`. An endpoint without this list may serve any service.
    #[must_use]
    pub fn with_services(mut self, services: ServiceSet) -> Self {
        self.services = Some(services);
        self
    }

    /// Sets the wire names of services that should get no calls at this endpoint, while its other services do.
    #[must_use]
    pub fn with_not_serving(mut self, services: Vec<String>) -> Self {
        self.not_serving = services;
        self
    }

    /// Sets the name by which the address was found. The endpoint's certificate may be issued for this name. Without a
    /// name, a certificate that names no node must name the address.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<Arc<str>>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The name by which the address was found, if there is one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The endpoint's identity.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The address that the endpoint listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint's tags.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// The services that the endpoint serves. `None` if they are not known: it may serve any.
    pub fn services(&self) -> Option<&ServiceSet> {
        self.services.as_ref()
    }

    /// The wire names of services that should get no calls at this endpoint.
    pub fn not_serving(&self) -> &[String] {
        &self.not_serving
    }

    /// The endpoint's standing.
    pub fn standing(&self) -> Standing {
        self.standing
    }
}

/// All endpoints at a moment. Each change sends a new set through a watch channel.
///
/// ```
/// use rpcnet::discover::{Endpoint, EndpointSet, ServiceSet};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let services: ServiceSet = ["shop.v1.Orders"].into_iter().collect();
/// let tags = [("weight".to_owned(), "2".to_owned())].into();
/// let set: EndpointSet = [
///     Endpoint::new("worker-1", "10.0.0.1:8080".parse()?).with_services(services),
///     Endpoint::new("worker-2", "10.0.0.2:8080".parse()?).with_tags(tags),
/// ]
/// .into();
/// assert_eq!(set.len(), 2);
/// # Ok(())
/// # }
/// ```
pub type EndpointSet = Arc<[Endpoint]>;
