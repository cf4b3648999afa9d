//! The connection that everything above the transport sees.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    ConnectionError, DatagramError, RecvStream, SendStream,
    backend::Connection as _,
    memory, quic,
    stream::{RecvBackend, SendBackend},
};
use crate::PeerIdentity;

/// Which side opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This one.
    Client,
    /// The peer.
    Server,
}

/// What the transport knows of a connection's path.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// Packets that have arrived, of whatever kind.
    pub received_packets: u64,
    /// Packets that were sent on the path as it is now.
    pub sent_packets: u64,
    /// Those of them that were lost.
    pub lost_packets: u64,
    /// Bytes that the peer may have sent and that were not read here, on all streams, as it is now: it follows what the path
    /// holds, up to [`Limits::with_receive_window`](crate::Limits::with_receive_window). `None` in memory, where each
    /// stream has a bound of its own and there is none for all.
    pub receive_window: Option<u32>,
    /// Bytes that may have been written here and are not acknowledged, likewise.
    pub send_window: Option<u32>,
}

/// A mutually authenticated connection with streams and datagrams. Cheap to clone; the last clone's drop closes it.
#[derive(Clone)]
pub struct Connection {
    backend: Backend,
    shared: Arc<ConnectionShared>,
}

#[derive(Clone)]
enum Backend {
    Quic(quic::Connection),
    Memory(memory::Connection),
}

struct ConnectionShared {
    peer: PeerIdentity,
    protocol: Vec<u8>,
    side: Side,
}

macro_rules! dispatch {
    ($self:expr, $connection:ident => $call:expr) => {
        match &$self.backend {
            Backend::Quic($connection) => $call,
            Backend::Memory($connection) => $call,
        }
    };
}

// A future that waits for a connection has room for the larger of the two backends. That one is in memory, and waits in a
// box, so that connections over QUIC don't carry its room.
impl Connection {
    pub(super) fn quic(inner: quic::Connection, peer: PeerIdentity, protocol: Vec<u8>, side: Side) -> Self {
        Self { backend: Backend::Quic(inner), shared: Arc::new(ConnectionShared { peer, protocol, side }) }
    }

    pub(super) fn memory(
        inner: memory::Connection,
        peer: PeerIdentity,
        protocol: Vec<u8>,
        side: Side,
    ) -> Self {
        Self { backend: Backend::Memory(inner), shared: Arc::new(ConnectionShared { peer, protocol, side }) }
    }

    /// Who the peer is.
    pub fn peer(&self) -> &PeerIdentity {
        &self.shared.peer
    }

    /// The protocol (ALPN) that was agreed on.
    pub fn protocol(&self) -> &[u8] {
        &self.shared.protocol
    }

    /// Which side opened it.
    pub fn side(&self) -> Side {
        self.shared.side
    }

    /// The peer's address as it is now; it may move.
    pub fn remote_addr(&self) -> SocketAddr {
        dispatch!(self, connection => connection.remote_addr())
    }

