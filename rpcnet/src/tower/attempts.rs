//! What has become of a call inside of the layers around it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use crate::{Reply, Request, Status};

/// The attempts that layers have made of one call, those left out that are known not to have run.
///
/// It travels with the request and its clones. Without it, a layer that tries again could give back *not executed*, the
/// last attempt's truth, for a call whose first attempt ran.
#[derive(Debug, Clone, Default)]
pub(super) struct AttemptCount(Arc<AtomicUsize>);

impl AttemptCount {
    /// Begins to count those of this call.
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
        // Nothing is sent before it is first polled. Dropped after that, it stays counted: it may have run.
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
