//! The in-memory backend: connections within one process, for tests under paused time.
//!
//! It has packets, and they can be late, lost or held back as the [`Network`] says; what is built on them does what
//! QUIC does: streams that are bounded, ordered each for itself, repeated where packets are lost, finished, reset and
//! stopped, connections that close with a code or time out, peers that are not there. It has no TLS and no congestion
//! control: a path is as wide as one likes.
//!
//! `pair` is one connection, both ends, sans-io; `link` drives it with tokio's clock.

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
