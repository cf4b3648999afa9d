//! What travels between the two ends of a connection: one frame a packet.

use bytes::Bytes;

/// Whether a stream has two directions or one.
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
    /// The dialler's first packet, the listener's answer, and the dialler's last word of the handshake.
    Hello,
    Welcome,
    Confirm,
    /// The listener will not have it; why.
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
    /// The stream may be written up to here.
    Credit {
        stream: StreamId,
        limit: u64,
    },
    /// So many streams may have been opened.
    Streams {
        kind: StreamKind,
        limit: u64,
    },
    Datagram(Bytes),
    Ping,
    /// So many packets have arrived.
    Ack(u64),
    Close {
        code: u32,
        reason: String,
    },
    /// A stateless reset (RFC 9000, section 10.3).
    Forgotten,
}

impl MemoryFrame {
    /// Whether the receiver acknowledges it.
    pub(super) fn is_acknowledged(&self) -> bool {
        !matches!(self, Self::Ack(_) | Self::Close { .. } | Self::Forgotten | Self::Refuse(_))
    }

    /// Whether it is sent again where it was lost.
    pub(super) fn is_repeated(&self) -> bool {
        self.is_acknowledged() && !matches!(self, Self::Datagram(_) | Self::Ping)
    }

    /// Bytes of content.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Data { bytes, .. } | Self::Datagram(bytes) => bytes.len(),
            _ => 0,
        }
    }
}
