//! quinn's streams as backends. Whether a drop resets is decided above: quinn itself would *finish* a dropped stream.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use quinn::{StoppedError, VarInt};

use super::super::{ConnectionError, ReadError, WriteError, backend};

#[derive(Debug)]
pub(in crate::transport) struct SendStream(quinn::SendStream);

impl SendStream {
    pub(super) fn new(inner: quinn::SendStream) -> Self {
        Self(inner)
    }
}

impl backend::SendStream for SendStream {
    async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        Ok(self.0.write_all_chunks(chunks).await?)
    }

    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        let mut left = &mut chunks[..];
        loop {
            while left.first().is_some_and(Bytes::is_empty) {
                left = &mut left[1..];
            }
            if left.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // As in reading: the future holds nothing but borrows, and writes nothing unless it is ready.
            ready!(pin!(self.0.write_chunks(left)).poll(cx))?;
        }
    }

    fn finish(&mut self) {
        // Fails only for a stream that has ended otherwise.
        let _ = self.0.finish();
    }

    fn reset(&mut self, code: u32) {
        let _ = self.0.reset(VarInt::from_u32(code));
    }

    async fn stopped(&self) -> Result<Option<u32>, ConnectionError> {
        match self.0.stopped().await {
            Ok(code) => Ok(code.map(super::error::code)),
            Err(StoppedError::ConnectionLost(error)) => Err(error.into()),
            Err(StoppedError::ZeroRttRejected) => Err(ConnectionError::Transport("0-RTT rejected".into())),
        }
    }

    fn set_priority(&mut self, priority: i32) {
        // Fails only for a stream that has ended.
        let _ = self.0.set_priority(priority);
    }
}

#[derive(Debug)]
pub(in crate::transport) struct RecvStream(quinn::RecvStream);

impl RecvStream {
    pub(super) fn new(inner: quinn::RecvStream) -> Self {
        Self(inner)
    }
}

impl backend::RecvStream for RecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        // quinn has no public poll for chunks. Its future holds nothing but borrows: the waker goes into the
        // connection's `blocked_readers`, stays there when the future is dropped, and is replaced by the next poll.
        let chunk = ready!(pin!(self.0.read_chunk(max, true)).poll(cx));
        Poll::Ready(Ok(chunk?.map(|chunk| chunk.bytes)))
    }

    fn stop(&mut self, code: u32) {
        let _ = self.0.stop(VarInt::from_u32(code));
    }
}
