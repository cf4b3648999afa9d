//! Frames that wait to be written: put in by many, written by the task that drives the lane, or by a caller that is alone.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};

use crate::transport::{SendStream, WriteError};

/// What one allocation of the buffer holds at least and, unless more is put in at once, at most. In between it has room
/// for four writes like the last: a connection at rest keeps the buffer that it had.
const SMALL_CHUNK: usize = 256;
const LARGE_CHUNK: usize = 16 << 10;
/// Calls that gather between two writes and are a crowd.
pub(in crate::session) const CROWD: usize = 128;
/// Writes with a crowd, one after the other, that make a lane crowded.
const CROWDED: u32 = 16;

/// Frames that wait. Whoever puts them in looks at how much there is before, and that bounds it.
#[derive(Debug, Default)]
pub(in crate::session) struct Outbox {
    state: Mutex<State>,
    /// Bytes that wait.
    length: AtomicUsize,
    /// How many writes of late, up to [`CROWDED`] twice, had a crowd to take along; fewer by one for each that had none.
    crowded: AtomicU32,
    /// The driver runs, and writes before it waits: nobody needs to wake it.
    awake: AtomicBool,
}

/// The stream that an outbox is written to.
#[derive(Debug)]
pub(super) struct Writer {
    send: SendStream,
    /// Taken out of the outbox, and not written yet.
    writing: [Bytes; 1],
}

impl Writer {
    pub(super) fn new(send: SendStream) -> Self {
        Self { send, writing: [Bytes::new()] }
    }

    pub(super) fn reset(&mut self, code: u32) {
        self.send.reset(code);
    }
}

#[derive(Debug, Default)]
struct State {
    buffer: BytesMut,
    /// The length of what was written last.
    written: usize,
    /// How many times something was put in since the last write.
    frames: usize,
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
        if self.awake.load(Ordering::Relaxed) { None } else { state.driver.take() }
    }

    /// The driver runs, and writes before it waits again. For the driver alone.
    ///
    /// Whoever sees it late wakes the driver for nothing. Nobody sees it for too long: it is taken back under the lock under
    /// which the driver finds nothing more to write, and what is put in after that, under the same lock, wakes it.
    pub(super) fn awake(&self) {
        self.awake.store(true, Ordering::Relaxed);
    }

    /// Writes all that waits, as far as the peer takes it. Ready when there is no more to write; then whoever `cx` is
    /// of, the driver, is woken when there is, and otherwise when the peer takes more.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        writer: &mut Writer,
    ) -> Poll<Result<(), WriteError>> {
        let Writer { send, writing } = writer;
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
            let crowd = std::mem::take(&mut state.frames) >= CROWD;
            drop(state);
            let crowded = self.crowded.load(Ordering::Relaxed);
            let now = if crowd { (crowded + 1).min(2 * CROWDED) } else { crowded.saturating_sub(1) };
            // Who writes has the writer for itself.
            if now != crowded {
                self.crowded.store(now, Ordering::Relaxed);
            }
        }
    }

    /// Whether writes had a crowd to take along again and again.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed) >= CROWDED
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
