//! Frames that wait to be written: put in by many, written by the one task that drives the lane.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};

use crate::transport::{SendStream, WriteError};

/// What one allocation of the buffer holds.
const CHUNK: usize = 16 << 10;
/// Answers that may wait while their peer does not read, before it is not heard any more.
const FULL: usize = 256 << 10;

/// Frames that wait. A caller's is bounded by its calls: each has one message here at most, and each message is bounded.
/// A server's is bounded in the same way by the calls at work, and by [`is_full`](Self::is_full) otherwise.
#[derive(Debug, Default)]
pub(in crate::session) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buffer: BytesMut,
    /// Of the lane's driver, while it waits.
    driver: Option<Waker>,
}

impl Outbox {
    /// Puts frames in. They leave together with what others put in before the driver runs.
    pub(in crate::session) fn put(&self, write: impl FnOnce(&mut BytesMut)) {
        let driver = {
            let mut state = self.state();
            if state.buffer.capacity() == state.buffer.len() {
                state.buffer.reserve(CHUNK);
            }
            write(&mut state.buffer);
            state.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Writes all that waits, as far as the peer takes it. Ready when there is no more to write; the driver is woken
    /// when there is.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        send: &mut SendStream,
        writing: &mut [Bytes; 1],
    ) -> Poll<Result<(), WriteError>> {
        loop {
            if !writing[0].is_empty() {
                match send.poll_write_chunks(cx, writing) {
                    Poll::Ready(Ok(())) => {}
                    other => return other,
                }
            }
            let mut state = self.state();
            if state.buffer.is_empty() {
                if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
                    state.driver = Some(cx.waker().clone());
                }
                return Poll::Ready(Ok(()));
            }
            writing[0] = state.buffer.split().freeze();
        }
    }

    /// Takes what waits, in place of the driver.
    #[cfg(feature = "measuring")]
    pub(super) fn take(&self) -> Bytes {
        self.state().buffer.split().freeze()
    }

    /// So much waits that nothing more should be asked for which leads to answers.
    pub(super) fn is_full(&self) -> bool {
        self.state().buffer.len() >= FULL
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
