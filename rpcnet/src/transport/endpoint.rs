//! The endpoint that listens and dials, with one socket for both.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use super::{Connection, ConnectionError, memory, quic};
use crate::{ConfigError, Limits, tls::Tls};

/// The number of bidirectional streams that a peer may have open on a new connection.
const FIRST_STREAMS: u32 = 6;

/// An idle timeout of ten years, in place of none.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Options of a connection that this side dials. Accepted connections have fixed options, as their protocol is not
/// known early enough.
#[derive(Debug, Clone, Copy)]
pub struct DialOptions {
    initial_rtt: Duration,
    keep_alive: Option<Duration>,
    idle_timeout: Duration,
    larger_packets: bool,
}

impl Default for DialOptions {
    /// An initial RTT of 100 ms, a keep-alive every 10 s, an idle timeout of 30 s, and a search for larger packets.
    fn default() -> Self {
        Self {
            initial_rtt: Duration::from_millis(100),
            keep_alive: Some(Duration::from_secs(10)),
            idle_timeout: Duration::from_secs(30),
            larger_packets: true,
        }
    }
}

impl DialOptions {
    /// Sets the round-trip time that is assumed until one is measured. The first loss is noticed after about three
    /// times this value. 100 ms by default, between 1 ms and 60 s.
    #[must_use]
    pub fn with_initial_rtt(mut self, rtt: Duration) -> Self {
        self.initial_rtt = rtt;
        self
    }

    /// Sets the interval at which keep-alives are sent on an idle connection; `None` for never. 10 s by default,
    /// between 10 ms and a day.
    #[must_use]
    pub fn with_keep_alive(mut self, every: Option<Duration>) -> Self {
        self.keep_alive = every;
        self
    }

    /// Sets the idle timeout: the connection is given up if nothing arrives from the peer for this time. The shorter one
    /// of both sides' timeouts applies. 30 s by default, at least 10 ms; `Duration::MAX` for never.
    #[must_use]
    pub fn with_idle_timeout(mut self, after: Duration) -> Self {
        self.idle_timeout = after;
        self
    }

    /// Enables or disables the search for packets of more than 1200 bytes (path MTU discovery). Enabled by default. The
    /// search costs a few large packets of padding, and pays off if much is sent.
    #[must_use]
    pub fn with_larger_packets(mut self, sought: bool) -> Self {
        self.larger_packets = sought;
        self
    }

    /// Checks the ranges. Outside of them the transport would panic or be busy all the time.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let millis = Duration::from_millis;
        let range = |name, value: Duration, expected| {
            let value = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
            Err(ConfigError::Range { name, value, expected })
        };
        if !(millis(1)..=millis(60_000)).contains(&self.initial_rtt) {
            return range("initial_rtt (ms)", self.initial_rtt, "between 1 ms and 60 s");
        }
        if let Some(every) = self.keep_alive
            && !(millis(10)..=DAY).contains(&every)
        {
            return range("keep_alive (ms)", every, "between 10 ms and a day, or None for never");
        }
        if self.idle_timeout < millis(10) {
            return range("idle_timeout (ms)", self.idle_timeout, "at least 10 ms");
        }
        Ok(())
    }

    pub(super) fn larger_packets(&self) -> bool {
        self.larger_packets
    }

    pub(super) fn initial_rtt(&self) -> Duration {
        self.initial_rtt
    }

    pub(super) fn keep_alive(&self) -> Option<Duration> {
        self.keep_alive
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout.min(NEVER)
    }
}

/// The limits on what a peer may have in flight on a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// The number of bidirectional streams that the peer may have open.
    pub(crate) streams: u32,
    /// The bound in bytes of the receive window, for all streams together. The window starts smaller.
    pub(crate) window: u32,
}

impl Limits {
    /// Returns the limits of a new connection. Each stream that may be opened costs memory, whether it is opened or
    /// not, so a session allows more streams as they are used.
    pub(crate) fn room(&self) -> Room {
        Room { streams: self.max_calls_per_connection().min(FIRST_STREAMS), window: self.receive_window() }
    }
}

