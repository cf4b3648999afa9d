//! Calls that the peer makes.

pub(super) mod answer;
pub(super) mod forward;
pub(super) mod receive;
#[cfg(feature = "reflect")]
mod substitute;

use std::pin::{Pin, pin};

use tokio::{
    task::JoinSet,
    time::{Duration, Instant, timeout_at},
};
use tracing::{error, warn};

pub(crate) use self::forward::entry as forwarding_entry;
use self::receive::{Arrival, Refusal};
#[cfg(feature = "reflect")]
pub(crate) use self::substitute::call_instead;
use super::{
    Session,
    execution::{Execution, Turn},
    frame::FrameReader,
    lane,
};
use crate::{
    Code, Context, Status,
    context::Scope,
    limit::Shed,
    proto::{close, reset},
    transport::{ConnectionError, RecvStream, SendStream},
};

/// The time within which a request must have arrived, and a reply must have left, whatever the deadline.
pub(super) const TRANSIT: Duration = Duration::from_secs(60);

/// Bytes of a body up to which it is read before the call asks for its turn. A larger one is read after that, so that
/// it is not stored while the call waits.
const SMALL_BODY: u64 = 64 << 10;

/// The time within which a large body must have arrived while its call holds a turn.
const TRANSIT_IN_TURN: Duration = Duration::from_secs(10);

/// The time before a deadline in which a call that is given up counts as out of time: its caller's clock may differ.
const NEARLY: Duration = Duration::from_millis(100);

