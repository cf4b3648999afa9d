//! How connections and streams end.

/// Why a connection is no more, or never was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer closed it.
    #[error("closed by the peer with code {code}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Closed {
        /// Why, as a number of the protocol.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// This side closed it.
    #[error("closed by this side")]
    LocallyClosed,
    /// Nothing came from the peer for the idle timeout.
    #[error("the peer was silent for too long")]
    TimedOut,
    /// Nothing came from the peer, and its host says that nobody listens at its address: its process has ended.
    #[error("the peer's process has ended: nobody listens at its address")]
    Unreachable,
    /// The peer does not know this connection (any more): most likely it was restarted.
    #[error("the peer does not know this connection")]
    Reset,
    /// One of the two sides refused the other's certificate, or missed it.
    #[error("{message}")]
    Certificate {
        /// Which side refused which certificate, why, and what can be done. Where the peer refused, it is in part the
        /// peer's text: cut, and without control characters.
        message: String,
    },
    /// The transport failed in another way.
    #[error("transport error: {0}")]
    Transport(String),
}

impl ConnectionError {
    /// Whether certificates were the reason.
    pub fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate { .. })
    }
}

/// Why nothing can be read from a stream any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer gave the stream up with this code.
    #[error("the peer reset the stream with code {0}")]
    Reset(u32),
    /// This side has stopped the stream.
    #[error("the stream is closed on this side")]
    Closed,
    /// The stream ended before what was asked for.
    #[error("the stream ended early")]
    TooShort,
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why nothing can be written to a stream any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer wants no more, and said so with this code.
    #[error("the peer stopped the stream with code {0}")]
    Stopped(u32),
    /// This side has finished or reset the stream.
    #[error("the stream is closed on this side")]
    Closed,
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// It does not fit into a packet of this path.
    #[error("the datagram is too large for the path")]
    TooLarge,
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}
