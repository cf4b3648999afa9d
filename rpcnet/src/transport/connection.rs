//! The connection that the layers above the transport use.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    ConnectionError, DatagramError, RecvStream, SendStream,
    backend::Connection as _,
    memory, quic,
    stream::{RecvBackend, SendBackend},
};
use crate::PeerIdentity;

/// The role of this side on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This side dialled.
    Client,
    /// The peer dialled.
    Server,
}

/// Statistics of a connection's path.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// The number of packets of any kind that have arrived.
    pub received_packets: u64,
    /// The number of packets sent on the current path.
    pub sent_packets: u64,
    /// The number of `sent_packets` that were lost.
    pub lost_packets: u64,
    /// The current receive window for all streams together, in bytes: how much the peer may send before this side
    /// reads. It follows the capacity of the path, up to
    /// [`Limits::with_receive_window`](crate::Limits::with_receive_window). `None` in memory, where each stream has its
    /// own bound and the connection has none.
    pub receive_window: Option<u32>,
    /// The current send window for all streams together, in bytes: how much may be written before the peer acknowledges
    /// it. It follows the path in the same way, and is `None` in memory.
    pub send_window: Option<u32>,
}

/// A mutually authenticated connection with streams and datagrams. Cheap to clone. Dropping the last clone closes the
/// connection.
#[derive(Clone)]
pub struct Connection {
    backend: Backend,
    shared: Arc<ConnectionShared>,
}

#[derive(Clone)]
enum Backend {
    Quic(quic::Connection),
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "the type has no values without the feature")
    )]
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

// A future that waits for either backend is as large as the larger backend's future. The memory backend has the larger
// futures. They are boxed here, so that futures of QUIC connections stay small.
impl Connection {
    pub(super) fn quic(inner: quic::Connection, peer: PeerIdentity, protocol: Vec<u8>, side: Side) -> Self {
        Self { backend: Backend::Quic(inner), shared: Arc::new(ConnectionShared { peer, protocol, side }) }
    }

    #[cfg(feature = "testing")]
    pub(super) fn memory(
        inner: memory::Connection,
        peer: PeerIdentity,
        protocol: Vec<u8>,
        side: Side,
    ) -> Self {
        Self { backend: Backend::Memory(inner), shared: Arc::new(ConnectionShared { peer, protocol, side }) }
    }

    /// Returns the peer's identity.
    pub fn peer(&self) -> &PeerIdentity {
        &self.shared.peer
    }

    /// Returns the negotiated protocol (ALPN).
    pub fn protocol(&self) -> &[u8] {
        &self.shared.protocol
    }

    /// Returns the role of this side.
    pub fn side(&self) -> Side {
        self.shared.side
    }

    /// Returns the peer's current address. It changes if the peer migrates.
    pub fn remote_addr(&self) -> SocketAddr {
        dispatch!(self, connection => connection.remote_addr())
    }

    /// Opens a bidirectional stream. Waits while the peer's limit on streams is reached. The peer sees the stream once
    /// the first bytes arrive. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The reason why the connection ended.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        Ok(match &self.backend {
            Backend::Quic(connection) => quic_streams(connection.open_bi().await?),
            Backend::Memory(connection) => memory_streams(Box::pin(connection.open_bi()).await?),
        })
    }

    /// Accepts the next bidirectional stream that the peer opened. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The reason why the connection ended.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        Ok(match &self.backend {
            Backend::Quic(connection) => quic_streams(connection.accept_bi().await?),
            Backend::Memory(connection) => memory_streams(Box::pin(connection.accept_bi()).await?),
        })
    }

    /// Opens a unidirectional stream to the peer, in the same way as [`open_bi`](Self::open_bi).
    ///
    /// # Errors
    ///
    /// The reason why the connection ended.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        Ok(SendStream::new(match &self.backend {
            Backend::Quic(connection) => SendBackend::Quic(connection.open_uni().await?),
            Backend::Memory(connection) => SendBackend::Memory(Box::pin(connection.open_uni()).await?),
        }))
    }

    /// Accepts the next unidirectional stream from the peer. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The reason why the connection ended.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(RecvStream::new(match &self.backend {
            Backend::Quic(connection) => RecvBackend::Quic(connection.accept_uni().await?),
            Backend::Memory(connection) => RecvBackend::Memory(Box::pin(connection.accept_uni()).await?),
        }))
    }

    /// Raises the number of bidirectional streams that the peer may have open at a time.
    pub(crate) fn allow_streams(&self, streams: u32) {
        dispatch!(self, connection => connection.allow_streams(streams));
    }

    /// Sends a datagram without waiting. It arrives at most once and in no particular order. If the send buffer is
    /// full, older datagrams are dropped.
    ///
    /// # Errors
    ///
    /// See [`DatagramError`].
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        dispatch!(self, connection => connection.send_datagram(datagram))
    }

    /// Waits for the next datagram. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The reason why the connection ended.
    pub async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        match &self.backend {
            Backend::Quic(connection) => connection.read_datagram().await,
            Backend::Memory(connection) => Box::pin(connection.read_datagram()).await,
        }
    }

    /// Returns the size in bytes of the largest datagram that the path takes now; `None` if the peer takes no
    /// datagrams.
    pub fn max_datagram_size(&self) -> Option<usize> {
        dispatch!(self, connection => connection.max_datagram_size())
    }

    /// Closes the connection at once with an application error code. Streams fail on both sides, and data that was not
    /// sent yet is lost.
    pub fn close(&self, code: u32, reason: &str) {
        dispatch!(self, connection => connection.close(code, reason));
    }

    /// Waits until a connection that this side has closed has sent its close to the peer once. Returns at once if the
    /// connection ended in another way. Never returns while it is open. Cancel-safe.
    pub(crate) async fn close_sent(&self) {
        /// The pause between two checks. The transport has no event for this.
        const LOOK: Duration = Duration::from_millis(1);
        let is_sent = || dispatch!(self, connection => connection.close_sent());
        // In most cases the connection's driver needs only one turn.
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

    /// Probes the peer's host. Returns true once the host reports that nobody listens at the peer's address.
    /// Returns false if the host can't be probed. Only for the side that dialled: in the other direction, a firewall
    /// may reject packets of no connection, which looks the same. Cancel-safe.
    pub(crate) async fn is_refused(&self) -> bool {
        dispatch!(self, connection => connection.is_refused().await)
    }

    /// Waits until the connection has ended, and returns the reason. Cancel-safe.
    pub async fn closed(&self) -> ConnectionError {
        match &self.backend {
            Backend::Quic(connection) => connection.closed().await,
            Backend::Memory(connection) => Box::pin(connection.closed()).await,
        }
    }

    /// Returns the reason why the connection ended; `None` while it is open.
    pub fn close_reason(&self) -> Option<ConnectionError> {
        dispatch!(self, connection => connection.close_reason())
    }

    /// Returns the current statistics of the path.
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
