//! The state and statistics of an endpoint, as users see them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::SystemTime};

use crate::{
    ConnectError,
    discover::{ServiceSet, Standing},
};

/// The state of one endpoint and the statistics of calls to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointStats {
    /// The endpoint's identity.
    pub id: Arc<str>,
    /// The address on which it listens.
    pub addr: SocketAddr,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The services that it serves. `None` if they are not known: the endpoint may then serve any.
    pub services: Option<ServiceSet>,
    /// The endpoint's standing, as the source of the endpoint set reports it.
    pub standing: Standing,
    /// Set if calls can be sent there now.
    pub ready: bool,
    /// The connections on which calls can be sent. More than one while calls pile up there
    /// ([`ChannelBuilder::with_max_connections`](crate::ChannelBuilder::with_max_connections)).
    pub connections: usize,
    /// The failure of the last attempt to connect, during the pause before the next one.
    pub failure: Option<Arc<ConnectError>>,
    /// Set if the endpoint is ejected because calls there failed.
    pub ejected: bool,
    /// Calls in flight there.
    pub pending: usize,
    /// Calls that have ended there, with an answer or a failure.
    pub calls: u64,
    /// Calls that have failed there.
    pub failures: u64,
    /// The time of the first pick.
    pub first_pick: Option<SystemTime>,
    /// The time of the last pick.
    pub last_pick: Option<SystemTime>,
}
