//! Connections with streams and datagrams, over QUIC or within this process.
//!
//! The two backends implement the same three traits; everything above sees [`Connection`], [`SendStream`] and
//! [`RecvStream`], which dispatch to one of them without boxing a future. Protocols beside calls (see
//! [`ProtocolHandler`](crate::ProtocolHandler)) are written against these types too.

mod backend;
mod connection;
mod endpoint;
mod error;
pub(crate) mod memory;
mod quic;
mod stream;
#[cfg(all(test, feature = "dev-certs"))]
mod tests;
mod window;

pub(crate) use self::endpoint::{Endpoint, Incoming, ListenOptions, Room};
#[cfg(feature = "fuzzing")]
pub use self::quic::dies_silently;
#[cfg(feature = "measuring")]
pub use self::quic::{bare_endpoint, bare_transport};
pub use self::{
    connection::{Connection, ConnectionStats, Side},
    endpoint::DialOptions,
    error::{ConnectionError, DatagramError, ReadError, WriteError},
    memory::Network as MemoryNetwork,
    stream::{RecvStream, SendStream},
};
