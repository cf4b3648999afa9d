//! The QUIC backend: the only place that knows quinn.

mod connection;
mod endpoint;
mod error;
mod stream;

pub(super) use self::{
    connection::Connection,
    endpoint::{Endpoint, Incoming},
    stream::{RecvStream, SendStream},
};
