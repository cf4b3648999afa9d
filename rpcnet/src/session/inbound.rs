//! Calls that the peer makes.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::{debug, error};

use super::{Entry, Session, frame::FrameReader};
use crate::{
    Code, Context, Status, context,
    metrics::Timer,
    proto::{ReplyHeader, ReplyKind, RequestHeader, reset},
    service::{Handled, Inbound, Reply, ReplyItems},
    transport::{ConnectionError, RecvStream, SendStream},
};

/// Small replies are copied behind their header, so that both leave in one write.
const INLINE: usize = 2 << 10;
/// A request must have arrived within this time, whatever its deadline.
const ARRIVAL: Duration = Duration::from_secs(60);

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
    let arrived = timeout_at(received + ARRIVAL, receive(&session, &mut reader)).await;
    let (entry, header, body) = match arrived {
        Ok(Ok(request)) => request,
        Ok(Err(Refusal::Status(status))) => {
            session.inner.router.metrics().error(status.code());
            let _ = write_reply(&mut send, Reply::status(&status)).await;
            return;
        }
        Ok(Err(Refusal::Reset(code))) => return send.reset(code),
        Err(_) => return send.reset(reset::CANCELLED),
    };
    let Some(_in_flight) = session.inner.router.enter() else {
        reader.stop(reset::REFUSED);
        return send.reset(reset::REFUSED);
    };
    let timer = entry.metrics.start();
    let deadline = header.remaining.map(|remaining| received + remaining);
    let context = Context::new(entry.method, session.clone(), deadline, header.metadata);
    let mut cancel = CancelOnDrop(Some(context.clone()));
    let handler = guard(&entry, Inbound { context, body });
    let handler = context::with_deadline(deadline, handler);
    let handled = tokio::select! {
        // Many handlers are ready at once; then nothing needs to be set up to hear of a cancellation.
        biased;
        handled = until(deadline, handler) => handled,
        _ = send.stopped() => {
            timer.done(Some(Code::Cancelled));
            return;
        }
    };
    match handled {
        Some(Handled::Reply(reply)) => {
            cancel.0 = None;
            answer(&session, &entry, &mut send, reply, timer).await;
        }
        Some(Handled::Items(items)) => {
            let code = stream(&session, &mut send, items).await;
            if code != Some(Code::Cancelled) {
                cancel.0 = None;
            }
            timer.done(code);
        }
        None => {
            timer.done(Some(Code::DeadlineExceeded));
            let status = Status::deadline_exceeded(format!("{} ran out of time", entry.method));
            let _ = write_reply(&mut send, Reply::status(&status)).await;
        }
    }
}

/// Why a request goes no further.
enum Refusal {
    /// The peer is told with a status.
    Status(Status),
    /// The peer is told with a reset.
    Reset(u32),
}

async fn receive(
    session: &Session,
    reader: &mut FrameReader,
) -> Result<(Entry, RequestHeader, Bytes), Refusal> {
    let header = match reader.header(RequestHeader::decode).await {
        Ok(Some(header)) => header,
        Ok(None) => return Err(Refusal::Reset(reset::PROTOCOL)),
        Err(error) => {
            debug!(peer = %session.connection().remote_addr(), %error, "request not understood");
            return Err(Refusal::Reset(reset::PROTOCOL));
        }
    };
    let router = &session.inner.router;
    if router.is_draining() {
        reader.stop(reset::REFUSED);
        return Err(Refusal::Reset(reset::REFUSED));
    }
    let Some(entry) = router.find(header.method) else {
        let status = Status::unimplemented(format!(
            "no method with id {:#018x} is registered here; the services are {:?}",
            header.method,
            router.services()
        ));
        return Err(Refusal::Status(status.not_executed()));
    };
    if header.fingerprint != entry.method.fingerprint() {
        let status = Status::failed_precondition(format!(
            "{}: the caller was built with schema {:#018x}, the server with {:#018x} {:?}: build both from the same trait",
            entry.method,
            header.fingerprint,
            entry.method.fingerprint(),
            entry.method.signature(),
        ));
        return Err(Refusal::Status(status.not_executed()));
    }
    let limit = session.limits().max_message();
    if header.body_length > limit as u64 {
        reader.stop(reset::TOO_LARGE);
        let status = Status::resource_exhausted(format!(
            "the request of {} has {} bytes, the server's limit is {limit}: send less, or raise max_message",
            entry.method, header.body_length
        ));
        return Err(Refusal::Status(status.not_executed()));
    }
    match reader.body(header.body_length as usize).await {
        Ok(body) => {
            reader.take_end();
            Ok((entry, header, body))
        }
        Err(error) => {
            debug!(peer = %session.connection().remote_addr(), method = %entry.method, %error, "request broke off");
            Err(Refusal::Reset(reset::CANCELLED))
        }
    }
}

