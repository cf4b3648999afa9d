//! The QUIC backend: the only place that knows quinn.

#[cfg(feature = "measuring")]
mod bare;
mod connection;
mod counted;
mod endpoint;
mod error;
mod stream;

#[cfg(feature = "measuring")]
pub use self::bare::{bare_endpoint, bare_transport};
pub(super) use self::{
    connection::Connection,
    endpoint::{Endpoint, Incoming},
    stream::{RecvStream, SendStream},
};
