//! The frames behind the opening frame of a streaming call, in either direction: items, then one frame that ends them.
//!
//! A stream that ends without such a frame was cut off.

mod buffer;

pub(crate) use buffer::{ItemBuffer, append, room};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DecodeError, MAX_HEADER, varint};
use crate::{Code, metadata::Metadata};

const ITEM: u8 = 0;
const END: u8 = 1;
const APPLICATION: u8 = 2;
const STATUS: u8 = 3;

/// The bytes of kind and length before an item of at most 16 383 bytes.
const SHORT: usize = 3;

/// A frame behind the opening one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemFrame {
    Item(Bytes),
    End(Ending),
    /// Of a later version; skipped.
    Other,
}

/// The end of a stream of items, with its trailers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) kind: EndingKind,
    pub(crate) trailers: Metadata,
    /// The error or the status, encoded; empty for the clean end.
    pub(crate) body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndingKind {
    /// There are no more items.
    Clean,
    /// The error that the stream declares.
    Application,
    Status(Code),
}

/// Starts an item in `buffer`: room for its header. The body is to be written behind it.
pub(crate) fn start_item(buffer: &mut BytesMut) -> usize {
    let at = buffer.len();
    buffer.put_bytes(ITEM, SHORT);
    at
}

/// Fills in the header of the item that was started at `at`, and of which `beyond` more bytes follow elsewhere.
pub(crate) fn finish_item(buffer: &mut BytesMut, at: usize, beyond: usize) {
    let length = buffer.len() - at - SHORT + beyond;
    // A varint of two bytes (RFC 9000, section 16), also where one would do: what is short then need not be moved.
    if length < 1 << 14 {
        buffer[at + 1..at + SHORT].copy_from_slice(&(0x4000 | length as u16).to_be_bytes());
        return;
    }
    let mut header = [ITEM; 1 + 8];
    let mut rest = &mut header[1..];
    varint::put(&mut rest, length as u64);
    let left = rest.len();
    let taken = header.len() - left;
    let end = buffer.len();
    buffer.put_bytes(0, taken - SHORT);
    buffer.copy_within(at + SHORT..end, at + taken);
    buffer[at..at + taken].copy_from_slice(&header[..taken]);
}

impl Ending {
    pub(crate) fn clean(trailers: Metadata) -> Self {
        Self { kind: EndingKind::Clean, trailers, body: Bytes::new() }
    }

    pub(crate) fn encode(&self, buffer: &mut BytesMut) {
        let mut trailers = BytesMut::new();
        self.trailers.encode(&mut trailers);
        let mut head = BytesMut::with_capacity(16);
        let kind = match self.kind {
            EndingKind::Clean => END,
            EndingKind::Application => APPLICATION,
            EndingKind::Status(code) => {
                head.put_u8(code as u8);
                STATUS
            }
        };
        varint::put(&mut head, trailers.len() as u64);
        buffer.put_u8(kind);
        varint::put(buffer, (head.len() + trailers.len() + self.body.len()) as u64);
        buffer.put_slice(&head);
        buffer.put_slice(&trailers);
        buffer.put_slice(&self.body);
    }

    fn decode(kind: u8, mut payload: Bytes) -> Result<Self, DecodeError> {
        let kind = match kind {
            END => EndingKind::Clean,
            APPLICATION => EndingKind::Application,
            _ => {
                let code = payload.first().copied().ok_or(DecodeError::Truncated)?;
                payload.advance(1);
                EndingKind::Status(Code::from_u8(code))
            }
        };
        let length = varint::take(&mut payload)?.ok_or(DecodeError::Truncated)?;
        if length > payload.len() as u64 {
            return Err(DecodeError::Truncated);
        }
        let trailers = Metadata::decode(payload.split_to(length as usize))?;
        Ok(Self { kind, trailers, body: payload })
    }
}

/// The header of a frame: its kind and how long its payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemHeader {
    kind: u8,
    pub(crate) length: u64,
    /// Of the header itself.
    pub(crate) size: usize,
}

impl ItemHeader {
    /// The header at the start of `input`; `None` while it has not all arrived.
    pub(crate) fn decode(input: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some((&kind, mut rest)) = input.split_first() else { return Ok(None) };
        let Some(length) = varint::take(&mut rest)? else { return Ok(None) };
        Ok(Some(Self { kind, length, size: input.len() - rest.len() }))
    }