    /// Opens a stream with two directions; waits while the peer allows no more. The peer sees it with the first
    /// bytes. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The connection's end.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        Ok(match &self.backend {
            Backend::Quic(connection) => quic_streams(connection.open_bi().await?),
            Backend::Memory(connection) => memory_streams(Box::pin(connection.open_bi()).await?),
        })
    }

    /// The next stream with two directions that the peer opened. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The connection's end.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        Ok(match &self.backend {
            Backend::Quic(connection) => quic_streams(connection.accept_bi().await?),
            Backend::Memory(connection) => memory_streams(Box::pin(connection.accept_bi()).await?),
        })
    }

    /// Opens a stream from here to the peer, as [`open_bi`](Self::open_bi) does.
    ///
    /// # Errors
    ///
    /// The connection's end.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        Ok(SendStream::new(match &self.backend {
            Backend::Quic(connection) => SendBackend::Quic(connection.open_uni().await?),
            Backend::Memory(connection) => SendBackend::Memory(Box::pin(connection.open_uni()).await?),
        }))
    }

    /// The next stream from the peer to here. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The connection's end.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(RecvStream::new(match &self.backend {
            Backend::Quic(connection) => RecvBackend::Quic(connection.accept_uni().await?),
            Backend::Memory(connection) => RecvBackend::Memory(Box::pin(connection.accept_uni()).await?),
        }))
    }

    /// Lets the peer have so many streams with two directions open from now on, where that is more than before.
    pub(crate) fn allow_streams(&self, streams: u32) {
        dispatch!(self, connection => connection.allow_streams(streams));
    }

    /// Sends a datagram: at most once, in no order, without waiting. Under pressure older ones are dropped.
    ///
    /// # Errors
    ///
    /// See [`DatagramError`].
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        dispatch!(self, connection => connection.send_datagram(datagram))
    }

    /// The next datagram. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The connection's end.
    pub async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        match &self.backend {
            Backend::Quic(connection) => connection.read_datagram().await,
            Backend::Memory(connection) => Box::pin(connection.read_datagram()).await,
        }
    }

    /// The largest datagram in bytes that the path takes now; `None` where the peer takes none.
    pub fn max_datagram_size(&self) -> Option<usize> {
        dispatch!(self, connection => connection.max_datagram_size())
    }

    /// Closes at once with a code of the protocol; streams fail on both sides, what was not sent is lost.
    pub fn close(&self, code: u32, reason: &str) {
        dispatch!(self, connection => connection.close(code, reason));
    }

    /// Waits until a connection that this side has closed has said so to the peer, once. Ready at once for one that
    /// ended otherwise, unbounded for one that stands. Cancel-safe.
    pub(crate) async fn close_sent(&self) {
        /// Between two looks. The transport has no event for this.
        const LOOK: Duration = Duration::from_millis(1);
        let is_sent = || dispatch!(self, connection => connection.close_sent());
        // Mostly its driver needs but a turn.
        for _ in 0..4 {
            if is_sent() {
                return;
            }
            tokio::task::yield_now().await;
        }
        while !is_sent() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks the peer's host until it says that nobody listens at its address: true. False where it can't be asked. For the
    /// side that has dialled: towards it, a firewall may refuse what is not of a connection. Cancel-safe.
    pub(crate) async fn is_refused(&self) -> bool {
        dispatch!(self, connection => connection.is_refused().await)
    }

    /// Waits for the connection's end. Cancel-safe.
    pub async fn closed(&self) -> ConnectionError {
        match &self.backend {
            Backend::Quic(connection) => connection.closed().await,
            Backend::Memory(connection) => Box::pin(connection.closed()).await,
        }
    }

    /// Why it ended; `None` while it stands.
    pub fn close_reason(&self) -> Option<ConnectionError> {
        dispatch!(self, connection => connection.close_reason())
    }

    /// What the transport knows of the path.
    pub fn stats(&self) -> ConnectionStats {
        dispatch!(self, connection => ConnectionStats {
            rtt: connection.rtt(),
            received_packets: connection.received_packets(),
            sent_packets: connection.sent_packets(),
            lost_packets: connection.lost_packets(),
            receive_window: connection.receive_window(),
            send_window: connection.send_window(),
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("remote_addr", &self.remote_addr())
            .field("peer", &self.peer().name())
            .field("side", &self.side())
            .finish_non_exhaustive()
    }
}

fn quic_streams((send, recv): (quic::SendStream, quic::RecvStream)) -> (SendStream, RecvStream) {
    (SendStream::new(SendBackend::Quic(send)), RecvStream::new(RecvBackend::Quic(recv)))
}

fn memory_streams((send, recv): (memory::SendStream, memory::RecvStream)) -> (SendStream, RecvStream) {
    (SendStream::new(SendBackend::Memory(send)), RecvStream::new(RecvBackend::Memory(recv)))
}
