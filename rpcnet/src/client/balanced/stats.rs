//! How it stands with an endpoint, for those who look.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::SystemTime};

use crate::{
    ConnectError,
    discover::{ServiceSet, Standing},
};

/// What calls to one endpoint have come to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointStats {
    /// The endpoint's identity.
    pub id: Arc<str>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The services that it serves. `None` if they are not known: it may serve any.
    pub services: Option<ServiceSet>,
    /// What is said of it by whoever names the endpoints.
    pub standing: Standing,
    /// Calls can be sent there now.
    pub ready: bool,
    /// Connections on which they can be: more than one where calls gather there
    /// ([`ChannelBuilder::with_max_connections`](crate::ChannelBuilder::with_max_connections)).
    pub connections: usize,
    /// Why there is no connection, where dialling failed and pauses before it is tried again.
    pub failure: Option<Arc<ConnectError>>,
    /// It is left out for what calls there came to.
    pub ejected: bool,
    /// Calls at work there.
    pub pending: usize,
    /// Calls that were answered, or failed, there.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// When it was first picked.
    pub first_pick: Option<SystemTime>,
    /// When it was last picked.
    pub last_pick: Option<SystemTime>,
}
