//! The errors with which connections and streams end.

/// The reason why a connection has ended or was never established.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer closed it.
    #[error("closed by the peer with code {code}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Closed {
        /// The reason as an application error code.
        code: u32,
        /// The reason as text for people; may be empty.
        reason: String,
    },
    /// This side closed it.
    #[error("closed by this side")]
    LocallyClosed,
    /// Nothing arrived from the peer within the idle timeout.
    #[error("the peer was silent for too long")]
    TimedOut,
    /// Nothing arrives from the peer, and its host reports that nobody listens at its address: the peer's process has
    /// ended.
    #[error("the peer's process has ended: nobody listens at its address")]
    Unreachable,
    /// The peer does not know this connection, or no longer: most likely the peer was restarted.
    #[error("the peer does not know this connection")]
    Reset,
    /// One side refused the other's certificate, or got none.
    #[error("{message}")]
    Certificate {
        /// Which side refused which certificate, why, and the next step. If the peer refused, the message is partly the
        /// peer's text, which is cut to a maximum length and has no control characters.
        message: String,
    },
    /// The transport failed in another way.
    #[error("transport error: {0}")]
    Transport(String),
}

impl ConnectionError {
    /// Returns true if a certificate was the reason.
    pub fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate { .. })
    }
}

/// The reason why no more can be read from a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer reset the stream with this code.
    #[error("the peer reset the stream with code {0}")]
    Reset(u32),
    /// This side has stopped the stream.
    #[error("the stream is closed on this side")]
    Closed,
    /// The stream ended before the requested number of bytes.
    #[error("the stream ended early")]
    TooShort,
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// The reason why no more can be written to a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer stopped the stream with this code.
    #[error("the peer stopped the stream with code {0}")]
    Stopped(u32),
    /// This side has finished or reset the stream.
    #[error("the stream is closed on this side")]
    Closed,
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// The reason why a datagram was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The datagram does not fit into a packet of this path.
    #[error("the datagram is too large for the path")]
    TooLarge,
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The connection is gone.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}
