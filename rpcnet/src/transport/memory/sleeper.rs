//! A slot for the waker of one waiting task.

use std::task::{Context, Waker};

/// The waker of the last poll.
#[derive(Debug, Default)]
pub(super) struct Sleeper(Option<Waker>);

impl Sleeper {
    /// Stores the waker. The awaited state is checked under the same lock, so no wake-up is missed in between.
    pub(super) fn keep(&mut self, cx: &Context<'_>) {
        match &mut self.0 {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.0 = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}
