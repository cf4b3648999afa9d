//! Plain quinn with rpcnet's configuration, for benchmarks that compare rpcnet with bare quinn.

use std::{io, net::SocketAddr};

use super::{
    super::{DialOptions, Room},
    endpoint,
};
use crate::Limits;

/// Opens a socket that listens and dials.
///
/// # Errors
///
/// If the socket can't be opened, or outside of a tokio runtime.
pub fn bare_endpoint(addr: SocketAddr) -> io::Result<quinn::Endpoint> {
    let runtime = quinn::default_runtime().ok_or_else(|| io::Error::other("no tokio runtime"))?;
    endpoint::open(addr, quinn::EndpointConfig::default(), runtime)
}

/// Returns the default configuration of a connection on loopback, with one difference: all streams that [`Limits`]
/// allow may be open from the start. The windows are the first windows of an rpcnet connection, and stay so.
pub fn bare_transport(options: &DialOptions) -> quinn::TransportConfig {
    let limits = Limits::default();
    let room = Room { streams: limits.max_calls_per_connection(), ..limits.room() };
    endpoint::transport(options, room, endpoint::Proximity::Near)
}
