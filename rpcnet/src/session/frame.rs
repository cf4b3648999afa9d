//! Reads frames off a stream: a header of unknown length, then a body of the length that it names; or items.

use std::{
    pin::pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    codec::LARGE,
    proto::{DecodeError, ItemFrame, ItemHeader},
    transport::{ReadError, RecvStream},
};

const CHUNK: usize = 64 << 10;
/// The header of an item is no longer.
const ITEM_HEADER: usize = 9;
/// Room for a small item that came in two chunks, before its length is known.
const SMALL_PARTIAL: usize = 128;

/// A header's decoder: the header and its length, or `None` while it has not all arrived.
type Decode<H> = fn(&Bytes) -> Result<Option<(H, usize)>, DecodeError>;

#[derive(Debug)]
pub(super) struct FrameReader {
    stream: RecvStream,
    /// Arrived and not yet taken.
    buffer: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("an item of {0} bytes is larger than the limit")]
    TooLarge(u64),
}

impl FrameReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: Bytes::new() }
    }

    /// The next header; `None` where the stream ends cleanly instead. Cancel-safe.
    pub(super) async fn header<H>(&mut self, decode: Decode<H>) -> Result<Option<H>, FrameError> {
        loop {
            if let Some((header, length)) = decode(&self.buffer)? {
                self.buffer.advance(length);
                return Ok(Some(header));
            }
            match self.stream.read_chunk(CHUNK).await? {
                Some(chunk) if self.buffer.is_empty() => self.buffer = chunk,
                Some(chunk) => self.append(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(ReadError::TooShort.into()),
            }
        }
    }

    /// Rare: a header in two packets. Bounded, as a header longer than its limit is an error; and where it comes in
    /// many small pieces, the memory grows in place.
    fn append(&mut self, chunk: &[u8]) {
        let mut buffer = match std::mem::take(&mut self.buffer).try_into_mut() {
            Ok(buffer) => buffer,
            Err(shared) => BytesMut::from(&shared[..]),
        };
        buffer.extend_from_slice(chunk);
        self.buffer = buffer.freeze();
    }

    /// The body. Its length must have been checked; memory grows only as bytes arrive. Not cancel-safe.
    pub(super) async fn body(&mut self, length: usize) -> Result<Bytes, FrameError> {
        if self.buffer.len() >= length {
            return Ok(self.buffer.split_to(length));
        }
        let mut body = Vec::new();
        append(&mut body, &std::mem::take(&mut self.buffer), length);
        while body.len() < length {
            match self.stream.read_chunk(length - body.len()).await? {
                Some(chunk) => append(&mut body, &chunk, length),
                None => return Err(ReadError::TooShort.into()),
            }
        }
        Ok(body.into())
    }

    /// Takes the stream's end, if it has arrived: it mostly comes in the last frame's packet. Dropping a stream whose
    /// end was not read tells the peer to stop, which costs both sides a packet and a wake-up.
    pub(super) fn take_end(&mut self) {
        take_end(&mut self.stream);
    }

    pub(super) fn stop(&mut self, code: u32) {
        self.stream.stop(code);
    }

    /// What follows are items.
    pub(super) fn into_items(self) -> ItemFrames {
        ItemFrames { stream: self.stream, buffer: self.buffer, partial: Vec::new() }
    }
}

/// Appends what has arrived of `whole` bytes. Room is made for 128 KiB, or four times what is here, and never for more
/// than the whole: the length is but a claim.
fn append(body: &mut Vec<u8>, chunk: &[u8], whole: usize) {
    let length = body.len() + chunk.len();
    if body.capacity() < length {
        let room = whole.min(length.saturating_mul(4).max(2 * CHUNK));
        body.reserve_exact(room.max(length) - body.len());
    }
    body.extend_from_slice(chunk);
}

