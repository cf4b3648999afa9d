//! The side of a lane that answers calls.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

use bytes::Bytes;
use tokio::{
    task::{AbortHandle, JoinError, JoinSet},
    time::{Duration, Instant},
};
use tracing::{debug, error};

use super::{
    CHUNK,
    dispatch::{Dispatched, LaneRequest, panicked},
    outbox::{LaneWriter, Outbox},
    queue::CallQueue,
};
use crate::{
    proto::{DecodeError, LaneBuffer, LaneInput},
    session::{self, Session, inbound::count_reset},
    transport::{RecvStream, SendStream},
};

/// Chunks that are read before what they led to is written.
const READS: usize = 8;
/// The time for which handlers run in place before their answers are written.
const SLICE: Duration = Duration::from_millis(1);
/// The most calls that wait because as many run as the peer may have.
const WAITING: usize = 512;
/// Bytes of answers that may wait for a peer that does not read, before its requests are not read any more.
const FULL: usize = 256 << 10;

/// Answers the calls of a lane until it ends. Its handlers end with the future.
pub(in crate::session) fn serve(
    turn: session::LaneGuard,
    send: SendStream,
    recv: RecvStream,
    first: Bytes,
) -> impl Future<Output = ()> + Send {
    let mut input = LaneBuffer::default();
    input.add(first);
    // Not within the future, which would have room for the parts beside the whole.
    let mut lane = LaneServer {
        session: turn.0.clone(),
        now: Instant::now(),
        writer: LaneWriter::new(send),
        recv,
        input,
        outbox: Arc::default(),
        at_work: HashMap::new(),
        drained: None,
        waiting: CallQueue::default(),
        tasks: JoinSet::new(),
    };
    async move {
        let _turn = turn;
        if let Err(error) = poll_fn(|task| lane.poll(task)).await {
            debug!(peer = %lane.session.connection().remote_addr(), %error, "lane not understood");
            lane.writer.reset(crate::proto::reset::PROTOCOL);
        }
    }
}

struct RunningCall {
    handler: AbortHandle,
    deadline: Option<Instant>,
}

struct LaneServer {
    session: Session,
    writer: LaneWriter,
    recv: RecvStream,
    input: LaneBuffer,
    outbox: Arc<Outbox>,
    /// Handlers that were not ready at once, and that the peer has not given up.
    at_work: HashMap<u64, RunningCall>,
    /// Some moments ago: the clock is looked at once a call, and when this is polled.
    now: Instant,
    /// Resolves when nothing is taken any more; asked once calls wait.
    drained: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Calls that wait for one of them to end.
    waiting: CallQueue<LaneRequest>,
    /// Handlers as tasks, each with its call's id.
    tasks: JoinSet<u64>,
}

