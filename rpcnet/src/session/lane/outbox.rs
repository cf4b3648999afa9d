//! Frames that wait to be written: put in by many, written by the task that drives the lane, or by a caller that is
//! alone.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::batching::BatchWindow;
use crate::{
    lock::Mutex,
    transport::{SendStream, WriteError},
};

/// Bytes of one allocation of the buffer: at least, and at most unless more is put in at once. In between it has room
/// for four writes like the last: a connection at rest keeps the buffer that it had.
const SMALL_CHUNK: usize = 256;
const LARGE_CHUNK: usize = 16 << 10;

/// Frames that wait. Whoever puts them in looks at how much there is before, and that bounds it.
#[derive(Debug, Default)]
pub(in crate::session) struct Outbox {
    state: Mutex<OutboxState>,
    /// Bytes that wait.
    length: AtomicUsize,
    /// The driver runs, and writes before it waits: nobody needs to wake it.
    awake: AtomicBool,
}

/// The other calls in flight when a frame is put in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Others {
    /// Calls that wait for their answers, with it.
    pub(super) at_work: usize,
    /// True while callers have their answers and are expected to make their next calls.
    pub(super) expected: bool,
}

/// The next step for the task that put a frame in.
#[derive(Debug)]
pub(super) enum Put {
    /// It leaves with others.
    Waits,
    /// The task wakes the driver.
    Wakes(Waker),
    /// The task writes the frame, with those that wait.
    Leaves,
}

/// The stream that an outbox is written to.
#[derive(Debug)]
pub(super) struct LaneWriter {
    send: SendStream,
    /// Taken out of the outbox, and not written yet.
    writing: [Bytes; 1],
}

impl LaneWriter {
    pub(super) fn new(send: SendStream) -> Self {
        Self { send, writing: [Bytes::new()] }
    }

    pub(super) fn reset(&mut self, code: u32) {
        self.send.reset(code);
    }
}

#[derive(Debug, Default)]
struct OutboxState {
    buffer: BytesMut,
    /// The length of what was written last.
    written: usize,
    /// Frames that were put in since the last write.
    frames: usize,
    /// While callers are expected back. The driver has yet to run then.
    gather: Option<BatchWindow>,
    /// Of the lane's driver, while it waits.
    driver: Option<Waker>,
}

impl Outbox {
    /// Puts frames in. They leave together with what others put in before the driver runs.
    pub(in crate::session) fn put(&self, write: impl FnOnce(&mut BytesMut)) {
        if let Some(driver) = self.fill(write) {
            driver.wake();
        }
    }

    /// Puts frames in, and gives whom to wake so that they are written.
    pub(super) fn fill(&self, write: impl FnOnce(&mut BytesMut)) -> Option<Waker> {
        self.fill_state(write).1
    }

    /// Puts a call in.
    pub(super) fn fill_call(&self, now: Instant, others: Others, write: impl FnOnce(&mut BytesMut)) -> Put {
        let (mut state, driver) = self.fill_state(write);
        let frames = state.frames;
        let Some(gather) = &mut state.gather else { return driver.map_or(Put::Waits, Put::Wakes) };
        if others.expected {
            return if gather.is_enough(frames, others.at_work, now) { Put::Leaves } else { Put::Waits };
        }
        state.gather = None;
        Put::Leaves
    }

    /// Callers were told and are expected back: until the driver has [had its turn](Self::gathered), what is put in
    /// waits. For the driver alone, before it wakes them.
    pub(super) fn gather(&self, gather: BatchWindow) {
        self.state().gather = Some(gather);
    }

    /// The driver's turn has come.
    pub(super) fn gathered(&self) {
        self.state().gather = None;
    }

    fn fill_state(&self, write: impl FnOnce(&mut BytesMut)) -> (MutexGuard<'_, OutboxState>, Option<Waker>) {
        let mut state = self.state();
        if state.buffer.is_empty()
            && state.buffer.capacity() < state.written.clamp(SMALL_CHUNK / 4, LARGE_CHUNK)
        {
            let chunk = (4 * state.written).clamp(SMALL_CHUNK, LARGE_CHUNK);
            state.buffer = BytesMut::with_capacity(chunk);
        }
        write(&mut state.buffer);
        state.frames += 1;
        self.length.store(state.buffer.len(), Ordering::Relaxed);
        let driver = if self.awake.load(Ordering::Relaxed) { None } else { state.driver.take() };
        (state, driver)
    }

    /// The driver runs, and writes before it waits again. For the driver alone.
    ///
    /// A caller that sees the mark late wakes the driver for nothing. No caller sees it for too long: the driver takes the
    /// mark back under the lock under which it finds nothing more to write. A frame that is put in later, under the same
    /// lock, wakes the driver.
    pub(super) fn awake(&self) {
        self.awake.store(true, Ordering::Relaxed);
    }

    /// Writes all that waits, as far as the peer takes it. Ready when there is no more to write; then whoever `cx` is
    /// of, the driver, is woken when there is, and otherwise when the peer takes more.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        writer: &mut LaneWriter,
    ) -> Poll<Result<(), WriteError>> {
        let LaneWriter { send, writing } = writer;
        loop {
            if !writing[0].is_empty() {
                match send.poll_write_chunks(cx, writing) {
                    Poll::Ready(Ok(())) => {}
                    other => return other,
                }
            }
            let mut state = self.state();
            if state.buffer.is_empty() {
                self.awake.store(false, Ordering::Relaxed);
                if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
                    state.driver = Some(cx.waker().clone());
                }
                return Poll::Ready(Ok(()));
            }
            writing[0] = state.buffer.split().freeze();
            state.written = writing[0].len();
            self.length.store(0, Ordering::Relaxed);
            state.frames = 0;
        }
    }

    /// Bytes that wait, beside those that are being written.
    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Takes what waits, in place of the driver.
    #[cfg(feature = "measuring")]
    pub(super) fn take(&self) -> Bytes {
        self.state().buffer.split().freeze()
    }

    fn state(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock()
    }
}