    /// The item at the start of `input`, behind a header of this size: where it is one, and not long, and has all
    /// arrived. Most items are such, and are told here at less cost.
    #[inline]
    pub(crate) fn short_item(input: &[u8]) -> Option<(usize, &[u8])> {
        let (size, length) = match *input {
            [ITEM, length @ ..0x40, ..] => (2, usize::from(length)),
            [ITEM, high @ 0x40..0x80, low, ..] => (SHORT, usize::from(high & 0x3f) << 8 | usize::from(low)),
            _ => return None,
        };
        Some((size, input.get(size..size + length)?))
    }

    /// The longest payload that is taken, where an item may have this many bytes.
    pub(crate) fn limit(&self, item: usize) -> u64 {
        match self.kind {
            ITEM => item as u64,
            // A status or an error, with its trailers.
            _ => item.max(MAX_HEADER) as u64 + MAX_HEADER as u64,
        }
    }

    /// The frame of this header and payload.
    pub(crate) fn frame(&self, payload: Bytes) -> Result<ItemFrame, DecodeError> {
        Ok(match self.kind {
            ITEM => ItemFrame::Item(payload),
            END | APPLICATION | STATUS => ItemFrame::End(Ending::decode(self.kind, payload)?),
            _ => ItemFrame::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &Bytes) -> (ItemFrame, usize) {
        let header = ItemHeader::decode(bytes).expect("valid").expect("complete");
        let end = header.size + header.length as usize;
        (header.frame(bytes.slice(header.size..end)).expect("valid"), end)
    }

    #[test]
    fn items_of_any_length() {
        for length in [0, 1, 63, 64, 16_383, 16_384, 1 << 20] {
            let mut buffer = BytesMut::from(&b"before"[..]);
            let at = start_item(&mut buffer);
            buffer.put_bytes(7, length);
            finish_item(&mut buffer, at, 0);
            let bytes = buffer.freeze().slice(6..);
            assert_eq!(decode(&bytes), (ItemFrame::Item(vec![7; length].into()), bytes.len()));
        }
    }

    #[test]
    fn an_item_that_goes_on_elsewhere() {
        for beyond in [0, 10, 20_000] {
            let mut buffer = BytesMut::new();
            let at = start_item(&mut buffer);
            buffer.put_slice(b"head");
            finish_item(&mut buffer, at, beyond);
            let header = ItemHeader::decode(&buffer).expect("valid").expect("complete");
            assert_eq!(header.length as usize, 4 + beyond);
            assert_eq!(&buffer[header.size..], b"head");
        }
    }

    #[test]
    fn endings() {
        let mut trailers = Metadata::new();
        trailers.insert("x-rows", "7").expect("valid");
        for kind in [EndingKind::Clean, EndingKind::Application, EndingKind::Status(Code::Aborted)] {
            let body = if kind == EndingKind::Clean { Bytes::new() } else { Bytes::from_static(b"why") };
            let ending = Ending { kind, trailers: trailers.clone(), body };
            let mut buffer = BytesMut::new();
            ending.encode(&mut buffer);
            let bytes = buffer.freeze();
            assert_eq!(decode(&bytes), (ItemFrame::End(ending), bytes.len()));
        }
    }

    #[test]
    fn unknown_frames_are_skipped() {
        assert_eq!(decode(&Bytes::from_static(b"\x7f\x03abc")), (ItemFrame::Other, 5));
    }

    proptest::proptest! {
        #[test]
        fn short_items_are_what_they_are_otherwise(
            kind in 0u8..3,
            length in 0u64..20_000,
            here in 0usize..20_000,
        ) {
            let mut frame = BytesMut::from(&[kind][..]);
            varint::put(&mut frame, length);
            frame.put_bytes(7, here);
            let header = ItemHeader::decode(&frame).expect("well-formed").expect("whole");
            let expected = (kind == ITEM && length < 1 << 14 && header.length <= here as u64)
                .then(|| (header.size, &frame[header.size..][..length as usize]));
            assert_eq!(ItemHeader::short_item(&frame), expected);
            assert_eq!(ItemHeader::short_item(&frame[..1]), None);
        }

        #[test]
        fn random_bytes_do_not_panic(kind in 0u8..5, payload: Vec<u8>) {
            let header = ItemHeader { kind, length: payload.len() as u64, size: 2 };
            let _ = header.frame(payload.clone().into());
            let _ = ItemHeader::decode(&payload);
            let _ = ItemHeader::short_item(&payload);
        }
    }
}