/// The options of a listening endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenOptions {
    pub(crate) room: Room,
    /// The number of handshakes at a time.
    pub(crate) handshakes: usize,
}

/// A UDP socket, or an address in a network within this process.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    Quic(quic::Endpoint),
    Memory(memory::Endpoint),
}

/// A peer that has dialled, before its handshake.
#[derive(Debug)]
pub(crate) enum Incoming {
    Quic(Box<quic::Incoming>),
    Memory(memory::Incoming),
}

impl Endpoint {
    /// Binds a UDP socket. The endpoint can dial at once; it listens after [`listen`](Self::listen).
    pub(crate) fn bind(addr: SocketAddr, tls: Arc<Tls>) -> io::Result<Self> {
        quic::Endpoint::bind(addr, tls).map(Self::Quic)
    }

    /// Accepts connections of these protocols from now on. Replaces the earlier list.
    pub(crate) fn listen(&self, protocols: Vec<Vec<u8>>, options: ListenOptions) -> Result<(), ConfigError> {
        match self {
            Self::Quic(endpoint) => endpoint.listen(protocols, options),
            Self::Memory(endpoint) => {
                endpoint.listen(protocols, options);
                Ok(())
            }
        }
    }

    /// Dials a peer. Cancel-safe: dropping the future abandons the handshake.
    pub(crate) async fn dial(
        &self,
        addr: SocketAddr,
        name: &str,
        protocol: &[u8],
        options: &DialOptions,
        room: Room,
    ) -> Result<Connection, ConnectionError> {
        match self {
            Self::Quic(endpoint) => endpoint.dial(addr, name, protocol, options, room).await,
            Self::Memory(endpoint) => endpoint.dial(addr, protocol, options, room).await,
        }
    }

    /// Waits for the next peer that dials; `None` once the endpoint is closed. Cancel-safe.
    pub(crate) async fn accept(&self) -> Option<Incoming> {
        match self {
            Self::Quic(endpoint) => {
                endpoint.accept().await.map(|incoming| Incoming::Quic(Box::new(incoming)))
            }
            Self::Memory(endpoint) => endpoint.accept().await.map(Incoming::Memory),
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        match self {
            Self::Quic(endpoint) => endpoint.local_addr(),
            Self::Memory(endpoint) => endpoint.local_addr(),
        }
    }

    /// Moves the socket to another local port, which the operating system chooses. Open connections migrate to it.
    pub(crate) fn rebind(&self) -> io::Result<()> {
        match self {
            Self::Quic(endpoint) => endpoint.rebind(),
            // There are no middleboxes in memory that could have lost a mapping.
            Self::Memory(_) => Ok(()),
        }
    }

    /// Closes all connections at once.
    pub(crate) fn close(&self, code: u32, reason: &str) {
        match self {
            Self::Quic(endpoint) => endpoint.close(code, reason),
            Self::Memory(endpoint) => endpoint.close(code, reason),
        }
    }

    /// Waits until all peers were told that the endpoint is closed.
    pub(crate) async fn wait_idle(&self) {
        if let Self::Quic(endpoint) = self {
            endpoint.wait_idle().await;
        }
    }
}

impl Incoming {
    pub(crate) fn remote_addr(&self) -> SocketAddr {
        match self {
            Self::Quic(incoming) => incoming.remote_addr(),
            Self::Memory(incoming) => incoming.remote_addr(),
        }
    }

    /// Returns true if the peer has proved that it receives packets at its address, or can't be asked to prove it
    /// (again).
    pub(crate) fn is_validated(&self) -> bool {
        match self {
            Self::Quic(incoming) => incoming.is_validated(),
            Self::Memory(_) => true,
        }
    }

    /// Asks the peer to dial again with a token that is sent to its address, and forgets it (RFC 9000, section 8.1.2).
    pub(crate) fn retry(self) {
        if let Self::Quic(incoming) = self {
            incoming.retry();
        }
    }

    pub(crate) async fn handshake(self) -> Result<Connection, ConnectionError> {
        match self {
            Self::Quic(incoming) => incoming.handshake().await,
            Self::Memory(incoming) => incoming.handshake().await,
        }
    }
}
