//! Streams of items on a connection: read off it, and written to it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle, time::Instant};
use tracing::error;

use bytes::Bytes;

use super::{
    Session, StreamGuard,
    frame::{FrameError, ItemFrames},
    item_timer::ItemTimer,
};
use crate::{
    Metadata, Method, Status,
    message::{Batch, Failure, Items, ItemsEnd, Remote, relayed::stands_for_others, too_large},
    metrics::MethodMetrics,
    proto::{self, DecodeError, EndingKind, ItemFrame, reset},
    transport::{ReadError, SendStream, WriteError},
};

/// Whose items are read.
#[derive(Debug)]
pub(super) enum Role {
    /// The items of a server's reply. The request ends with them.
    Reply { _request: Sending },
    /// The items of a caller's request.
    Request,
}

/// The direction of the stream in which a call's request went: dropped, it says that the call was given up.
#[derive(Debug)]
pub(super) enum Sending {
    /// The request is whole.
    Done { _send: SendStream },
    /// Its items are being sent.
    Items { _pump: Pump },
}

/// Items that come off a connection.
pub(super) struct ItemReader {
    frames: ItemFrames,
    session: Session,
    _reading: StreamGuard,
    method: &'static Method,
    role: Role,
    limit: usize,
    timer: ItemTimer,
    trailers: Option<Metadata>,
}

impl ItemReader {
    pub(super) fn new(
        frames: ItemFrames,
        session: Session,
        method: &'static Method,
        role: Role,
        deadline: Option<Instant>,
        gap: Option<Duration>,
    ) -> Self {
        let is_awaited =
            matches!(role, Role::Reply { .. }) && (!method.is_internal() || stands_for_others(method));
        Self {
            frames,
            limit: session.max_message(method),
            _reading: session.reading(is_awaited),
            session,
            method,
            role,
            timer: ItemTimer::new(method, deadline, gap),
            trailers: None,
        }
    }

    fn end(&mut self, ending: proto::Ending) -> Option<Result<Bytes, Failure>> {
        self.frames.take_end();
        let result = match ending.kind {
            EndingKind::Clean => None,
            EndingKind::Application => Some(Err(Failure::Application(ending.body))),
            EndingKind::Status(code) => {
                let status = proto::decode_status(code, true, ending.body)
                    .map(|status| status.with_metadata(ending.trailers.clone()))
                    .unwrap_or_else(super::malformed);
                Some(Err(status.into()))
            }
        };
        self.trailers = Some(ending.trailers);
        result
    }

    fn broken(&mut self, error: FrameError) -> Status {
        let method = self.method;
        if let FrameError::Decode(DecodeError::ItemTooLarge(length)) = error {
            self.frames.stop(reset::TOO_LARGE);
            let limit = self.limit;
            return too_large(format_args!("an item of {method}"), length, "this side's", limit);
        }
        match &self.role {
            Role::Reply { .. } => self.session.unread(error),
            Role::Request => match error {
                FrameError::Read(ReadError::Reset(_)) => {
                    Status::cancelled(format!("the caller of {method} gave the call up"))
                }
                FrameError::Read(ReadError::Connection(error)) => self.session.lost(error, true),
                error => Status::internal(format!("the items of {method} broke off")).with_source(error),
            },
        }
    }
}

impl Remote for ItemReader {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let failed = |status: Status| Poll::Ready(Some(Err(status.into())));
        loop {
            match self.frames.poll_frame(cx, self.limit) {
                Poll::Ready(Ok(Some(ItemFrame::Item(item)))) => {
                    self.timer.came();
                    return Poll::Ready(Some(Ok(item)));
                }
                Poll::Ready(Ok(Some(ItemFrame::Other))) => {}
                Poll::Ready(Ok(Some(ItemFrame::End(ending)))) => return Poll::Ready(self.end(ending)),
                Poll::Ready(Ok(None)) => return failed(self.broken(ReadError::TooShort.into())),
                Poll::Ready(Err(error)) => return failed(self.broken(error)),
                Poll::Pending => {
                    let late = ready!(self.timer.poll(cx));
                    self.frames.stop(reset::DEADLINE);
                    return failed(late);
                }
            }
        }
    }

    fn lend_small(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        let lent = self.frames.lend_small(self.limit, take);
        if lent {
            self.timer.came();
        }
        lent
    }

    fn trailers(&self) -> Option<&Metadata> {
        self.trailers.as_ref()
    }
}

