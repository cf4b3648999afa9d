//! Counts the attempts that tower layers make of a call.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use crate::{Reply, Request, Status};

/// The attempts that layers have made of the call, without those that are known not to have run.
///
/// The count travels with the request and its clones. Without it, a retrying layer could return the last
/// attempt's *not executed* for a call whose first attempt ran.
#[derive(Debug, Clone, Default)]
pub(super) struct AttemptCount(Arc<AtomicUsize>);

impl AttemptCount {
    /// Starts to count the attempts of this call.
    pub(super) fn of(request: &mut Request) -> Self {
        let attempts = Self::default();
        request.insert_extension(attempts.clone());
        attempts
    }

    pub(super) fn may_have_run(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// The future of [`NextService`](super::NextService) and [`CallerService`](super::CallerService).
#[derive(Debug)]
#[must_use = "a call is not made until it is awaited"]
pub struct CallFuture<F> {
    call: F,
    attempts: Option<AttemptCount>,
    counted: bool,
}

impl<F> CallFuture<F> {
    pub(super) fn new(request: Request, call: impl FnOnce(Request) -> F) -> Self {
        let attempts = request.extension::<AttemptCount>().cloned();
        Self { call: call(request), attempts, counted: false }
    }
}

impl<F> Future for CallFuture<F>
where
    F: Future<Output = Result<Reply, Status>> + Unpin,
{
    type Output = Result<Reply, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Nothing is sent before the first poll. A call that is dropped after that stays counted, because it
        // may have run.
        if let (false, Some(attempts)) = (self.counted, &self.attempts) {
            attempts.0.fetch_add(1, Ordering::SeqCst);
            self.counted = true;
        }
        let poll = Pin::new(&mut self.call).poll(cx);
        if let (Poll::Ready(Err(status)), Some(attempts)) = (&poll, &self.attempts)
            && !status.maybe_executed()
        {
            attempts.0.fetch_sub(1, Ordering::SeqCst);
        }
        poll
    }
}
