//! Connections with streams and datagrams, over QUIC or within this process.
//!
//! Both backends, `quic` and `memory`, implement the three traits of `backend`. The layers above see [`Connection`],
//! [`SendStream`] and [`RecvStream`], which dispatch to one of the backends without boxing the future of a QUIC
//! connection. Protocols beside calls (see [`ProtocolHandler`](crate::ProtocolHandler)) use these types too.

mod backend;
mod connection;
mod endpoint;
mod error;
#[cfg(feature = "testing")]
pub(crate) mod memory;
#[cfg(not(feature = "testing"))]
#[path = "no_memory.rs"]
pub(crate) mod memory;
mod quic;
mod stream;
#[cfg(all(test, feature = "dev-certs", feature = "testing"))]
mod tests;
mod window;

pub(crate) use self::endpoint::{Endpoint, Incoming, ListenOptions, Room};
#[cfg(feature = "measuring")]
pub use self::quic::bare_endpoint;
#[cfg(feature = "measuring")]
pub(crate) use self::quic::bare_transport;
#[cfg(feature = "fuzzing")]
pub use self::quic::dies_silently;
pub use self::{
    connection::{Connection, ConnectionStats, Side},
    endpoint::DialOptions,
    error::{ConnectionError, DatagramError, ReadError, WriteError},
    stream::{RecvStream, SendStream},
};
