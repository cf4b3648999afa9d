//! A call that is made in place of one that has arrived: of another method, for the same caller, on this side of the
//! wire. What holds for calls that arrive holds for it: admission, size, deadline, interceptors, metrics.

use tokio::time::Instant;

use super::{answer, full};
use crate::{
    Code, Context, Reply, Status,
    codec::Body,
    message::{Answer, Items, reply_too_large, too_large},
    session::{
        Entry,
        execution::{Execution, Turn},
    },
};

/// Calls a method, of which this is the context, in place of another one. What the arguments are is asked once it is
/// its turn.
///
/// Where the reply is a stream, the call runs until that ends. Nobody looks at its deadline from then on but who reads.
pub(crate) async fn call_instead(
    context: Context,
    entry: &Entry,
    arguments: impl FnOnce() -> Result<Body, Status>,
    items: Option<Items>,
) -> Result<(Reply, Option<Execution>), Status> {
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
        return Err(too_large(format_args!("the request of {method}"), body.len(), "the server's", limit)
            .not_executed());
    }
    let turn = Turn { permit, in_flight: None };
    let arguments = (body.into_bytes(), items);
    let mut execution = Execution::start(&session, entry.clone(), context, arguments, since, turn);
    let handled = execution.run().await;
    let reply = match answer::gather(execution.context(), handled) {
        Ok(reply) => reply,
        Err(status) => {
            execution.done(Some(status.wire_code()));
            return Err(status);
        }
    };
    let (code, length) = match &reply.answer {
        Answer::Items(_) => return Ok((reply, Some(execution))),
        Answer::Value(body) => (None, body.len()),
        Answer::Application(body) => (Some(Code::Unknown), body.len()),
    };
    if length > limit {
        execution.done(Some(Code::ResourceExhausted));
        return Err(reply_too_large(method, length, "the server's", limit));
    }
    execution.done(code);
    Ok((reply, None))
}
