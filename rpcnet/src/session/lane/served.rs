//! The side of a lane that answers calls.

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

use bytes::Bytes;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tracing::{debug, error};

use super::{CHUNK, outbox::Outbox};
use crate::{
    proto::{DecodeError, LaneBuffer, LaneInput},
    session::{
        self, Session,
        inbound::{LaneCall, Started, count_reset},
    },
    transport::{RecvStream, SendStream},
};

/// Chunks that are read before what they led to is written.
const READS: usize = 8;
/// Calls that wait because as many are at work as the peer may have.
const WAITING: usize = 1024;

/// Answers the calls of a lane until it ends. Its handlers end with the future.
pub(in crate::session) async fn serve(
    turn: session::Served,
    mut send: SendStream,
    recv: RecvStream,
    first: Bytes,
) {
    let mut input = LaneBuffer::default();
    input.add(first);
    let session = turn.0.clone();
    let router = session.router().clone();
    let mut lane = Lane {
        drained: Box::pin(async move { router.drained().await }),
        session,
        recv,
        input,
        outbox: Arc::default(),
        writing: [Bytes::new()],
        at_work: HashMap::new(),
        waiting: VecDeque::new(),
        tasks: JoinSet::new(),
    };
    if let Err(error) = poll_fn(|task| lane.poll(task, &mut send)).await {
        debug!(peer = %lane.session.connection().remote_addr(), %error, "lane not understood");
        send.reset(crate::proto::reset::PROTOCOL);
    }
}

struct AtWork {
    handler: AbortHandle,
    deadline: Option<Instant>,
}

struct Lane {
    session: Session,
    recv: RecvStream,
    input: LaneBuffer,
    outbox: Arc<Outbox>,
    writing: [Bytes; 1],
    /// Handlers that were not ready at once, and that the peer has not given up.
    at_work: HashMap<u64, AtWork>,
    /// Resolves when nothing is taken any more.
    drained: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Calls that wait for one of them to end.
    waiting: VecDeque<LaneCall>,
    /// Handlers as tasks, each with its call's id.
    tasks: JoinSet<u64>,
}

impl Lane {
    /// Ready when the lane has ended.
    fn poll(&mut self, task: &mut Task<'_>, send: &mut SendStream) -> Poll<Result<(), DecodeError>> {
        while let Poll::Ready(Some(ended)) = self.tasks.poll_join_next(task) {
            match ended {
                Ok(id) => {
                    self.at_work.remove(&id);
                }
                Err(error) if error.is_panic() => {
                    error!(%error, "a call's task panicked outside its handler")
                }
                Err(_) => {}
            }
        }
        while !self.is_full()
            && let Some(call) = self.waiting.pop_front()
        {
            self.start(call, task);
        }
        for round in 0.. {
            if round == READS {
                task.waker().wake_by_ref();
                break;
            }
            if self.outbox.is_full() && self.write(task, send).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if !self.may_read() {
                break;
            }
            self.requests(task)?;
            match self.recv.poll_read_chunk(task, CHUNK) {
                Poll::Ready(Ok(Some(chunk))) => self.input.add(chunk),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        if !self.waiting.is_empty() && self.drained.as_mut().poll(task).is_ready() {
            self.waiting.drain(..).for_each(|call| call.refuse(&self.outbox));
        }
        self.write(task, send).map(|()| Ok(()))
    }

    /// Whether to hear more of the peer. Where not, cancellations are not heard either: so many calls that wait are no
    /// honest caller's, and one that does not read answers need not be sent any.
    fn may_read(&self) -> bool {
        self.waiting.len() < WAITING && !self.outbox.is_full()
    }

    /// Writes the answers; ready when the peer wants none any more.
    fn write(&mut self, task: &mut Task<'_>, send: &mut SendStream) -> Poll<()> {
        match self.outbox.poll_write(task, send, &mut self.writing) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Whoever has as many calls at work as it may have waits; it may still cancel.
    fn is_full(&self) -> bool {
        self.tasks.len() >= self.session.limits().max_calls_per_connection() as usize
    }

    /// Starts the calls that are here whole.
    fn requests(&mut self, task: &mut Task<'_>) -> Result<(), DecodeError> {
        let received = Instant::now();
        while let Some((id, input)) = self.input.next()? {
            match input {
                LaneInput::Message(header, body) => {
                    if self.at_work.contains_key(&id) {
                        return Err(DecodeError::LaneCall(id));
                    }
                    let call = LaneCall { id, header, body, received };
                    if self.is_full() {
                        self.waiting.push_back(call);
                    } else {
                        self.start(call, task);
                    }
                }
                LaneInput::Cancel => {
                    if let Some(AtWork { handler, deadline }) = self.at_work.remove(&id) {
                        handler.abort();
                        count_reset(&self.session, deadline);
                    } else {
                        self.waiting.retain(|call| call.id != id);
                    }
                }
                LaneInput::Refused => {}
            }
        }
        Ok(())
    }

    fn start(&mut self, call: LaneCall, task: &mut Task<'_>) {
        let (id, deadline) = (call.id, call.deadline());
        match call.start(&self.session, &self.outbox, task) {
            Started::Answered => {}
            Started::AtWork(rest) => {
                let handler = self.tasks.spawn(async move {
                    rest.await;
                    id
                });
                self.at_work.insert(id, AtWork { handler, deadline });
            }
        }
    }
}
