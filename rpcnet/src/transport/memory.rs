//! The in-memory backend: connections within one process, for tests under paused time.
//!
//! Packets can be late, lost or held back, as the [`Network`] says. On top of the packets, the backend does the same as
//! QUIC:
//!
//! - Streams are bounded and ordered independently of each other. They are retransmitted, finished, reset and stopped.
//! - Connections close with a code, or time out. A peer may not be there at all.
//!
//! There is no TLS and no congestion control: a path has unlimited bandwidth.
//!
//! `pair` is one connection with both ends, sans-io. `link` drives it with tokio's clock.

mod between;
mod connection;
mod end;
mod endpoint;
mod frame;
mod handles;
mod link;
mod network;
mod pair;
mod path;
mod receiving;
mod recovery;
mod sending;
mod sleeper;
mod streams;

pub use self::{
    between::Between,
    network::Network,
    path::{Place, Traffic},
};
pub(super) use self::{
    connection::Connection,
    endpoint::{Endpoint, Incoming},
    handles::{RecvStream, SendStream},
};
