//! Frames on a stream: a header of unknown length, then a body of the length that it names; or items.

use std::{
    pin::pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    codec::{Body, LARGE},
    proto::{self, DecodeError, ItemBuffer, ItemFrame},
    transport::{ReadError, RecvStream, SendStream, WriteError},
};

/// Bytes that one read takes at most.
const CHUNK: usize = 64 << 10;
/// Bytes of a body that are held as they arrived before they are copied together.
const HELD: usize = 256 << 10;
/// Bodies up to this size are copied behind their header.
const INLINE: usize = 2 << 10;

/// Room for a header, of which so much is known, and for the body where it will be copied behind it.
pub(super) fn frame_buffer(header: usize, body: &Body) -> BytesMut {
    let body = body.len();
    BytesMut::with_capacity(header + if body <= INLINE { body } else { 0 })
}

/// Writes a header and its body, in one go: each write wakes the connection, which would send the header in a packet of
/// its own. Not cancel-safe: a part may have been written.
pub(super) async fn write_frame(
    send: &mut SendStream,
    mut header: BytesMut,
    mut body: Body,
) -> Result<(), WriteError> {
    match body.chunks_mut() {
        [body] if body.len() <= INLINE => {
            header.extend_from_slice(body);
            send.write(header.freeze()).await
        }
        [body] => send.write_chunks(&mut [header.freeze(), std::mem::take(body)]).await,
        _ => {
            let mut chunks: Vec<_> = std::iter::once(header.freeze()).chain(body.into_chunks()).collect();
            send.write_chunks(&mut chunks).await
        }
    }
}

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
}

impl FrameReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: Bytes::new() }
    }

    /// Returns whether a lane begins here; its preface is taken then. Cancel-safe.
    pub(super) async fn begins_lane(&mut self) -> Result<bool, FrameError> {
        while self.buffer.len() < proto::PREFACE.len() {
            match self.stream.read_chunk(CHUNK).await? {
                Some(chunk) if self.buffer.is_empty() => self.buffer = chunk,
                Some(chunk) => self.append(&chunk),
                // Too short for a request as well, which will be found out.
                None => return Ok(false),
            }
        }
        let is_lane = proto::is_lane([self.buffer[0], self.buffer[1]])?;
        if is_lane {
            self.buffer.advance(proto::PREFACE.len());
        }
        Ok(is_lane)
    }

    /// The stream, and what has arrived of it.
    pub(super) fn into_parts(self) -> (RecvStream, Bytes) {
        (self.stream, self.buffer)
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
        let held = self.hold(length).await?;
        let arrived = held.iter().map(Bytes::len).sum();
        let mut body = Vec::with_capacity(proto::room(arrived, length));
        held.iter().for_each(|chunk| body.extend_from_slice(chunk));
        drop(held);
        while body.len() < length {
            let chunk = self.chunk(length - body.len()).await?;
            proto::append(&mut body, &chunk, length);
        }
        Ok(body.into())
    }

    /// The beginning of a body, where it arrived, until there is enough to make room for all of it, so that nothing is
    /// copied twice. Of a large one less: a chunk keeps all packets in memory that were received with it.
    async fn hold(&mut self, length: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut held = Vec::new();
        let mut chunk = std::mem::take(&mut self.buffer);
        let mut arrived = 0;
        loop {
            arrived += chunk.len();
            let is_small = chunk.len() < LARGE && !held.is_empty();
            held.push(chunk);
            if is_small || arrived >= HELD || proto::room(arrived, length) == length {
                return Ok(held);
            }
            chunk = self.chunk(length - arrived).await?;
        }
    }

    async fn chunk(&mut self, most: usize) -> Result<Bytes, FrameError> {
        self.stream.read_chunk(most).await?.ok_or(ReadError::TooShort.into())
    }

    /// Takes the stream's end, if it has arrived: it mostly comes in the last frame's packet. Dropping a stream whose
    /// end was not read tells the peer to stop, which costs both sides a packet and a wake-up.
    pub(super) fn take_end(&mut self) {
        take_end(&mut self.stream);
    }

    pub(super) fn stop(&mut self, code: u32) {
        self.stream.stop(code);
    }

    /// Turns to the items behind the header.
    pub(super) fn into_items(self) -> ItemFrames {
        ItemFrames { stream: self.stream, arrived: ItemBuffer::new(self.buffer) }
    }
}

