//! Runs a handler, with the interceptors around it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as Task, Poll, ready},
};

use bytes::Bytes;
use tracing::error;

use super::CancelOnDrop;
use crate::{
    Context, Reply, Request, Status, interceptor,
    message::{Items, ReplyFuture},
    service::Inbound,
    session::{Entry, Session, inbound::answer},
};

/// A handler at work, with the interceptors around it. A panic in them becomes `Internal` for this call alone.
pub(super) struct RunningHandler {
    entry: Entry,
    future: ReplyFuture,
    /// Set once the handler has run. Without interceptors nobody sets it,
    /// as no status but the handler's own can come.
    ran: Option<Arc<AtomicBool>>,
}

/// A server's view of a call that has arrived, handed through the interceptors in the request's extensions.
#[derive(Clone)]
struct Arrived {
    context: Context,
    entry: Entry,
    /// Set once a handler has run for the call, or may have.
    ran: Arc<AtomicBool>,
}

impl Request {
    /// On a server, what the handler will know of the call; `None` on a client.
    pub fn context(&self) -> Option<&Context> {
        self.extension().map(|Arrived { context, .. }| context)
    }
}

/// Starts a handler.
pub(super) fn start(
    session: &Session,
    entry: Entry,
    context: Context,
    body: Bytes,
    items: Option<Items>,
) -> RunningHandler {
    let ran = session.inner.router.interceptors().map(|_| Arc::<AtomicBool>::default());
    let start = || match session.inner.router.interceptors() {
        None => entry.service.call(entry.index, Inbound { context, body: body.into(), items }),
        Some(chain) => {
            let mut request = Request::new(entry.method, body);
            request.timeout = context.remaining();
            request.metadata = context.metadata().clone();
            request.trace = context.trace();
            if let Some(items) = items {
                request = request.with_items(items);
            }
            let ran = ran.clone().unwrap_or_default();
            request.insert_extension(Arrived { context, entry: entry.clone(), ran });
            chain.run(request)
        }
    };
    let future = catch_unwind(AssertUnwindSafe(start))
        .unwrap_or_else(|panic| Box::pin(std::future::ready(Err(panicked(&entry, &*panic)))));
    RunningHandler { entry, future, ran }
}

impl Future for RunningHandler {
    type Output = Result<Reply, Status>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Unwind safe: all state that the handler had borrowed is dropped with it and never looked at again.
        let handled = match catch_unwind(AssertUnwindSafe(|| this.future.as_mut().poll(task))) {
            Ok(poll) => ready!(poll),
            Err(panic) => Err(panicked(&this.entry, &*panic)),
        };
        // The status may be that of a call which an interceptor made itself, or of a second run.
        let ran = this.ran.as_ref().is_some_and(|ran| ran.load(Ordering::Relaxed));
        Poll::Ready(handled.map_err(|status| if ran { status.with_maybe_executed(true) } else { status }))
    }
}

fn panicked(entry: &Entry, panic: &(dyn Any + Send)) -> Status {
    error!(method = %entry.method, message = crate::session::panic_message(panic), "a handler panicked");
    entry.metrics.panicked();
    Status::internal(format!("{} panicked", entry.method))
}

/// The end of the chain of a server's interceptors: the handler.
#[derive(Debug)]
pub(crate) struct Dispatch;

impl interceptor::RequestHandler for Dispatch {
    fn call(&self, mut request: Request) -> ReplyFuture {
        let Some(arrived) = request.extensions.take() else {
            let status =
                Status::internal("a request that did not arrive here was handed to a server's handler");
            return Box::pin(std::future::ready(Err(status.not_executed())));
        };
        let Arrived { context, entry, ran } = Arc::unwrap_or_clone(arrived);
        let context = context.with_changes(request.metadata, request.extensions);
        let items = request.items.take();
        let inbound = Inbound { context: context.clone(), body: request.body, items };
        let handler = entry.service.call(entry.index, inbound);
        Box::pin(async move {
            // An interceptor may drop it while the call goes on.
            let mut cancel = CancelOnDrop::new(context);
            let mut run = MayHaveRun(Some(ran));
            let handled = handler.await;
            if handled.as_ref().is_err_and(|status| !status.maybe_executed()) {
                run.0 = None;
            }
            cancel.disarm();
            answer::gather(&cancel.context, handled)
        })
    }
}

/// Says that a handler has run, also where an interceptor drops it.
struct MayHaveRun(Option<Arc<AtomicBool>>);

impl Drop for MayHaveRun {
    fn drop(&mut self) {
        if let Some(ran) = &self.0 {
            ran.store(true, Ordering::Relaxed);
        }
    }
}
