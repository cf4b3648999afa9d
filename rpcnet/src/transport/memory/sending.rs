//! The sending half of a stream, sans-io.

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

/// The content bytes of a packet. Far more than in a real packet: that saves time, and losses are drawn for each
/// packet.
const PACKET: usize = 16 << 10;
/// The packets of one stream that may wait for their acknowledgement. Beyond it, a writer waits.
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
    /// The number of packets that are not acknowledged, including lost ones.
    in_flight: usize,
    ending: Option<SendEnding>,
    stopped: Option<u32>,
    writer: Sleeper,
    /// Signalled when `outcome` may have changed.
    pub(super) watched: Arc<Notify>,
    /// The handle was dropped.
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

    /// Takes at most one packet from the chunk, as far as the peer's window allows. Returns it with its offset.
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

    /// Finishes the stream. Returns its size; `None` if it has ended already.
    pub(super) fn finish(&mut self) -> Option<u64> {
        if self.ending.is_some() {
            return None;
        }
        self.ending = Some(SendEnding::Finished);
        self.in_flight += 1;
        Some(self.offset)
    }

    /// Resets the stream. Returns true if the peer has to be told.
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

    /// Handles a packet that has arrived or was given up.
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

    /// Returns true if the stream has ended, and the peer has acknowledged all packets.
    pub(super) fn is_done(&self) -> bool {
        self.ending.is_some() && self.in_flight == 0
    }

    /// Returns the outcome for `stopped`: the peer's code, or `None` if there is nothing left to stop.
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
