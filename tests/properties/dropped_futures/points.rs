//! The points at which a future can be dropped.

use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::time::timeout;

/// More await points than any future here has.
const MOST: usize = 200;
/// The time after which a future that is not ready counts as one that never is. Anything awaited comes long before.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a future is dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// After so many polls, each but the first when it was woken.
    polls: usize,
    /// Not right after the last of these polls, but in place of the next: what woke it was meant for it, and must not
    /// be lost with it.
    woken: bool,
}

impl Point {
    /// A few in turn, for what is asked again and again.
    pub(crate) fn turn(index: usize) -> Self {
        Self { polls: index % 3, woken: index.is_multiple_of(2) }
    }

    /// Returns true if the future is polled at all.
    pub(crate) fn is_polled(self) -> bool {
        self.polls > 0
    }

    /// Returns true if at least this many polls come before the drop.
    pub(crate) fn is_after(self, polls: usize) -> bool {
        self.polls >= polls
    }

    /// Polls the future up to here, then drops it; its output if it was ready before.
    pub(crate) async fn drops<F: Future>(self, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        let mut polls = 0;
        let polling = poll_fn(|cx| {
            if polls == self.polls {
                return Poll::Ready(None);
            }
            polls += 1;
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if polls == self.polls && !self.woken => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        timeout(PATIENCE, polling).await.ok().flatten()
    }
}

/// Tries each point until the future is ready before it comes to it, which `attempt` gives as its result.
pub(crate) async fn at_each(mut attempt: impl AsyncFnMut(Point) -> bool) {
    for woken in [false, true] {
        let mut polls = 0;
        while !attempt(Point { polls, woken }).await {
            polls += 1;
            assert!(polls < MOST, "it is never ready");
        }
    }
}
