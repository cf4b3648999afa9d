//! Calls that this side makes.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::{
    Reading, Session,
    frame::{FrameError, FrameReader},
};
use crate::{
    Code, Method, Status,
    client::Request,
    proto::{self, ReplyHeader, ReplyKind, RequestHeader, reset},
    service::{Reply, malformed},
    transport::{ConnectionError, ReadError, SendStream, WriteError},
};

/// Bodies up to this size are copied behind their header, so that both leave in one write.
const INLINE: usize = 2 << 10;

/// The call was refused before its handler started.
fn refused(why: &'static str) -> Status {
    Status::unavailable(why).not_executed()
}

impl Session {
    /// Makes a call and waits for its one reply. Dropping the future cancels it, at the peer too.
    pub(crate) async fn call(&self, request: &Request, deadline: Instant) -> Result<Reply, Status> {
        let sent = AtomicBool::new(false);
        let exchange = async {
            let (_send, mut reader) = self.open(request, deadline, &sent).await?;
            let frame = self.read_frame(&mut reader, request.method).await?;
            reader.take_end();
            match frame {
                (ReplyKind::Status { code, executed }, body) => {
                    Err(answered(code, executed, body, request.method))
                }
                (kind, body) => Ok(Reply { kind, body }),
            }
        };
        let _waiting = self.waiting();
        match timeout_at(deadline, exchange).await {
            Ok(result) => result,
            Err(_) => Err(out_of_time(request, &sent)),
        }
    }

    /// Makes a call whose reply is a stream of items. The deadline is for its start alone.
    pub(crate) async fn call_items(&self, request: &Request, deadline: Instant) -> Result<Items, Status> {
        let sent = AtomicBool::new(false);
        match timeout_at(deadline, self.open(request, deadline, &sent)).await {
            Ok(opened) => {
                let (send, reader) = opened?;
                Ok(Items { reading: self.reading(), method: request.method, _send: send, reader })
            }
            Err(_) => Err(out_of_time(request, &sent)),
        }
    }

    async fn open(
        &self,
        request: &Request,
        deadline: Instant,
        sent: &AtomicBool,
    ) -> Result<(SendStream, FrameReader), Status> {
        {
            let condition = self.inner.condition.borrow();
            if let Some(error) = &condition.closed {
                return Err(lost(error, false));
            }
            if condition.draining {
                return Err(refused("the server is going away"));
            }
        }
        self.check_size(request)?;
        let (mut send, recv) = self.connection().open_bi().await.map_err(|error| self.lost(error, false))?;
        let header = RequestHeader {
            method: request.method.id(),
            fingerprint: request.method.fingerprint(),
            remaining: Some(deadline.saturating_duration_since(Instant::now())),
            metadata: request.metadata.clone(),
            body_length: request.body.len() as u64,
        };
        let mut buffer = BytesMut::with_capacity(64 + request.body.len().min(INLINE));
        header.encode(&mut buffer);
        if buffer.len() > proto::MAX_HEADER {
            return Err(Status::invalid_argument(format!(
                "the metadata of {} makes its header {} bytes long, the limit is {}",
                request.method,
                buffer.len(),
                proto::MAX_HEADER
            ))
            .not_executed());
        }
        sent.store(true, Ordering::Relaxed);
        let written = if request.body.len() <= INLINE {
            buffer.extend_from_slice(&request.body);
            send.write(buffer.freeze()).await
        } else {
            send.write_chunks(&mut [buffer.freeze(), request.body.clone()]).await
        };
        match written {
            Ok(()) => send.finish(),
            Err(WriteError::Stopped(reset::REFUSED)) => return Err(self.turned_away()),
            // The peer has read enough to answer; its reply says more than this error does.
            Err(WriteError::Stopped(_) | WriteError::Closed) => send.reset(reset::CANCELLED),
            Err(WriteError::Connection(error)) => return Err(self.lost(error, true)),
        }
        Ok((send, FrameReader::new(recv)))
    }