fn take_end(stream: &mut RecvStream) {
    let mut end = pin!(stream.read_chunk(1));
    let _ = end.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

/// Reads the frames of a stream of items.
#[derive(Debug)]
pub(super) struct ItemFrames {
    stream: RecvStream,
    arrived: ItemBuffer,
}

impl ItemFrames {
    /// Hands on the next frame where it is a small item, is here whole and in one chunk.
    #[inline]
    pub(super) fn lend_small(&mut self, limit: usize, take: &mut dyn FnMut(&[u8])) -> bool {
        self.arrived.lend_short(LARGE.min(limit.saturating_add(1)), take)
    }

    /// The next frame; `None` where the stream ends. Nothing larger than `limit` is collected.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<Option<ItemFrame>, FrameError>> {
        loop {
            if let Some(frame) = self.arrived.take(limit)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            match ready!(self.stream.poll_read_chunk(cx, CHUNK))? {
                Some(chunk) => self.arrived.push(chunk),
                None if self.arrived.is_empty() => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(Err(ReadError::TooShort.into())),
            }
        }
    }

    pub(super) fn take_end(&mut self) {
        take_end(&mut self.stream);
    }

    pub(super) fn stop(&mut self, code: u32) {
        self.stream.stop(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::{Pair, pair};

    /// Sends so many bytes in pieces of these sizes, in turn, and the stream's end.
    async fn sent(length: usize, pieces: &'static [usize]) -> (Pair, Bytes, FrameReader) {
        let pair = pair().await;
        let (mut send, _) = pair.client.open_bi().await.expect("it stands");
        let whole: Bytes = (0..length).map(|index| (index % 251) as u8).collect::<Vec<_>>().into();
        let mut rest = whole.clone();
        tokio::spawn(async move {
            // So that the stream is there where nothing follows.
            send.write(Bytes::from_static(b"!")).await?;
            for piece in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                send.write(rest.split_to(rest.len().min(*piece))).await?;
                tokio::task::yield_now().await;
            }
            send.finish();
            Ok::<_, WriteError>(())
        });
        let (_, mut recv) = pair.server.accept_bi().await.expect("it stands");
        let mark = recv.read_chunk(1).await.expect("it was sent");
        assert_eq!(mark.as_deref(), Some(&b"!"[..]));
        (pair, whole, FrameReader::new(recv))
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_of_any_size_arrive_in_any_pieces() {
        for length in [0, 3, 5000, 128 << 10, (128 << 10) + 1, 300_000, 1 << 20, (2 << 20) + 7] {
            for pieces in [&[1 << 20][..], &[16_000], &[5000, 100], &[999]] {
                let (_pair, whole, mut reader) = sent(length, pieces).await;
                let body = reader.body(length).await.expect("all of it was sent");
                assert_eq!(body.len(), length, "{pieces:?}");
                assert!(body == whole, "{length} in {pieces:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn little_is_held_and_not_in_small_pieces() {
        for pieces in [&[16_000][..], &[5000, 100], &[999]] {
            let (_pair, _, mut reader) = sent(4 << 20, pieces).await;
            let held = reader.hold(4 << 20).await.expect("it was sent");
            let arrived: usize = held.iter().map(Bytes::len).sum();
            assert!(arrived < HELD + CHUNK, "{pieces:?}: {arrived}");
            // The first is what came with the header, and a small one is the last.
            let small = held.iter().filter(|chunk| chunk.len() < LARGE).count();
            assert!(small <= 2, "{pieces:?}: {small}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_breaks_off_is_an_error() {
        for length in [1, 5000, 300_000, 1 << 20] {
            for pieces in [&[16_000][..], &[999]] {
                let (_pair, _, mut reader) = sent(length - 1, pieces).await;
                let broken = reader.body(length).await;
                assert!(matches!(broken, Err(FrameError::Read(ReadError::TooShort))), "{length}: {broken:?}");
            }
        }
    }
}
