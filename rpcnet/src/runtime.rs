//! The tokio runtime that a channel or a server belongs to.
//!
//! A socket and its connections belong to the runtime on which the socket was opened. A call may be awaited
//! elsewhere: on another runtime, which may stop at any time, or on an executor that is not tokio's. So tasks
//! are spawned on the socket's runtime, and timers are registered with it.

use std::{
    fmt,
    future::pending,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{EnterGuard, Handle},
    task::AbortHandle,
    time::Sleep,
};

use crate::Status;

/// A handle on the runtime on which a socket was opened. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    /// Owned by a task of the runtime, so it is gone once the runtime is shut down.
    alive: Weak<()>,
    task: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("id", &self.inner.handle.id()).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Returns the runtime of this thread, if it has one.
    pub(crate) fn current() -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        let held = Arc::new(());
        let alive = Arc::downgrade(&held);
        let task = handle.spawn(async move {
            pending::<()>().await;
            drop(held);
        });
        Some(Self { inner: Arc::new(Inner { alive, task: task.abort_handle(), handle }) })
    }

    /// The handle for spawning tasks on the runtime.
    pub(crate) fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    /// Makes this the thread's current runtime until the guard is dropped.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.inner.handle.enter()
    }

    /// Returns a timer of this runtime.
    pub(crate) fn sleep(&self, time: Duration) -> Sleep {
        let _entered = self.enter();
        tokio::time::sleep(time)
    }

    /// Returns true while the runtime runs. Polling a timer of a runtime that is shut down panics.
    pub(crate) fn is_alive(&self) -> bool {
        self.inner.alive.strong_count() > 0
    }

    /// Polls a future within this runtime, whichever executor polls the result. Once the runtime is shut
    /// down, the result is an error. Cancel-safe if the future is.
    pub(crate) fn within<F: Future + Unpin>(&self, future: F) -> Within<F> {
        Within { runtime: self.clone(), future }
    }

    /// As [`within`](Self::within), but returns `None` once the runtime is shut down.
    pub(crate) async fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        std::future::poll_fn(|cx| {
            if !self.is_alive() {
                return Poll::Ready(None);
            }
            let _entered = self.enter();
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// The error of a future whose runtime is shut down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShutDown;

impl From<ShutDown> for Status {
    fn from(_: ShutDown) -> Self {
        Self::unavailable("the tokio runtime on which the channel was made is shut down")
    }
}

/// A future that is polled within a runtime.
#[derive(Debug)]
pub(crate) struct Within<F> {
    runtime: Runtime,
    future: F,
}

impl<F, T, E> Future for Within<F>
where
    F: Future<Output = Result<T, E>> + Unpin,
    E: From<ShutDown>,
{
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { runtime, future } = &mut *self;
        if !runtime.is_alive() {
            return Poll::Ready(Err(ShutDown.into()));
        }
        let _entered = runtime.enter();
        Pin::new(future).poll(cx)
    }
}