/// Takes the peer's calls, each as a task, until the connection ends. The tasks end with the future.
pub(super) async fn accept(session: &Session) -> ConnectionError {
    // The peer may have no more calls open than the transport lets it open streams.
    let mut calls = JoinSet::new();
    let mut allowed = session.limits().room().streams as usize;
    let most = session.limits().max_calls_per_connection() as usize;
    // Not in each call's task: those would all wait on one list.
    let mut cut = pin!(session.router().cut());
    let mut is_cut = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = session.connection().accept_bi() => accepted,
            () = &mut cut, if !is_cut => {
                is_cut = true;
                // Their streams are reset, which the peer takes for `Unavailable`; with a lane's, all calls on it.
                calls.abort_all();
                continue;
            }
        };
        match accepted {
            Ok((send, recv)) => {
                calls.spawn(serve(session.clone(), send, recv));
            }
            Err(error) => return error,
        }
        if allowed < most && calls.len() * 2 >= allowed {
            allowed = most.min(allowed * 4);
            session.connection().allow_streams(allowed as u32);
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

/// A stream that the peer has opened: a call, or its lane.
pub(super) fn serve(
    session: Session,
    send: SendStream,
    recv: RecvStream,
) -> impl Future<Output = ()> + Send + use<> {
    // In memory of its own, as a lane is: that stands as long as its connection, and needs less than a call does.
    let call = Box::pin(call(session, send, FrameReader::new(recv)));
    async move {
        if let Some(lane) = call.await {
            lane.await;
        }
    }
}

/// A call with a stream of its own; gives what serves the lane, where it is one.
async fn call(
    session: Session,
    mut send: SendStream,
    mut reader: FrameReader,
) -> Option<Pin<Box<impl Future<Output = ()> + Send + use<>>>> {
    let received = Instant::now();
    let at_work = session.at_work();
    let is_lane = timeout_at(received + TRANSIT, receive::is_lane(&session, &mut reader)).await;
    let refusal = match is_lane.unwrap_or(Err(Refusal::GivenUp(None))) {
        Ok(true) => {
            drop(at_work);
            return begin_lane(&session, send, reader);
        }
        Ok(false) => match admit(&session, &mut send, &mut reader, received).await {
            Ok(admitted) => {
                run(&session, admitted, reader, &mut send, received).await;
                return None;
            }
            Err(refusal) => refusal,
        },
        Err(refusal) => refusal,
    };
    refuse(session, send, reader, refusal).await;
    None
}

/// Returns the future that serves the peer's lane; `None` if the peer has one already or lanes are off.
pub(super) fn begin_lane(
    session: &Session,
    mut send: SendStream,
    reader: FrameReader,
) -> Option<Pin<Box<impl Future<Output = ()> + Send + use<>>>> {
    let Some(turn) = session.begin_lane() else {
        send.reset(reset::PROTOCOL);
        return None;
    };
    let most = session.limits().max_calls_per_connection();
    if session.limits().room().streams == most {
        // The lane is never done: without one more, where one call is allowed it would be the last.
        session.connection().allow_streams(most + 1);
    }
    let (recv, first) = reader.into_parts();
    Some(Box::pin(lane::serve(turn, send, recv, first)))
}

async fn refuse(session: Session, mut send: SendStream, mut reader: FrameReader, refusal: Refusal) {
    match refusal {
        Refusal::Status(status, code) => {
            reader.stop(code);
            session.inner.router.metrics().error(status.code());
            answer::status(&mut send, status).await;
        }
        Refusal::Draining => {
            reader.stop(reset::REFUSED);
            send.reset(reset::REFUSED);
        }
        Refusal::Malformed => send.reset(reset::PROTOCOL),
        Refusal::GivenUp(deadline) => {
            count_reset(&session, deadline);
            send.reset(reset::CANCELLED);
        }
    }
}

/// A call that may run.
struct Admitted {
    arrival: Arrival,
    turn: Turn,
}

/// Takes a request in, and waits for its turn before its body is decoded; before it is read, where it is large.
async fn admit(
    session: &Session,
    send: &mut SendStream,
    reader: &mut FrameReader,
    received: Instant,
) -> Result<Admitted, Refusal> {
    let router = &session.inner.router;
    let header = within(received + TRANSIT, receive::header(session, reader)).await?;
    let entry = receive::check(session, &header)?;
    let deadline = header.remaining.and_then(|remaining| received.checked_add(remaining));
    let by = |transit: Duration| {
        let transit = Instant::now() + transit;
        deadline.map_or(transit, |deadline| deadline.min(transit))
    };
    // A body that is small is here mostly, and is waited for before the turn: nobody holds one with what never comes.
    let mut body = None;
    if header.body_length <= SMALL_BODY {
        body = Some(within(by(TRANSIT), receive::body(session, reader, &entry, &header, deadline)).await?);
    }
    let permit = match router.gate() {
        Some(gate) if !entry.internal => tokio::select! {
            biased;
            permit = gate.enter(entry.method.priority(), deadline) => Some(permit.map_err(|shed| Refusal::Status(full(&shed), reset::CANCELLED))?),
            _ = send.stopped() => return Err(Refusal::GivenUp(deadline)),
            () = router.drained() => return Err(Refusal::Draining),
        },
        _ => None,
    };
    let body = match body {
        Some(body) => body,
        None => {
            let transit = if permit.is_some() { TRANSIT_IN_TURN } else { TRANSIT };
            within(by(transit), receive::body(session, reader, &entry, &header, deadline)).await?
        }
    };
    let in_flight = Some(router.enter().ok_or(Refusal::Draining)?);
    let scope = Scope { deadline, trace: forward::own_span(&entry, header.trace) };
    let turn = Turn { permit, in_flight };
    Ok(Admitted { arrival: Arrival { entry, header, body, scope }, turn })
}

/// Takes a message that does not arrive in time for one that its caller has given up.
async fn within<T>(by: Instant, arriving: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout_at(by, arriving).await.unwrap_or(Err(Refusal::GivenUp(None)))
}

pub(super) fn full(shed: &Shed) -> Status {
    let status = Status::resource_exhausted(format!(
        "the server is full: {} calls run at once, {} wait; try again later or elsewhere",
        shed.limit, shed.queued
    ));
    status.with_retry_after(shed.retry_after).not_executed()
}

/// The peer has given a call up. Each makes work and leaves its place to another: a peer that does nothing else is cut
/// off.
pub(super) fn count_reset(session: &Session, deadline: Option<Instant>) {
    let now = Instant::now();
    // One that leaves gives up all its calls, and makes no more work with that.
    if deadline.is_some_and(|deadline| deadline <= now + NEARLY)
        || session.connection().close_reason().is_some()
    {
        return;
    }
    let mut resets = session.inner.resets.lock();
    if !resets.take(now.into_std()) {
        let peer = session.connection().remote_addr();
        warn!(%peer, limit = session.limits().max_resets_per_second(), "peer gives up too many calls");
        session
            .connection()
            .close(close::TOO_MANY_RESETS, "too many calls given up: see max_resets_per_second");
    }
}

/// Runs the handler and sends its answer.
async fn run(
    session: &Session,
    admitted: Admitted,
    reader: FrameReader,
    send: &mut SendStream,
    received: Instant,
) {
    let Admitted { arrival: Arrival { entry, mut header, body, scope }, turn } = admitted;
    let relayed = forward::relayed(&entry, &mut header);
    let method = forward::method(&entry, relayed.as_deref(), header.items);
    if method.priority() != 0 {
        send.set_priority(method.priority().into());
    }
    let context = Context::new(method, session.clone(), scope, header.metadata)
        .with_relayed(relayed)
        .resuming(header.resume_after);
    let items = header.items.then(|| receive::items(session, reader, method, scope.deadline));
    let mut execution = Execution::start(session, entry, context, (body, items), received, turn);
    let result = tokio::select! {
        // Many handlers are ready at once; then nothing needs to be set up to hear of a cancellation.
        biased;
        result = execution.run() => result,
        _ = send.stopped() => {
            execution.given_up();
            return count_reset(session, scope.deadline);
        }
    };
    let code = answer::reply(session, execution.context(), execution.metrics(), send, result).await;
    if code == Some(Code::Cancelled) {
        execution.given_up();
        count_reset(session, scope.deadline);
    } else {
        execution.done(code);
    }
}
