//! The QUIC backend: the only module that uses quinn.

#[cfg(feature = "measuring")]
mod bare;
mod connection;
mod counted;
mod endpoint;
mod error;
mod handshake;
mod refused;
mod reset;
mod runtime;
mod stream;

#[cfg(feature = "measuring")]
pub use self::bare::bare_endpoint;
#[cfg(feature = "measuring")]
pub(crate) use self::bare::bare_transport;
#[cfg(feature = "fuzzing")]
pub use self::runtime::dies_silently;
pub(super) use self::{
    connection::Connection,
    endpoint::{Endpoint, Incoming},
    stream::{RecvStream, SendStream},
};