impl LaneServer {
    /// Ready when the lane has ended.
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<(), DecodeError>> {
        let mut heard_all = false;
        self.now = Instant::now();
        let until = self.now + SLICE;
        for _ in 0..READS {
            self.outbox.awake();
            self.proceed(task, until);
            if self.is_unread() && self.write(task).is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.requests(task, until)?;
            if !self.may_read() || self.now >= until {
                break;
            }
            match self.recv.poll_read_chunk(task, CHUNK) {
                Poll::Ready(Ok(Some(chunk))) => self.input.add(chunk),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    heard_all = true;
                    break;
                }
            }
        }
        // Once more, after the last that was started: only who looks for the end of a task is woken by it.
        self.proceed(task, until);
        if self.write(task).is_ready() {
            return Poll::Ready(Ok(()));
        }
        // While nothing may be read or started, the end of a handler or the peer's reading wakes this task.
        let starts = !self.waiting.is_empty() && !self.is_full() && !self.is_unread();
        if starts || !heard_all && self.may_read() {
            task.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes note of the handlers that have ended, and starts calls that waited for it, until then.
    fn proceed(&mut self, task: &mut Task<'_>, until: Instant) {
        loop {
            while let Poll::Ready(Some(ended)) = self.tasks.poll_join_next(task) {
                self.ended(ended);
            }
            if self.is_full() || self.is_unread() || self.now >= until {
                break;
            }
            match self.waiting.pop() {
                Some(call) if call.is_late() => call.give_up(&self.session, &self.outbox),
                Some(call) => self.start(call, task),
                None => break,
            }
        }
        if !self.waiting.is_empty() && self.drained().poll(task).is_ready() {
            // Nothing is made to wait after that, so this is not asked for again.
            while let Some(call) = self.waiting.pop() {
                call.refuse(&self.outbox);
            }
        }
    }

    fn drained(&mut self) -> Pin<&mut (dyn Future<Output = ()> + Send)> {
        let router = self.session.router();
        let drained = self.drained.get_or_insert_with(|| {
            let router = router.clone();
            Box::pin(async move { router.drained().await })
        });
        drained.as_mut()
    }

    fn ended(&mut self, ended: Result<u64, JoinError>) {
        match ended {
            Ok(id) => {
                self.at_work.remove(&id);
            }
            Err(error) if error.is_panic() => {
                error!(%error, "a call's task panicked outside its handler");
                // On a lane no stream breaks off that would tell the caller.
                let mut at_work = self.at_work.iter();
                let id = at_work.find_map(|(&id, call)| (call.handler.id() == error.id()).then_some(id));
                if let Some(id) = id {
                    self.at_work.remove(&id);
                    panicked(id, &self.outbox);
                }
            }
            Err(_) => {}
        }
    }

    /// Returns whether to read more from the peer. If not, cancellations are not read either: so many calls that wait
    /// are no honest caller's, and one that does not read answers need not be sent any.
    fn may_read(&self) -> bool {
        self.waiting.len() < WAITING && !self.is_unread()
    }

    fn is_unread(&self) -> bool {
        self.outbox.len() >= FULL
    }

    /// Writes the answers; ready when the peer wants none any more.
    fn write(&mut self, task: &mut Task<'_>) -> Poll<()> {
        match self.outbox.poll_write(task, &mut self.writer) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Returns whether the peer has as many calls in flight as it may have. Further calls wait; the peer may still
    /// cancel.
    fn is_full(&self) -> bool {
        self.tasks.len() >= self.session.limits().max_calls_per_connection() as usize
    }

    /// Starts the calls that are here whole, or lets them wait. Those that are not begun by then stay for the next
    /// time.
    fn requests(&mut self, task: &mut Task<'_>, until: Instant) -> Result<(), DecodeError> {
        let received = self.now;
        while self.may_read()
            && self.now < until
            && let Some((id, input)) = self.input.next()?
        {
            match input {
                LaneInput::Message(header, body) => {
                    if self.at_work.contains_key(&id) || self.waiting.contains(id) {
                        return Err(DecodeError::LaneCall(id));
                    }
                    let call = LaneRequest { id, header, body, received };
                    if self.is_full() && !self.session.router().is_draining() {
                        self.waiting.push(id, call);
                    } else {
                        self.start(call, task);
                    }
                }
                LaneInput::Cancel => self.cancel(id),
                LaneInput::Refused => {}
            }
        }
        Ok(())
    }

    fn cancel(&mut self, id: u64) {
        let deadline = match (self.at_work.remove(&id), self.waiting.remove(id)) {
            (Some(RunningCall { handler, deadline }), _) => {
                handler.abort();
                deadline
            }
            (None, Some(call)) => call.deadline(),
            (None, None) => return,
        };
        count_reset(&self.session, deadline);
    }

    fn start(&mut self, call: LaneRequest, task: &mut Task<'_>) {
        let (id, deadline) = (call.id, call.deadline());
        match call.start(&self.session, &self.outbox, &mut self.now, task) {
            Dispatched::Answered => {}
            Dispatched::AtWork(rest) => {
                let handler = self.tasks.spawn(async move {
                    rest.await;
                    id
                });
                self.at_work.insert(id, RunningCall { handler, deadline });
            }
        }
    }
}
