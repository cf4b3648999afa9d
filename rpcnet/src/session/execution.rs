//! A handler at work. Every call runs this way: one with a stream of its own, one on a lane, and one that reflection
//! makes in place of another.
//!
//! An [`Execution`] holds all that begins and ends with the handler: the interceptors around it, the call's deadline,
//! its turn, its metrics, and its cancellation.

mod handler;
mod timer;

use std::{
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

pub(crate) use self::handler::Dispatch;
use self::{handler::RunningHandler, timer::CallTimer};
use super::{Entry, Session, router::CallGuard};
use crate::{
    Code, Context, Reply, Status,
    limit::{Permit, PermitOutcome},
    message::Items,
    metrics::MethodMetrics,
};

const ENDED: &str = "it is polled until the handler has ended";

/// A call's place among the calls that run.
pub(super) struct Turn {
    /// `None` where the server does not limit how many run.
    pub(super) permit: Option<Permit>,
    /// `None` where another call that is counted made this one.
    pub(super) in_flight: Option<CallGuard>,
}

/// A call that runs. Dropping it cancels the call, unless it is [`done`](Self::done).
pub(crate) struct Execution {
    context: CancelOnDrop,
    /// `None` once the handler has ended.
    handler: Option<RunningHandler>,
    timer: CallTimer,
    turn: Turn,
}

impl Execution {
    /// Starts the handler of a call that arrived then.
    pub(super) fn start(
        session: &Session,
        entry: Entry,
        context: Context,
        (body, items): (Bytes, Option<Items>),
        arrived: Instant,
        turn: Turn,
    ) -> Self {
        let timer = CallTimer::start(session, &entry, arrived);
        let handler = handler::start(session, entry, context.clone(), body, items);
        Self { context: CancelOnDrop::new(context), handler: Some(handler), timer, turn }
    }

    /// The context that the handler has.
    pub(crate) fn context(&self) -> &Context {
        &self.context.context
    }

    pub(super) fn metrics(&self) -> &MethodMetrics {
        self.timer.metrics()
    }

    /// Runs the handler until it ends or the call's time is up. Its context is cancelled in the second case.
    pub(super) async fn run(&mut self) -> Result<Reply, Status> {
        let scope = self.context().inherits();
        let handler = self.handler.as_mut().expect(ENDED);
        let Some(handled) = until(scope.deadline, scope.around(handler)).await else {
            self.handler = None;
            self.context().cancel();
            return Err(Status::deadline_exceeded(format!("{} ran out of time", self.context().method())));
        };
        self.ended(&handled);
        handled
    }

    /// Runs the handler as far as it goes without waiting. Its deadline is not looked at.
    pub(super) fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<Reply, Status>> {
        let scope = self.context().inherits();
        let handler = self.handler.as_mut().expect(ENDED);
        let handled = ready!(scope.enter(|| Pin::new(handler).poll(task)));
        self.ended(&handled);
        Poll::Ready(handled)
    }

    fn ended(&mut self, handled: &Result<Reply, Status>) {
        // Nothing of the handler is left when its caller has the answer.
        self.handler = None;
        // A stream keeps its turn to its end.
        if !handled.as_ref().is_ok_and(Reply::is_stream)
            && let Some(permit) = self.turn.permit.take()
        {
            permit.done(PermitOutcome::Completed);
        }
    }

    /// The call is over: with this code, where it ended in an error.
    pub(crate) fn done(mut self, error: Option<Code>) {
        self.done_at(Instant::now(), error);
    }

    /// As [`done`](Self::done), at this time. The call still counts as running until this is dropped.
    pub(super) fn done_at(&mut self, now: Instant, error: Option<Code>) {
        self.context.disarm();
        self.timer.end(now, error);
    }

    /// The caller gave the call up. The handler's context is cancelled.
    pub(super) fn given_up(mut self) {
        self.handler = None;
        self.timer.end(Instant::now(), Some(Code::Cancelled));
    }

    /// By which the call counts as running: for a reply that is on its way for longer than this stands.
    pub(super) fn take_in_flight(&mut self) -> Option<CallGuard> {
        self.turn.in_flight.take()
    }
}

/// Runs a future to its end; `None` if the deadline comes first.
pub(super) async fn until<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// Resolves [`Context::cancelled`] when the call ends before its handler does.
struct CancelOnDrop {
    context: Context,
    is_armed: bool,
}

impl CancelOnDrop {
    fn new(context: Context) -> Self {
        Self { context, is_armed: true }
    }

    /// The handler has ended: there is nothing to cancel.
    fn disarm(&mut self) {
        self.is_armed = false;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if self.is_armed {
            self.context.cancel();
        }
    }
}
