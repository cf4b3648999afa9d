//! The services of a node's server, announced by gossip.

use std::sync::Weak;

use rpcnet::discover::ServiceSet;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::driver::Gossip;
use crate::swim::MAX_SERVICES;

/// Returns the services to announce. `None`, with a warning, if there are too many.
pub(crate) fn told(services: &ServiceSet) -> Option<ServiceSet> {
    if services.len() > MAX_SERVICES {
        warn!(
            services = services.len(),
            most = MAX_SERVICES,
            "this node has more services than it can tell of: it will be sent calls of any service"
        );
        return None;
    }
    Some(services.clone())
}

/// Updates the node's record whenever a service is registered. Ends with the server or the node.
pub(crate) async fn announce(gossip: Weak<Gossip>, mut services: watch::Receiver<ServiceSet>) {
    // The services registered before the node was started are in its first record.
    while services.changed().await.is_ok() {
        let now = told(&services.borrow_and_update());
        let Some(gossip) = gossip.upgrade() else { return };
        if let Err(error) = gossip.set_services(now) {
            // The node has left, so that it gets no calls.
            debug!(%error, "services not told");
        }
    }
}
