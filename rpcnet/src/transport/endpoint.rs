//! What listens and dials: one socket for both.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use super::{Connection, ConnectionError, memory, quic};
use crate::{ConfigError, Limits, tls::Tls};

/// Streams that a peer may have open on a connection that is new.
const FIRST_STREAMS: u32 = 6;

/// An idle timeout that no connection lives to see.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Settings of a connection that this side dials. (An accepted one's protocol is not known early enough.)
#[derive(Debug, Clone, Copy)]
pub struct DialOptions {
    initial_rtt: Duration,
    keep_alive: Option<Duration>,
    idle_timeout: Duration,
    larger_packets: bool,
}

impl Default for DialOptions {
    /// An initial RTT of 100 ms, a keep-alive every 10 s, an idle timeout of 30 s, larger packets where the path takes them.
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
    /// The round-trip time to assume before one was measured: the first loss shows after about three of it. 100 ms by
    /// default, between 1 ms and 60 s.
    #[must_use]
    pub fn with_initial_rtt(mut self, rtt: Duration) -> Self {
        self.initial_rtt = rtt;
        self
    }

    /// How often something is sent on an idle connection, so that it stays; `None` for never. 10 s by default, between 10 ms
    /// and a day.
    #[must_use]
    pub fn with_keep_alive(mut self, every: Option<Duration>) -> Self {
        self.keep_alive = every;
        self
    }

    /// After how long without a packet from the peer the connection is given up. 30 s by default, at least 10 ms;
    /// `Duration::MAX` for never. The shorter one of both sides' holds.
    #[must_use]
    pub fn with_idle_timeout(mut self, after: Duration) -> Self {
        self.idle_timeout = after;
        self
    }

    /// Whether it is found out, at the cost of some large packets of padding, if the path takes packets of more than 1200
    /// bytes: worth it where much is sent.
    #[must_use]
    pub fn with_larger_packets(mut self, sought: bool) -> Self {
        self.larger_packets = sought;
        self
    }

    /// Checks the ranges; out of them the transport would panic, or never rest.
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

/// What a peer may have under way on a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Streams with two directions that it may have open.
    pub(crate) streams: u32,
    /// The most bytes that it may ever have sent and this side has not read, on all streams; at first it is less.
    pub(crate) window: u32,
}

impl Limits {
    /// What a peer may have under way on a connection that is new. Each stream that may be opened costs memory, whether
    /// it is or not; a session allows more as they are used.
    pub(crate) fn room(&self) -> Room {
        Room { streams: self.max_calls_per_connection().min(FIRST_STREAMS), window: self.receive_window() }
    }
}

/// What a listening endpoint takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenOptions {
    pub(crate) room: Room,
    /// Handshakes at a time.
    pub(crate) handshakes: usize,
}

/// A socket, or a place in a network within this process.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    Quic(quic::Endpoint),
    Memory(memory::Endpoint),
}

/// A peer that dialled, before the handshake.
#[derive(Debug)]
pub(crate) enum Incoming {
    Quic(Box<quic::Incoming>),
    Memory(memory::Incoming),
}

impl Endpoint {
    /// Binds a UDP socket. It dials at once; it listens once [`listen`](Self::listen) says for what.
    pub(crate) fn bind(addr: SocketAddr, tls: Arc<Tls>) -> io::Result<Self> {
        quic::Endpoint::bind(addr, tls).map(Self::Quic)
    }

    /// Takes connections for these protocols from now on, in place of those before.
    pub(crate) fn listen(&self, protocols: Vec<Vec<u8>>, options: ListenOptions) -> Result<(), ConfigError> {
        match self {
            Self::Quic(endpoint) => endpoint.listen(protocols, options),
            Self::Memory(endpoint) => {
                endpoint.listen(protocols, options);
                Ok(())
            }
        }
    }

    /// Dials. Cancel-safe: a handshake that is dropped is given up.
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

    /// The next peer that dials; `None` once the endpoint is closed. Cancel-safe.
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

    /// Takes another local port, chosen by the operating system. Connections that stand go on from there.
    pub(crate) fn rebind(&self) -> io::Result<()> {
        match self {
            Self::Quic(endpoint) => endpoint.rebind(),
            // There are no middleboxes.
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

    /// Waits until peers have been told of the closing.
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

    /// Whether the peer has shown that it gets what is sent to its address, or can't be asked to.
    pub(crate) fn is_validated(&self) -> bool {
        match self {
            Self::Quic(incoming) => incoming.is_validated(),
            Self::Memory(_) => true,
        }
    }

    /// Asks the peer to dial again with a token that is sent to its address, and forgets it (RFC 9000, section
    /// 8.1.2).
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