impl fmt::Debug for ItemReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.method)
    }
}

/// Writes items as they come, many in one write, until they end; what was not yet written stays in the batch, to
/// leave with the ending frame. Once `leave` resolves the items end as if their source had said `Unavailable`. A source
/// that panics is counted, where somebody counts. Not cancel-safe.
pub(super) async fn write_items(
    send: &mut SendStream,
    items: &mut Items,
    batch: &mut Batch,
    method: &'static Method,
    limit: usize,
    metrics: Option<&MethodMetrics>,
    leave: impl Future<Output = ()>,
) -> Result<ItemsEnd, WriteError> {
    tokio::pin!(leave);
    loop {
        let next = std::future::poll_fn(|cx| {
            // Unwind safe: all state that a stream that panicked has borrowed is dropped with it and never looked at
            // again.
            match catch_unwind(AssertUnwindSafe(|| items.poll_batch(cx, batch, limit))) {
                Ok(poll) => poll,
                Err(panic) => {
                    if let Some(metrics) = metrics {
                        metrics.panicked();
                    }
                    Poll::Ready(Some(panicked(method, &*panic, batch)))
                }
            }
        });
        let ended = tokio::select! {
            biased;
            // Before the items, of which there may always be another.
            () = &mut leave => {
                let status = Status::unavailable(format!("{method} goes on elsewhere: the server is going away"));
                return Ok(ItemsEnd { result: Err(status.into()), trailers: Metadata::default() });
            }
            ended = next => ended,
            stopped = send.stopped() => return Err(match stopped {
                Ok(code) => WriteError::Stopped(code.unwrap_or(reset::CANCELLED)),
                Err(error) => error.into(),
            }),
        };
        if let Some(ended) = ended {
            return Ok(ended);
        }
        send.write_chunks(&mut batch.take()).await?;
    }
}

fn panicked(method: &'static Method, panic: &(dyn std::any::Any + Send), batch: &mut Batch) -> ItemsEnd {
    batch.drop_unfinished();
    error!(%method, message = super::panic_message(panic), "a stream panicked");
    let status = Status::internal(format!("a stream of {method} panicked"));
    ItemsEnd { result: Err(status.into()), trailers: Metadata::default() }
}

/// Sends the items of a request in a task of its own, so that they flow whether or not the reply is read.
#[derive(Debug)]
pub(super) struct Pump {
    task: AbortHandle,
    done: watch::Receiver<bool>,
}

impl Session {
    /// Sends items in a task.
    pub(super) fn pump(&self, mut send: SendStream, mut items: Items, method: &'static Method) -> Pump {
        let limit = self.max_message(method);
        let (sender, done) = watch::channel(false);
        let scope = crate::context::Scope::inherited();
        let task = async move {
            let mut batch = Batch::default();
            let stay = std::future::pending();
            let written = write_items(&mut send, &mut items, &mut batch, method, limit, None, stay);
            // Where the peer wants no more, its reply says why.
            if let Ok(ended) = written.await {
                batch.end(&ended.frame(Metadata::default()));
                if send.write_chunks(&mut batch.take()).await.is_ok() {
                    send.finish();
                }
            }
            drop(items);
            sender.send_replace(true);
        };
        let task = self.runtime().handle().spawn(scope.around(task)).abort_handle();
        Pump { task, done }
    }
}

impl Pump {
    /// Waits until all items are sent, or the peer wants no more. Cancel-safe.
    pub(super) async fn done(&self) {
        // An error means that the task has ended by a panic.
        let _ = self.done.clone().wait_for(|done| *done).await;
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}
