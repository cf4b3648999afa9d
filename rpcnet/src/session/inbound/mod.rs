//! Calls that the peer makes.

mod answer;
mod handler;
mod receive;

use tokio::{
    task::JoinSet,
    time::{Duration, Instant, timeout_at},
};
use tracing::error;

pub(crate) use self::handler::Dispatch;
use self::receive::{Arrival, Refusal};
use super::{Session, frame::FrameReader};
use crate::{
    Code, Context, Status,
    context::Scope,
    metrics::Timer,
    proto::reset,
    transport::{ConnectionError, RecvStream, SendStream},
};

/// A request must have arrived, and a reply must have left, within this time, whatever its deadline.
const TRANSIT: Duration = Duration::from_secs(60);

/// Takes the peer's calls, each as a task, until the connection ends. The tasks end with the future.
pub(super) async fn accept(session: &Session) -> ConnectionError {
    // The peer may have no more calls open than the transport lets it open streams.
    let mut calls = JoinSet::new();
    loop {
        match session.connection().accept_bi().await {
            Ok((send, recv)) => {
                calls.spawn(serve(session.clone(), send, recv));
            }
            Err(error) => return error,
        }
        // Only now, not when each call ends: that would wake this task, and the session's others, for every call.
        // What has ended and waits here is bounded as the calls are.
        while let Some(ended) = calls.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                error!(%error, "a call's task panicked outside its handler");
            }
        }
    }
}

async fn serve(session: Session, mut send: SendStream, recv: RecvStream) {
    let mut reader = FrameReader::new(recv);
    let received = Instant::now();
    let arrived = timeout_at(received + TRANSIT, receive::receive(&session, &mut reader)).await;
    let arrival = match arrived {
        Ok(Ok(arrival)) => arrival,
        Ok(Err(Refusal::Status(status))) => {
            session.inner.router.metrics().error(status.code());
            return answer::status(&mut send, status).await;
        }
        Ok(Err(Refusal::Reset(code))) => return send.reset(code),
        Err(_) => return send.reset(reset::CANCELLED),
    };
    let Some(_in_flight) = session.inner.router.enter() else {
        reader.stop(reset::REFUSED);
        return send.reset(reset::REFUSED);
    };
    let timer = arrival.entry.metrics.start();
    run(&session, arrival, reader, &mut send, received, timer).await;
}

/// Runs the handler and sends what it comes to.
async fn run(
    session: &Session,
    arrival: Arrival,
    reader: FrameReader,
    send: &mut SendStream,
    received: Instant,
    timer: Timer,
) {
    let Arrival { entry, header, body } = arrival;
    let method = entry.method;
    if method.priority() != 0 {
        send.set_priority(method.priority().into());
    }
    let scope = Scope {
        deadline: header.remaining.and_then(|remaining| received.checked_add(remaining)),
        trace: header.trace.map(|trace| trace.child(&mut rand::rng())),
    };
    let context = Context::new(method, session.clone(), scope, header.metadata);
    let mut cancel = CancelOnDrop(Some(context.clone()));
    let items = header.items.then(|| receive::items(session, reader, method, scope.deadline));
    let handler = handler::run(session, &entry, context.clone(), body, items);
    let handled = tokio::select! {
        // Many handlers are ready at once; then nothing needs to be set up to hear of a cancellation.
        biased;
        handled = until(scope.deadline, scope.around(handler)) => handled,
        _ = send.stopped() => {
            timer.done(Some(Code::Cancelled));
            return;
        }
    };
    let result =
        handled.unwrap_or_else(|| Err(Status::deadline_exceeded(format!("{method} ran out of time"))));
    if matches!(&result, Err(status) if status.code() == Code::DeadlineExceeded) {
        context.cancel();
    }
    let code = answer::reply(session, &context, send, result).await;
    if code != Some(Code::Cancelled) {
        cancel.0 = None;
    }
    timer.done(code);
}

async fn until<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// Tells those who wait for [`Context::cancelled`] when the call ends before its handler does.
struct CancelOnDrop(Option<Context>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.cancel();
        }
    }
}
