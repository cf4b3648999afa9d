//! quinn's streams as a transport backend. quinn *finishes* a stream that is dropped; the layer above resets it before
//! that.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use quinn::{StoppedError, VarInt};

use super::{
    super::{ConnectionError, ReadError, WriteError, backend},
    counted::{Counted, Direction, Tally},
};

#[derive(Debug)]
pub(in crate::transport) struct SendStream {
    inner: quinn::SendStream,
    written: Tally,
}

impl SendStream {
    pub(super) fn new(inner: quinn::SendStream, connection: Arc<Counted>) -> Self {
        Self { inner, written: Tally::new(connection, Direction::Written) }
    }

    /// Writes as much as fits now. Written chunks are empty afterwards; the last one may have been written in part.
    async fn write_some(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        let written = self.inner.write_chunks(chunks).await?;
        self.written.add(written.bytes);
        Ok(())
    }
}

/// Skips the empty chunks at the beginning.
fn left(mut chunks: &mut [Bytes]) -> &mut [Bytes] {
    while chunks.first().is_some_and(Bytes::is_empty) {
        chunks = &mut chunks[1..];
    }
    chunks
}

impl backend::SendStream for SendStream {
    async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        let mut left = left(chunks);
        while !left.is_empty() {
            self.write_some(left).await?;
            left = self::left(left);
        }
        Ok(())
    }

    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        let mut left = left(chunks);
        while !left.is_empty() {
            // As in `poll_read_chunk`, the future holds only borrows. It writes nothing unless it is ready.
            ready!(pin!(self.write_some(left)).poll(cx))?;
            left = self::left(left);
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) {
        // Fails only if the stream has ended in another way.
        let _ = self.inner.finish();
    }

    fn reset(&mut self, code: u32) {
        let _ = self.inner.reset(VarInt::from_u32(code));
    }

    async fn stopped(&self) -> Result<Option<u32>, ConnectionError> {
        match self.inner.stopped().await {
            Ok(code) => Ok(code.map(super::error::code)),
            Err(StoppedError::ConnectionLost(error)) => Err(error.into()),
            Err(StoppedError::ZeroRttRejected) => Err(ConnectionError::Transport("0-RTT rejected".into())),
        }
    }

    fn set_priority(&mut self, priority: i32) {
        // Fails only if the stream has ended.
        let _ = self.inner.set_priority(priority);
    }
}

#[derive(Debug)]
pub(in crate::transport) struct RecvStream {
    inner: quinn::RecvStream,
    read: Tally,
}

impl RecvStream {
    pub(super) fn new(inner: quinn::RecvStream, connection: Arc<Counted>) -> Self {
        Self { inner, read: Tally::new(connection, Direction::Read) }
    }
}

impl backend::RecvStream for RecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        // quinn has no public poll for chunks. Its future holds only borrows: the waker goes into the connection's
        // `blocked_readers`, stays there when the future is dropped, and is replaced by the next poll.
        let chunk = ready!(pin!(self.inner.read_chunk(max, true)).poll(cx))?.map(|chunk| chunk.bytes);
        self.read.add(chunk.as_ref().map_or(0, Bytes::len));
        Poll::Ready(Ok(chunk))
    }

    fn stop(&mut self, code: u32) {
        let _ = self.inner.stop(VarInt::from_u32(code));
    }
}
