//! The streams that everything above the transport sees.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};

use super::{
    ConnectionError, ReadError, WriteError,
    backend::{RecvStream as _, SendStream as _},
    memory, quic,
};
use crate::proto::reset;

#[derive(Debug)]
pub(super) enum SendBackend {
    Quic(quic::SendStream),
    Memory(memory::SendStream),
}

#[derive(Debug)]
pub(super) enum RecvBackend {
    Quic(quic::RecvStream),
    Memory(memory::RecvStream),
}

macro_rules! dispatch {
    ($self:expr, $backend:ident, $stream:ident => $call:expr) => {
        match &mut $self.backend {
            $backend::Quic($stream) => $call,
            $backend::Memory($stream) => $call,
        }
    };
}

/// The half of a stream that is written.
///
/// Dropping it *resets* the stream unless it was finished: what was cut off half-way never looks whole.
#[derive(Debug)]
pub struct SendStream {
    backend: SendBackend,
    open: bool,
}

impl SendStream {
    pub(super) fn new(backend: SendBackend) -> Self {
        Self { backend, open: true }
    }

    /// Writes a chunk; waits while the peer does not read. Not cancel-safe: a part may have been written.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]; the stream is of no more use then.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.write_chunks(&mut [chunk]).await
    }

    /// Writes all chunks as [`write`](Self::write) does one; small ones leave in one packet.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]; the stream is of no more use then.
    pub async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        match &mut self.backend {
            SendBackend::Quic(stream) => stream.write_chunks(chunks).await,
            // The larger future of the two: over QUIC its room is not carried about.
            SendBackend::Memory(stream) => Box::pin(stream.write_chunks(chunks)).await,
        }
    }

    /// Writes what can be written now; ready when all is. What is left stays in `chunks`.
    pub(crate) fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        dispatch!(self, SendBackend, stream => stream.poll_write_chunks(cx, chunks))
    }

    /// Says that the stream ends here, whole.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.open) {
            dispatch!(self, SendBackend, stream => stream.finish());
        }
    }

    /// Gives the stream up: the peer reads an error with this code.
    pub fn reset(&mut self, code: u32) {
        self.open = false;
        dispatch!(self, SendBackend, stream => stream.reset(code));
    }

    /// Waits until the peer wants no more (its code), or has received all of a finished stream (`None`).
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// The connection's end.
    pub async fn stopped(&self) -> Result<Option<u32>, ConnectionError> {
        match &self.backend {
            SendBackend::Quic(stream) => stream.stopped().await,
            SendBackend::Memory(stream) => stream.stopped().await,
        }
    }

    /// What waits here leaves before what waits on streams of a lower priority; 0 at first. In memory it changes
    /// nothing.
    pub fn set_priority(&mut self, priority: i32) {
        dispatch!(self, SendBackend, stream => stream.set_priority(priority));
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.open {
            self.reset(reset::CANCELLED);
        }
    }
}

/// The half of a stream that is read. Dropping it tells the peer to stop.
#[derive(Debug)]
pub struct RecvStream {
    backend: RecvBackend,
    open: bool,
    stopped: bool,
}

impl RecvStream {
    pub(super) fn new(backend: RecvBackend) -> Self {
        Self { backend, open: true, stopped: false }
    }

    /// The next bytes, at most `max` of them; `None` at the stream's end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]; never taken for the end.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|cx| self.poll_read_chunk(cx, max)).await
    }

    /// [`read_chunk`](Self::read_chunk) for those who poll: the waker of the last call is the one that is woken.
    pub(crate) fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        // quinn would give the clean end here.
        if self.stopped {
            return Poll::Ready(Err(ReadError::Closed));
        }
        let read = ready!(dispatch!(self, RecvBackend, stream => stream.poll_read_chunk(cx, max)));
        if !matches!(read, Ok(Some(_))) {
            self.open = false;
        }
        Poll::Ready(read)
    }

    /// All up to the stream's end. Not cancel-safe: what was read is lost.
    ///
    /// # Errors
    ///
    /// [`ReadError::Closed`] when there is more than `limit` bytes: the peer is told to stop. Else as
    /// [`read_chunk`](Self::read_chunk).
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        let Some(first) = self.read_chunk(limit.saturating_add(1)).await? else { return Ok(Bytes::new()) };
        let mut rest = None::<BytesMut>;
        let mut length = first.len();
        loop {
            if length > limit {
                self.stop(reset::TOO_LARGE);
                return Err(ReadError::Closed);
            }
            let Some(chunk) = self.read_chunk(limit + 1 - length).await? else { break };
            length += chunk.len();
            rest.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&chunk);
        }
        Ok(rest.map_or(first, BytesMut::freeze))
    }

    /// Wants no more: the peer's writes fail with this code.
    pub fn stop(&mut self, code: u32) {
        if std::mem::take(&mut self.open) {
            self.stopped = true;
            dispatch!(self, RecvBackend, stream => stream.stop(code));
        }
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.stop(reset::CANCELLED);
    }
}
