//! A call that is made in place of one that has arrived: of another method, for the same caller, on this side of the
//! wire. What holds for calls that arrive holds for it: admission, size, deadline, interceptors, metrics.

use tokio::time::Instant;

use super::{CallTimer, CancelOnDrop, answer, full, handler, until};
use crate::{
    Code, Context, Reply, Status,
    codec::Body,
    limit::{Permit, PermitOutcome},
    message::{Answer, Items},
    session::Entry,
};

/// A call of which more is to come: it has its turn, and is counted, until this is dropped. Then it was cancelled,
/// unless it was [`done`](Self::done).
pub(crate) struct Running {
    context: Context,
    cancel: CancelOnDrop,
    timer: CallTimer,
    permit: Option<Permit>,
}

impl Running {
    /// What the handler knows of its call.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The call has ended; with this code, where it was in an error.
    pub(crate) fn done(mut self, code: Option<Code>, outcome: PermitOutcome) {
        self.cancel.0 = None;
        self.timer.done(code);
        if let Some(permit) = self.permit {
            permit.done(outcome);
        }
    }
}

/// Calls a method, of which this is the context, in place of another one. What the arguments are is asked once it is
/// its turn.
///
/// Where the reply is a stream, the call runs until that ends. Nobody looks at its deadline from then on but who reads.
pub(crate) async fn call_instead(
    context: Context,
    entry: &Entry,
    arguments: impl FnOnce() -> Result<Body, Status>,
    items: Option<Items>,
) -> Result<(Reply, Option<Running>), Status> {
    let (session, method, since) = (context.session().clone(), entry.method, Instant::now());
    let scope = context.inherits();
    let permit = match session.router().gate() {
        Some(gate) if !entry.internal => tokio::select! {
            biased;
            permit = gate.enter(method.priority(), scope.deadline) => Some(permit.map_err(|shed| full(&shed))?),
            () = session.router().drained() => {
                return Err(Status::unavailable("the server is draining").not_executed());
            }
        },
        _ => None,
    };
    let body = arguments()?;
    let limit = session.max_message(method);
    if body.len() > limit {
        return Err(Status::resource_exhausted(format!(
            "the request of {method} has {} bytes, the server's limit is {limit}: send less, or raise max_message",
            body.len()
        ))
        .not_executed());
    }
    let running = Running {
        context: context.clone(),
        cancel: CancelOnDrop(Some(context.clone())),
        timer: CallTimer::start(&session, entry, since),
        permit,
    };
    let handler = handler::start(&session, entry.clone(), context.clone(), body.into_bytes(), items);
    let Some(handled) = until(scope.deadline, scope.around(handler)).await else {
        context.cancel();
        running.done(Some(Code::DeadlineExceeded), PermitOutcome::Abandoned);
        return Err(Status::deadline_exceeded(format!("{method} ran out of time")));
    };
    let reply = match answer::gather(&context, handled) {
        Ok(reply) => reply,
        Err(status) => {
            running.done(Some(status.wire_code()), PermitOutcome::Completed);
            return Err(status);
        }
    };
    let (code, length) = match &reply.answer {
        Answer::Items(_) => return Ok((reply, Some(running))),
        Answer::Value(body) => (None, body.len()),
        Answer::Application(body) => (Some(Code::Unknown), body.len()),
    };
    if length > limit {
        running.done(Some(Code::ResourceExhausted), PermitOutcome::Completed);
        return Err(Status::resource_exhausted(format!(
            "the reply of {method} has {length} bytes, the server's limit is {limit}: ask for less, or raise max_message"
        )));
    }
    running.done(code, PermitOutcome::Completed);
    Ok((reply, None))
}
