//! The frames that travel between the two ends of a connection, one in each packet.

use bytes::Bytes;

/// The direction of a stream: bidirectional or unidirectional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StreamKind {
    Bi,
    Uni,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId {
    /// The side that opened it.
    pub(super) opener: usize,
    pub(super) kind: StreamKind,
    pub(super) index: u64,
}

#[derive(Debug, Clone)]
pub(super) enum MemoryFrame {
    /// The dialler's first packet.
    Hello,
    /// The listener's answer.
    Welcome,
    /// The dialler's confirmation, which completes the handshake.
    Confirm,
    /// The listener refuses the connection, for this reason.
    Refuse(&'static str),
    Data {
        stream: StreamId,
        offset: u64,
        bytes: Bytes,
        end: bool,
    },
    Reset {
        stream: StreamId,
        code: u32,
    },
    Stop {
        stream: StreamId,
        code: u32,
    },
    /// The stream may be written up to this offset.
    Credit {
        stream: StreamId,
        limit: u64,
    },
    /// The number of streams of this kind that the receiver may have opened since the connection began.
    Streams {
        kind: StreamKind,
        limit: u64,
    },
    Datagram(Bytes),
    Ping,
    /// The number of packets that have arrived since the connection began.
    Ack(u64),
    Close {
        code: u32,
        reason: String,
    },
    /// A stateless reset (RFC 9000, section 10.3).
    Forgotten,
}

impl MemoryFrame {
    /// Returns true if the receiver acknowledges the frame.
    pub(super) fn is_acknowledged(&self) -> bool {
        !matches!(self, Self::Ack(_) | Self::Close { .. } | Self::Forgotten | Self::Refuse(_))
    }

    /// Returns true if the frame is retransmitted after a loss.
    pub(super) fn is_repeated(&self) -> bool {
        self.is_acknowledged() && !matches!(self, Self::Datagram(_) | Self::Ping)
    }

    /// Returns the number of content bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Data { bytes, .. } | Self::Datagram(bytes) => bytes.len(),
            _ => 0,
        }
    }
}
