//! quinn as rpcnet configures it, for benches that compare with quinn and nothing on it.

use std::{io, net::SocketAddr};

use super::{
    super::{DialOptions, Room},
    endpoint,
};
use crate::Limits;

/// A socket that listens and dials.
///
/// # Errors
///
/// Where it can't be opened, and outside of a tokio runtime.
pub fn bare_endpoint(addr: SocketAddr) -> io::Result<quinn::Endpoint> {
    let runtime = quinn::default_runtime().ok_or_else(|| io::Error::other("no tokio runtime"))?;
    endpoint::open(addr, quinn::EndpointConfig::default(), runtime)
}

/// What a connection on loopback is configured with, by default but for the number of streams: here all that [`Limits`] allow may be
/// open from the start. Its windows are those with which a connection of rpcnet's begins, and stay so.
pub fn bare_transport(options: &DialOptions) -> quinn::TransportConfig {
    let limits = Limits::default();
    let room = Room { streams: limits.max_calls_per_connection(), ..limits.room() };
    endpoint::transport(options, room, endpoint::Proximity::Near)
}
