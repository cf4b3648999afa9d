//! The receiving half of a stream, sans-io. It puts packets back in order.

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    super::{ConnectionError, ReadError},
    sleeper::Sleeper,
};

/// The bytes of a stream that may wait to be read. A writer waits when they are used up.
pub(super) const WINDOW: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Receiving {
    queue: VecDeque<Bytes>,
    /// Data behind a gap, by its offset. Bounded by the window.
    ahead: BTreeMap<u64, Bytes>,
    read: u64,
    arrived: u64,
    limit: u64,
    size: Option<u64>,
    reset: Option<u32>,
    stopped: bool,
    reader: Sleeper,
    /// The handle was dropped.
    pub(super) released: bool,
}

impl Receiving {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            ahead: BTreeMap::new(),
            read: 0,
            arrived: 0,
            limit: WINDOW,
            size: None,
            reset: None,
            stopped: false,
            reader: Sleeper::default(),
            released: false,
        }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &Context<'_>,
        max: usize,
        ended: Option<&ConnectionError>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        if let Some(code) = self.reset {
            return Poll::Ready(Err(ReadError::Reset(code)));
        }
        if self.stopped {
            return Poll::Ready(Err(ReadError::Closed));
        }
        if let Some(mut chunk) = self.queue.pop_front() {
            let piece = chunk.split_to(max.min(chunk.len()));
            if !chunk.is_empty() {
                self.queue.push_front(chunk);
            }
            self.read += piece.len() as u64;
            return Poll::Ready(Ok(Some(piece)));
        }
        if self.size == Some(self.read) {
            return Poll::Ready(Ok(None));
        }
        if let Some(error) = ended {
            return Poll::Ready(Err(error.clone().into()));
        }
        self.reader.keep(cx);
        Poll::Pending
    }

    /// Returns the offset up to which the peer may write, if it is to be told. As in quinn, it is told once at least an
    /// eighth of the window has become free.
    pub(super) fn credit(&mut self) -> Option<u64> {
        let limit = self.read + WINDOW;
        if self.size.is_some() || self.stopped || limit - self.limit < WINDOW / 8 {
            return None;
        }
        self.limit = limit;
        Some(limit)
    }

    pub(super) fn data(&mut self, offset: u64, bytes: Bytes, end: bool) {
        if self.reset.is_some() {
            return;
        }
        if end {
            self.size = Some(offset + bytes.len() as u64);
        }
        if self.stopped {
            return;
        }
        if !bytes.is_empty() {
            self.ahead.insert(offset, bytes);
        }
        while let Some(bytes) = self.ahead.remove(&self.arrived) {
            self.arrived += bytes.len() as u64;
            self.queue.push_back(bytes);
        }
        self.reader.wake();
    }

    /// Handles the peer's reset. A stream whose data has all arrived stays readable.
    pub(super) fn reset(&mut self, code: u32) {
        if self.reset.is_none() && self.size != Some(self.arrived) {
            self.reset = Some(code);
            self.forget();
            self.reader.wake();
        }
    }

    /// Stops the stream. Returns true if the peer has to be told.
    pub(super) fn stop(&mut self) -> bool {
        let tell = !self.stopped && !self.is_done();
        self.stopped = true;
        self.forget();
        tell
    }

    fn forget(&mut self) {
        self.queue.clear();
        self.ahead.clear();
    }

    /// Returns true if nothing is left to arrive or read.
    pub(super) fn is_done(&self) -> bool {
        self.reset.is_some() || self.size == Some(self.read) || self.stopped && self.size.is_some()
    }

    pub(super) fn wake(&mut self) {
        self.reader.wake();
    }
}