fn take_end(stream: &mut RecvStream) {
    let mut end = pin!(stream.read_chunk(1));
    let _ = end.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

/// Reads the frames of a stream of items. Those that lie in one chunk share its memory.
#[derive(Debug)]
pub(super) struct ItemFrames {
    stream: RecvStream,
    /// Arrived and not yet taken; begins with a frame, unless `partial` holds the beginning of one.
    buffer: Bytes,
    /// A frame that came in more than one chunk, as far as it is here.
    partial: Vec<u8>,
}

impl ItemFrames {
    /// Hands on the next frame where it is a small item, is here whole and in one chunk.
    #[inline]
    pub(super) fn lend_small(&mut self, limit: usize, take: &mut dyn FnMut(&[u8])) -> bool {
        if !self.partial.is_empty() {
            return false;
        }
        let small = ItemHeader::short_item(&self.buffer);
        let Some((size, item)) = small.filter(|(_, item)| item.len() < LARGE.min(limit.saturating_add(1)))
        else {
            return false;
        };
        take(item);
        let length = size + item.len();
        self.buffer.advance(length);
        true
    }

    /// The next frame; `None` where the stream ends. Nothing larger than `limit` is collected.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<Option<ItemFrame>, FrameError>> {
        loop {
            if let Some(frame) = self.take(limit)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            match ready!(self.stream.poll_read_chunk(cx, CHUNK))? {
                Some(chunk) => self.buffer = chunk,
                None if self.partial.is_empty() => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(Err(ReadError::TooShort.into())),
            }
        }
    }

    /// Takes a frame, if it is whole. If not, `buffer` is empty afterwards.
    fn take(&mut self, limit: usize) -> Result<Option<ItemFrame>, FrameError> {
        if self.partial.is_empty() {
            if let Some(header) = checked(&self.buffer, limit)?
                && self.buffer.len() - header.size >= header.length as usize
            {
                self.buffer.advance(header.size);
                return Ok(Some(header.frame(self.buffer.split_to(header.length as usize))?));
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
        }
        loop {
            let header = checked(&self.partial, limit)?;
            let whole = header.map_or(ITEM_HEADER, |header| header.size + header.length as usize);
            if let Some(header) = header
                && self.partial.len() >= whole
            {
                // What was taken to find the header may be the beginning of what follows.
                let mut frame = std::mem::take(&mut self.partial);
                if frame.len() > whole {
                    self.give_back(frame.split_off(whole));
                }
                return Ok(Some(header.frame(Bytes::from(frame).slice(header.size..))?));
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let wanted = (whole - self.partial.len()).min(self.buffer.len());
            append(&mut self.partial, &self.buffer.split_to(wanted), whole.max(SMALL_PARTIAL));
        }
    }

    fn give_back(&mut self, beginning: Vec<u8>) {
        let mut buffer = beginning;
        buffer.extend_from_slice(&self.buffer);
        self.buffer = buffer.into();
    }

    pub(super) fn take_end(&mut self) {
        take_end(&mut self.stream);
    }

    pub(super) fn stop(&mut self, code: u32) {
        self.stream.stop(code);
    }
}

fn checked(input: &[u8], limit: usize) -> Result<Option<ItemHeader>, FrameError> {
    let header = ItemHeader::decode(input)?;
    match header {
        Some(header) if header.length > header.limit(limit) => Err(FrameError::TooLarge(header.length)),
        header => Ok(header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn room_is_made_for_what_has_arrived_and_never_beyond_the_whole(
            chunks in proptest::collection::vec(1usize..200_000, 1..20),
            beyond in 0usize..1 << 24,
        ) {
            let whole = chunks.iter().sum::<usize>() + beyond;
            let mut body = Vec::new();
            for chunk in chunks {
                append(&mut body, &vec![7; chunk], whole);
                assert!(body.capacity() <= whole.min((body.len() * 4).max(2 * CHUNK)));
            }
            if beyond == 0 {
                assert_eq!(body.capacity(), body.len(), "it is not moved when it is done");
            }
        }
    }
}
