//! Plain quinn with rpcnet's configuration, for benchmarks that compare rpcnet with bare quinn.

use std::{io, net::SocketAddr};

use super::{
    super::{DialOptions, Room},
    endpoint,
};

/// Opens a socket that listens and dials.
///
/// # Errors
///
/// If the socket can't be opened, or outside of a tokio runtime.
pub fn bare_endpoint(addr: SocketAddr) -> io::Result<quinn::Endpoint> {
    let runtime = quinn::default_runtime().ok_or_else(|| io::Error::other("no tokio runtime"))?;
    endpoint::open(addr, quinn::EndpointConfig::default(), runtime)
}

/// The configuration of a connection on loopback whose peer may have this much under way.
pub(crate) fn bare_transport(options: &DialOptions, room: Room) -> quinn::TransportConfig {
    endpoint::transport(options, room, endpoint::Proximity::Near)
}