    fn check_size(&self, request: &Request) -> Result<(), Status> {
        let size = request.body.len();
        let ours = self.limits().max_message();
        let theirs =
            self.inner.peer.get().map_or(ours, |hello| usize::try_from(hello.max_message).unwrap_or(ours));
        let (limit, whose) = if ours <= theirs { (ours, "this side's") } else { (theirs, "the peer's") };
        if size <= limit {
            return Ok(());
        }
        Err(Status::resource_exhausted(format!(
            "the request of {} has {size} bytes, {whose} limit is {limit}: send less, or raise max_message",
            request.method
        ))
        .not_executed())
    }

    async fn read_frame(
        &self,
        reader: &mut FrameReader,
        method: &'static Method,
    ) -> Result<(ReplyKind, Bytes), Status> {
        let header = match reader.header(ReplyHeader::decode).await {
            Ok(Some(header)) => header,
            Ok(None) => return Err(Status::internal(format!("{method} was not answered"))),
            Err(error) => return Err(self.unread(error)),
        };
        let limit = self.limits().max_message();
        if header.body_length > limit as u64 {
            reader.stop(reset::TOO_LARGE);
            return Err(Status::resource_exhausted(format!(
                "the reply of {method} has {} bytes, this side's limit is {limit}: ask for less, or raise max_message",
                header.body_length
            )));
        }
        let body = reader.body(header.body_length as usize).await.map_err(|error| self.unread(error))?;
        Ok((header.kind, body))
    }

    fn unread(&self, error: FrameError) -> Status {
        match error {
            FrameError::Read(ReadError::Reset(reset::REFUSED)) => self.turned_away(),
            FrameError::Read(ReadError::Reset(reset::DEADLINE)) => {
                Status::deadline_exceeded("the server ran out of time")
            }
            FrameError::Read(ReadError::Reset(reset::CANCELLED)) => {
                Status::unavailable("the server gave the call up before it was done")
            }
            FrameError::Read(ReadError::Connection(error)) => self.lost(error, true),
            FrameError::Read(error) => Status::internal("the reply broke off").with_source(error),
            FrameError::Decode(error) => malformed(error),
        }
    }

    /// The peer refused a call: it drains, and its GOAWAY, which comes on another stream, may still be on its way.
    fn turned_away(&self) -> Status {
        self.update(|condition| condition.draining = true);
        refused("the server takes no calls now")
    }

    fn lost(&self, error: ConnectionError, sent: bool) -> Status {
        lost(&self.cause(error), sent)
    }
}

/// A reply that comes item by item. It is not watched for silence as a call is: items may be rare.
#[derive(Debug)]
pub(crate) struct Items {
    reading: Reading,
    method: &'static Method,
    /// Held, as its drop would say that the request was given up.
    _send: SendStream,
    reader: FrameReader,
}

impl Items {
    /// The next item; `None` at the clean end. Not cancel-safe within an item.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        match self.reading.0.read_frame(&mut self.reader, self.method).await? {
            (ReplyKind::Item, body) => Ok(Some(body)),
            (ReplyKind::Value, _) => Ok(None),
            (ReplyKind::Application, _) => {
                Err(Status::internal("an application error ended a stream of items"))
            }
            (ReplyKind::Status { code, executed }, body) => Err(answered(code, executed, body, self.method)),
        }
    }
}

/// A status that the peer answered with. One from before the handler names no method, as the peer may know none.
fn answered(code: Code, executed: bool, body: Bytes, method: &Method) -> Status {
    match proto::decode_status(code, executed, body) {
        Ok(status) if executed || status.message().contains(method.name()) => status,
        Ok(status) => {
            let message = format!("{method}: {}", status.message());
            let mut named = Status::new(code, message).with_details(status.details().clone()).not_executed();
            if let Some(after) = status.retry_after() {
                named = named.with_retry_after(after);
            }
            named
        }
        Err(error) => malformed(error),
    }
}

fn out_of_time(request: &Request, sent: &AtomicBool) -> Status {
    let sent = sent.load(Ordering::Relaxed);
    let message = if sent { "no answer came in time" } else { "the call could not be sent in time" };
    Status::deadline_exceeded(format!("{}: {message}", request.method)).with_maybe_executed(sent)
}

/// A call whose connection is gone.
fn lost(error: &ConnectionError, sent: bool) -> Status {
    let code = if error.is_certificate() { Code::Unauthenticated } else { Code::Unavailable };
    Status::new(code, format!("connection lost: {error}"))
        .with_source(error.clone())
        .with_maybe_executed(sent)
}
