//! The streams that the layers above the transport use.

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

/// The sending half of a stream.
///
/// Dropping it *resets* the stream unless it was finished, so that the peer never takes a truncated stream for a whole
/// one.
#[derive(Debug)]
pub struct SendStream {
    backend: SendBackend,
    open: bool,
}

impl SendStream {
    pub(super) fn new(backend: SendBackend) -> Self {
        Self { backend, open: true }
    }

    /// Writes a chunk. Waits while the peer does not read. Not cancel-safe: a part of the chunk may have been written.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]. The stream can't be used after an error.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.write_chunks(&mut [chunk]).await
    }

    /// Writes all chunks in the same way as [`write`](Self::write). Small chunks share a packet.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]. The stream can't be used after an error.
    pub async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        match &mut self.backend {
            SendBackend::Quic(stream) => stream.write_chunks(chunks).await,
            // The larger one of the two futures: boxed, so that futures of QUIC streams stay small.
            SendBackend::Memory(stream) => Box::pin(stream.write_chunks(chunks)).await,
        }
    }

    /// Writes as much as fits now. Ready once all chunks are written; until then, `chunks` holds the rest.
    pub(crate) fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        dispatch!(self, SendBackend, stream => stream.poll_write_chunks(cx, chunks))
    }

    /// Ends the stream cleanly: the peer reads its end after all data.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.open) {
            dispatch!(self, SendBackend, stream => stream.finish());
        }
    }

    /// Abandons the stream: the peer's read fails with this code.
    pub fn reset(&mut self, code: u32) {
        self.open = false;
        dispatch!(self, SendBackend, stream => stream.reset(code));
    }

    /// Waits until the peer stops the stream (returns its code), or has received all of a finished stream (`None`).
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// The reason why the connection ended.
    pub async fn stopped(&self) -> Result<Option<u32>, ConnectionError> {
        match &self.backend {
            SendBackend::Quic(stream) => stream.stopped().await,
            SendBackend::Memory(stream) => stream.stopped().await,
        }
    }

    /// Sets the stream's priority, at first 0. Data on streams of a higher priority is sent first. Has no effect in
    /// memory.
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

/// The receiving half of a stream. Dropping it tells the peer to stop sending.
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

    /// Reads at most `max` bytes; `None` at the stream's end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]. An error never looks like the stream's end.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|cx| self.poll_read_chunk(cx, max)).await
    }

    /// Polls for [`read_chunk`](Self::read_chunk). Only the waker of the last poll is woken.
    pub(crate) fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        // For a stopped stream quinn would return a clean end.
        if self.stopped {
            return Poll::Ready(Err(ReadError::Closed));
        }
        let read = ready!(dispatch!(self, RecvBackend, stream => stream.poll_read_chunk(cx, max)));
        if !matches!(read, Ok(Some(_))) {
            self.open = false;
        }
        Poll::Ready(read)
    }

    /// Reads everything up to the stream's end. Not cancel-safe: data that was already read is lost.
    ///
    /// # Errors
    ///
    /// [`ReadError::Closed`] if the stream has more than `limit` bytes; the peer is told to stop. Otherwise the errors
    /// of [`read_chunk`](Self::read_chunk).
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

    /// Tells the peer to stop sending: its writes fail with this code.
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
