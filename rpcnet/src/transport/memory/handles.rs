//! The two halves of a stream, as handles of the application.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::{
    super::{ConnectionError, ReadError, WriteError, backend},
    frame::StreamId,
    link::MemoryLink,
};

pub(in crate::transport) struct SendStream {
    link: Arc<MemoryLink>,
    side: usize,
    id: StreamId,
}

impl SendStream {
    pub(super) fn new(link: Arc<MemoryLink>, side: usize, id: StreamId) -> Self {
        Self { link, side, id }
    }
}

impl backend::SendStream for SendStream {
    async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        for chunk in chunks {
            while !chunk.is_empty() {
                let write = |cx: &mut Context<'_>| {
                    self.link.with(|pair, io| pair.poll_write(self.side, self.id, cx, chunk, io))
                };
                poll_fn(write).await?;
            }
        }
        let ended = self.link.with(|pair, _| pair.end(self.side).ended.clone());
        ended.map_or(Ok(()), |error| Err(error.into()))
    }

    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        for chunk in chunks {
            while !chunk.is_empty() {
                ready!(self.link.with(|pair, io| pair.poll_write(self.side, self.id, cx, chunk, io)))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) {
        self.link.with(|pair, io| pair.finish(self.side, self.id, io));
    }

    fn reset(&mut self, code: u32) {
        self.link.with(|pair, io| pair.reset(self.side, self.id, code, io));
    }

    async fn stopped(&self) -> Result<Option<u32>, ConnectionError> {
        loop {
            let watched = match self.link.with(|pair, _| pair.stopped(self.side, self.id)) {
                Ok(outcome) => return outcome,
                Err(watched) => watched,
            };
            // A `Notified` counts from its creation on. The state may have changed before that, so it is checked again.
            let changed = watched.notified();
            if let Ok(outcome) = self.link.with(|pair, _| pair.stopped(self.side, self.id)) {
                return outcome;
            }
            changed.await;
        }
    }

    fn set_priority(&mut self, _priority: i32) {}
}

impl Drop for SendStream {
    fn drop(&mut self) {
        self.link.with(|pair, io| pair.release(self.side, self.id, true, io));
    }
}

pub(in crate::transport) struct RecvStream {
    link: Arc<MemoryLink>,
    side: usize,
    id: StreamId,
}

impl RecvStream {
    pub(super) fn new(link: Arc<MemoryLink>, side: usize, id: StreamId) -> Self {
        Self { link, side, id }
    }
}

impl backend::RecvStream for RecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        self.link.with(|pair, io| pair.poll_read(self.side, self.id, cx, max, io))
    }

    fn stop(&mut self, code: u32) {
        self.link.with(|pair, io| pair.stop(self.side, self.id, code, io));
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.link.with(|pair, io| pair.release(self.side, self.id, false, io));
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream").field("id", &self.id).finish_non_exhaustive()
    }
}
