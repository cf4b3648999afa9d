//! The wire, sans-io: what is on a stream, byte by byte. `docs/wire/calls.md` has the tables.
//!
//! Every decoder takes what has arrived so far and answers *need more* (`Ok(None)`), a value with the length it
//! took, or an error. None allocates more than the input holds, none panics.

mod control;
mod extension;
mod item;
mod lane;
mod metadata;
mod reply;
mod request;
mod routing;
pub(crate) mod varint;

pub(crate) use control::{ControlFrame, Hello, SCHEMA_ENTRIES};
pub(crate) use item::{Ending, EndingKind, ItemBuffer, ItemFrame, append, finish_item, room, start_item};
#[cfg(feature = "fuzzing")]
pub(crate) use lane::LaneHeader;
pub(crate) use lane::{
    LaneBuffer, LaneFrame, LaneInput, LaneKind, MAX_LANE_MESSAGE, PREFACE, is_lane, put_message,
};
#[cfg(feature = "fuzzing")]
pub(crate) use reply::MAX_STATUS_MESSAGE;
pub(crate) use reply::{ReplyHeader, ReplyKind, decode_status, encode_status};
pub(crate) use request::RequestHeader;
pub use routing::Hedge;
pub(crate) use routing::{MAX_SELECTOR, Routing};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::metadata::Metadata;

/// The ALPN protocol id of calls.
pub(crate) const ALPN: &[u8] = b"rpcnet/1";

/// The ALPN protocol id of forwarded calls: the same frames, but no method is served at the other end of the
/// connection.
pub(crate) const RELAY_ALPN: &[u8] = b"rpcnet-relay/1";

/// First byte of each frame: the major version in the high half, the minor in the low one. A peer of a later minor
/// version is talked to; what it adds stands in the extension block, which is skipped here.
pub(crate) const VERSION: u8 = 0x10;

/// A header may take this many bytes, metadata included.
pub(crate) const MAX_HEADER: usize = 64 << 10;

/// Error codes of streams: what a reset or a stop says. Numbers are part of the protocol.
pub(crate) mod reset {
    /// The side that opened or answered the call gave it up.
    pub(crate) const CANCELLED: u32 = 1;
    /// The call was refused before its handler started: it may be sent again, here later or elsewhere now.
    pub(crate) const REFUSED: u32 = 2;
    /// The message is larger than the receiver's limit.
    pub(crate) const TOO_LARGE: u32 = 3;
    /// The bytes are not of this protocol.
    pub(crate) const PROTOCOL: u32 = 4;
    /// The deadline passed.
    pub(crate) const DEADLINE: u32 = 5;
}

/// Error codes of connections: why one was closed.
pub(crate) mod close {
    /// The endpoint is going away in good order.
    pub(crate) const SHUTDOWN: u32 = 0;
    /// The peer broke the protocol.
    pub(crate) const PROTOCOL: u32 = 1;
    /// Nothing came from the peer for too long while calls were waiting.
    pub(crate) const SILENT: u32 = 2;
    /// The server takes no new connections: it is draining.
    pub(crate) const DRAINING: u32 = 3;
    /// Nobody here speaks the protocol that was negotiated.
    pub(crate) const NO_PROTOCOL: u32 = 4;
    /// The server has as many connections as it takes, in all or of this peer.
    pub(crate) const TOO_MANY_CONNECTIONS: u32 = 5;
    /// The peer gave up too many calls too fast.
    pub(crate) const TOO_MANY_RESETS: u32 = 6;
    /// The connection was not used, and the server needs its place.
    pub(crate) const NOT_USED: u32 = 7;
}

/// Why bytes from a peer are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    #[error("protocol version {0:#04x} is not spoken here")]
    Version(u8),
    #[error("header longer than {MAX_HEADER} bytes")]
    HeaderTooLong,
    #[error("lengths do not add up")]
    Truncated,
    #[error("text is not valid")]
    Text,
    #[error("more than {} metadata pairs", crate::metadata::MAX_PAIRS)]
    TooManyPairs,
    #[error("a lane has no frames of kind {0}")]
    LaneFrame(u8),
    #[error("a message of {0} bytes is too long for a lane")]
    LaneMessage(u64),
    #[error("call {0} is at work on its lane already")]
    LaneCall(u64),
    #[error("the extension of a header breaks off")]
    Extension,
    #[error("control frame of {0} bytes is too long")]
    ControlTooLong(u64),
    #[error("an item of {0} bytes is larger than the limit")]
    ItemTooLarge(u64),
}

fn check_version(byte: u8) -> Result<(), DecodeError> {
    if byte >> 4 == VERSION >> 4 { Ok(()) } else { Err(DecodeError::Version(byte)) }
}

/// Writes pairs as a block with its length before it.
fn put_block(buffer: &mut impl BufMut, pairs: &Metadata) {
    let mut block = BytesMut::new();
    pairs.encode(&mut block);
    varint::put(buffer, block.len() as u64);
    buffer.put_slice(&block);
}

/// A cursor over bytes that have arrived. Only the parts that are kept share the memory: reading numbers counts no
/// references.
struct Cursor<'a> {
    input: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(input: &'a Bytes, start: usize) -> Self {
        Self { input, rest: &input[start..] }
    }

    /// The number of bytes that were read.
    fn position(&self) -> usize {
        self.input.len() - self.rest.len()
    }

    /// Takes a block with its length before it; `None` while it has not all arrived.
    fn take_block(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = varint::take(&mut self.rest)? else { return Ok(None) };
        if length > MAX_HEADER as u64 {
            return Err(DecodeError::HeaderTooLong);
        }
        let length = length as usize;
        if self.rest.len() < length {
            return Ok(None);
        }
        let block = self.input.slice(self.position()..self.position() + length);
        self.rest.advance(length);
        Ok(Some(block))
    }
}
