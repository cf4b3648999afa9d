//! A reply goes out.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::TRANSIT;
use crate::{
    Code, Context, Metadata, Method, Reply, Status,
    codec::Body,
    message::{Answer, Batch, Failure, Items, ItemsEnd, reply_too_large},
    metrics::MethodMetrics,
    proto::{self, ReplyHeader, ReplyKind, reset},
    session::{
        Session,
        execution::until,
        frame::{frame_buffer, write_frame},
        items::write_items,
    },
    transport::{SendStream, WriteError},
};

/// Sends what a handler came to; says with which code, where it was an error.
pub(super) async fn reply(
    session: &Session,
    context: &Context,
    metrics: &MethodMetrics,
    send: &mut SendStream,
    result: Result<Reply, Status>,
) -> Option<Code> {
    let method = context.method();
    match gather(context, result) {
        Ok(Reply { answer: Answer::Items(items), metadata, trailers, .. }) => {
            let load = session.router().load();
            let header = ReplyHeader { metadata, load, ..ReplyHeader::new(ReplyKind::Items, 0) };
            stream(session, context, metrics, send, header, items, trailers).await
        }
        result => {
            let (header, body, code) = frame(session, method, result);
            write(send, header, body).await;
            code
        }
    }
}

/// The frame of an answer that is not a stream, and its code, where it is an error.
pub(in crate::session) fn frame(
    session: &Session,
    method: &Method,
    result: Result<Reply, Status>,
) -> (ReplyHeader, Body, Option<Code>) {
    let limit = session.max_message(method);
    let status = match result {
        Ok(Reply { answer, metadata, trailers, .. }) => {
            let (kind, body, code) = match answer {
                Answer::Value(body) => (ReplyKind::Value, body, None),
                Answer::Application(body) => (ReplyKind::Application, body, Some(Code::Unknown)),
                Answer::Items(_) => unreachable!("a stream is no frame"),
            };
            if body.len() <= limit {
                let load = session.router().load();
                let header = ReplyHeader { metadata, trailers, load, ..ReplyHeader::new(kind, body.len()) };
                return (header, body, code);
            }
            reply_too_large(method, body.len(), "the server's", limit)
        }
        Err(status) => status,
    };
    let (header, body) = status_frame(&status);
    (header, body, Some(status.wire_code()))
}

/// The frame of a status.
pub(in crate::session) fn status_frame(status: &Status) -> (ReplyHeader, Body) {
    let kind = ReplyKind::Status { code: status.wire_code(), executed: status.maybe_executed() };
    let body = proto::encode_status(status);
    let header = ReplyHeader { trailers: status.metadata().clone(), ..ReplyHeader::new(kind, body.len()) };
    (header, body.into())
}

/// Sends a status as the whole reply.
pub(super) async fn status(send: &mut SendStream, status: Status) {
    let (header, body) = status_frame(&status);
    write(send, header, body).await;
}

/// Adds the metadata and trailers of the context to a handler's result. A stream's trailers are not final before its
/// end.
pub(in crate::session) fn gather(context: &Context, result: Result<Reply, Status>) -> Result<Reply, Status> {
    let mut metadata = context.take_metadata();
    match result {
        Ok(mut reply) => {
            metadata.append(reply.metadata);
            reply.metadata = metadata;
            if !reply.is_stream() {
                let mut trailers = context.take_trailers();
                trailers.append(reply.trailers);
                reply.trailers = trailers;
            }
            Ok(reply)
        }
        Err(status) => {
            metadata.append(context.take_trailers());
            if metadata.is_empty() {
                return Err(status);
            }
            metadata.append(status.metadata().clone());
            Err(status.with_metadata(metadata))
        }
    }
}

async fn write(send: &mut SendStream, header: ReplyHeader, body: Body) {
    let mut buffer = frame_buffer(32, &body);
    header.encode(&mut buffer);
    // A peer that does not read keeps nobody for longer than this.
    match timeout_at(Instant::now() + TRANSIT, write_frame(send, buffer, body)).await {
        Ok(Ok(())) => send.finish(),
        Ok(Err(error)) => debug!(%error, "reply not delivered"),
        Err(_) => send.reset(reset::DEADLINE),
    }
}

/// The time for which a stream that is to go on elsewhere may try to say so: a peer that does not read hears nothing.
const LEAVING: Duration = Duration::from_secs(1);

/// Resolves once a stream of this method should go on elsewhere: when the server drains, if the method is resumable.
async fn moves(session: &Session, method: &Method) {
    if method.resumable() {
        session.inner.router.drained().await;
    } else {
        std::future::pending().await
    }
}

/// Sends items as they come, until they end, the peer wants no more, the deadline passes, or they are to go on
/// elsewhere.
async fn stream(
    session: &Session,
    context: &Context,
    metrics: &MethodMetrics,
    send: &mut SendStream,
    header: ReplyHeader,
    mut items: Items,
    trailers: Metadata,
) -> Option<Code> {
    let method = context.method();
    let limit = session.max_message(method);
    let mut buffer = BytesMut::with_capacity(32);
    header.encode(&mut buffer);
    let mut batch = Batch::open(buffer);
    let scope = context.inherits();
    let leave = moves(session, method);
    let writing = write_items(send, &mut items, &mut batch, method, limit, Some(metrics), leave);
    let writing = until(scope.deadline, scope.around(writing));
    let stuck = async {
        moves(session, method).await;
        tokio::time::sleep(LEAVING).await;
    };
    let written = tokio::select! {
        biased;
        written = writing => written,
        () = stuck => {
            // A part of a frame may have been written. What is lost here the caller asks for elsewhere.
            send.reset(reset::CANCELLED);
            context.cancel();
            return Some(Code::Unavailable);
        }
    };
    let ended = match written {
        Some(Ok(ended)) => ended,
        Some(Err(WriteError::Stopped(_) | WriteError::Closed | WriteError::Connection(_))) => {
            return Some(Code::Cancelled);
        }
        // A part of a frame may have been written: what could follow would not be understood.
        None => {
            send.reset(reset::DEADLINE);
            context.cancel();
            return Some(Code::DeadlineExceeded);
        }
    };
    let code = match &ended.result {
        Ok(()) => None,
        Err(Failure::Application(_)) => Some(Code::Unknown),
        Err(Failure::Status(status)) => Some(status.wire_code()),
    };
    if code == Some(Code::Unavailable) && method.resumable() && session.router().is_draining() {
        context.cancel();
    }
    let mut more = context.take_trailers();
    more.append(trailers);
    batch.end(&ItemsEnd::frame(ended, more));
    let mut chunks = batch.take();
    match timeout_at(Instant::now() + TRANSIT, send.write_chunks(&mut chunks)).await {
        Ok(Ok(())) => send.finish(),
        Ok(Err(_)) => return Some(Code::Cancelled),
        Err(_) => send.reset(reset::DEADLINE),
    }
    code
}