/// Runs the handler; a panic in it becomes `Internal` for this call alone.
async fn guard(entry: &Entry, inbound: Inbound) -> Handled {
    let started = catch_unwind(AssertUnwindSafe(|| entry.service.call(entry.index, inbound)));
    let mut handler = match started {
        Ok(handler) => handler,
        Err(panic) => return panicked(entry, &*panic),
    };
    poll_fn(|cx| {
        // What the handler had borrowed is dropped with it and never looked at again.
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(panicked(entry, &*panic)),
        }
    })
    .await
}

fn panicked(entry: &Entry, panic: &(dyn Any + Send)) -> Handled {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    error!(method = %entry.method, message, "a handler panicked");
    Handled::Reply(Reply::status(&Status::internal(format!("{} panicked", entry.method))))
}

async fn until<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

async fn answer(session: &Session, entry: &Entry, send: &mut SendStream, mut reply: Reply, timer: Timer) {
    let limit = session.limits().max_message();
    if reply.body.len() > limit {
        reply = Reply::status(&Status::resource_exhausted(format!(
            "the reply of {} has {} bytes, the server's limit is {limit}: ask for less, or raise max_message",
            entry.method,
            reply.body.len()
        )));
    }
    timer.done(match reply.kind {
        ReplyKind::Value | ReplyKind::Item => None,
        ReplyKind::Application => Some(Code::Unknown),
        ReplyKind::Status { code, .. } => Some(code),
    });
    if let Err(error) = write_reply(send, reply).await {
        debug!(method = %entry.method, %error, "reply not delivered");
    }
}

async fn write_reply(send: &mut SendStream, reply: Reply) -> Result<(), crate::transport::WriteError> {
    write_frame(send, reply.kind, reply.body).await?;
    send.finish();
    Ok(())
}

async fn write_frame(
    send: &mut SendStream,
    kind: ReplyKind,
    body: Bytes,
) -> Result<(), crate::transport::WriteError> {
    let mut buffer = BytesMut::with_capacity(32 + body.len().min(INLINE));
    ReplyHeader::new(kind, body.len()).encode(&mut buffer);
    if body.len() <= INLINE {
        buffer.extend_from_slice(&body);
        send.write(buffer.freeze()).await
    } else {
        send.write_chunks(&mut [buffer.freeze(), body]).await
    }
}

/// Writes items as they come, until they end or the peer wants no more. A stream may never end by itself, and its
/// reader may be dead unnoticed: draining ends it.
async fn stream(session: &Session, send: &mut SendStream, mut items: ReplyItems) -> Option<Code> {
    let limit = session.limits().max_message();
    loop {
        let next = tokio::select! {
            next = poll_fn(|cx| items.as_mut().poll_next(cx)) => next,
            _ = send.stopped() => return Some(Code::Cancelled),
            () = session.inner.router.drained() => Some(Err(Status::unavailable("the server is going away"))),
        };
        let written = match next {
            Some(Ok(item)) if item.len() <= limit => tokio::select! {
                written = write_frame(send, ReplyKind::Item, item) => written,
                // The reader does not read: it is not waited for.
                () = session.inner.router.drained() => return Some(Code::Unavailable),
            },
            Some(item) => {
                let status = match item {
                    Ok(item) => Status::resource_exhausted(format!(
                        "an item has {} bytes, the server's limit is {limit}",
                        item.len()
                    )),
                    Err(status) => status,
                };
                let code = status.code();
                let _ = write_reply(send, Reply::of_handler(status)).await;
                return Some(code);
            }
            None => {
                let _ = write_reply(send, Reply { kind: ReplyKind::Value, body: Bytes::new() }).await;
                return None;
            }
        };
        if written.is_err() {
            return Some(Code::Cancelled);
        }
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
