//! The half of a stream that is written, sans-io.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    super::{ConnectionError, WriteError},
    receiving::WINDOW,
    sleeper::Sleeper,
};

/// Content of a packet. Far more than on a wire: it saves time, and losses are drawn per packet.
const PACKET: usize = 16 << 10;
/// Packets of one stream that wait for their acknowledgement: a writer beyond waits.
const IN_FLIGHT: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SendEnding {
    Finished,
    Reset,
}

#[derive(Debug)]
pub(super) struct OutgoingStream {
    offset: u64,
    limit: u64,
    /// Packets not acknowledged yet, lost ones among them.
    in_flight: usize,
    ending: Option<SendEnding>,
    stopped: Option<u32>,
    writer: Sleeper,
    /// Told when `outcome` may have changed.
    pub(super) watched: Arc<Notify>,
    /// Nobody holds the stream any more.
    pub(super) released: bool,
}

impl OutgoingStream {
    pub(super) fn new() -> Self {
        Self {
            offset: 0,
            limit: WINDOW,
            in_flight: 0,
            ending: None,
            stopped: None,
            writer: Sleeper::default(),
            watched: Arc::default(),
            released: false,
        }
    }

    /// A packet's worth of the chunk, with its offset, as far as the peer has room.
    pub(super) fn poll_write(
        &mut self,
        cx: &Context<'_>,
        chunk: &mut Bytes,
        ended: Option<&ConnectionError>,
    ) -> Poll<Result<(u64, Bytes), WriteError>> {
        if let Some(code) = self.stopped {
            return Poll::Ready(Err(WriteError::Stopped(code)));
        }
        if self.ending.is_some() {
            return Poll::Ready(Err(WriteError::Closed));
        }
        if let Some(error) = ended {
            return Poll::Ready(Err(error.clone().into()));
        }
        let room = usize::try_from(self.limit - self.offset).unwrap_or(usize::MAX).min(PACKET);
        if room == 0 || self.in_flight >= IN_FLIGHT {
            self.writer.keep(cx);
            return Poll::Pending;
        }
        let piece = chunk.split_to(room.min(chunk.len()));
        let offset = self.offset;
        self.offset += piece.len() as u64;
        self.in_flight += 1;
        Poll::Ready(Ok((offset, piece)))
    }

    /// Where the stream ends; `None` if it has ended already.
    pub(super) fn finish(&mut self) -> Option<u64> {
        if self.ending.is_some() {
            return None;
        }
        self.ending = Some(SendEnding::Finished);
        self.in_flight += 1;
        Some(self.offset)
    }

    /// Whether the peer has to be told.
    pub(super) fn reset(&mut self) -> bool {
        if self.ending == Some(SendEnding::Reset) || self.is_done() {
            return false;
        }
        self.ending = Some(SendEnding::Reset);
        self.in_flight += 1;
        true
    }

    pub(super) fn is_reset(&self) -> bool {
        self.ending == Some(SendEnding::Reset)
    }

    /// A packet has arrived, or is given up.
    pub(super) fn settled(&mut self) {
        self.in_flight -= 1;
        self.writer.wake();
        if self.is_done() {
            self.watched.notify_waiters();
        }
    }

    pub(super) fn credited(&mut self, limit: u64) {
        if limit > self.limit {
            self.limit = limit;
            self.writer.wake();
        }
    }

    pub(super) fn stopped(&mut self, code: u32) {
        if self.stopped.is_none() && !self.is_done() {
            self.stopped = Some(code);
            self.wake();
        }
    }

    /// Everything is there, or given up and the peer knows it.
    pub(super) fn is_done(&self) -> bool {
        self.ending.is_some() && self.in_flight == 0
    }

    /// What `stopped` says: the peer's code, or that there is nothing left to stop.
    pub(super) fn outcome(&self) -> Option<Option<u32>> {
        if self.stopped.is_some() {
            return Some(self.stopped);
        }
        self.is_done().then_some(None)
    }

    pub(super) fn wake(&mut self) {
        self.writer.wake();
        self.watched.notify_waiters();
    }
}
