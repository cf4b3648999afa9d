//! Reply streams that resume elsewhere when their server drains, dies or falls silent.
//!
//! An item's number is its position in the stream, so items carry nothing extra on the wire. The reading side
//! counts the items that it has returned. When the stream is cut off, the call is made again with that count,
//! and the handler starts after that item. Items that were in transit but not returned are produced again, so
//! each item is returned exactly once and in order. Results that say something about the method (its own
//! errors, other statuses, the deadline) end the stream as they end any other.
//!
//! There is no background task: a stream moves only while its caller polls for an item.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use crate::{
    Backoff, Code, Metadata, Reply, Request, Status,
    message::{Answer, Failure, Items, Remote},
    runtime::{Runtime, Within},
    session::{Deadlines, Session, after},
};

/// The most interruptions in a row, without an item in between, after which a stream gives up: its own
/// request may be what brings the servers down.
const MOST_IN_A_ROW: u32 = 16;
/// The range of pauses between attempts. The first attempt is made without a pause, because usually another
/// server is available.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Makes a call again, for a stream that resumes.
pub(super) trait Reopen: Clone + Send + 'static {
    /// Returns true if the channel has been closed, so that no call can be made again.
    fn is_closed(&self) -> bool;

    /// Makes the call and returns the reply with the session that its stream comes from. Prefers a session
    /// other than `left`.
    fn open(
        self,
        request: Request,
        times: Deadlines,
        left: Option<Session>,
    ) -> impl Future<Output = Result<(Reply, Session), Status>> + Send;

    /// Resolves when this session has gone silent and another endpoint takes calls of this service.
    fn better_elsewhere(self, session: Session, service: Option<u64>) -> impl Future<Output = ()> + Send;

    /// The runtime of the channel. The stream may be read on any other.
    fn runtime(&self) -> &Runtime;
}

/// Makes a call of a resumable method. Each time the stream has to move, it tries for `patience` and gives up
/// with the attempt during which that ends.
pub(super) async fn call<R: Reopen>(
    reopen: R,
    request: Request,
    times: Deadlines,
    patience: Duration,
) -> Result<Reply, Status> {
    let (mut reply, session) = reopen.clone().open(request.clone(), times.clone(), None).await?;
    if let Answer::Items(items) = reply.answer {
        let part = Part::new(&reopen, items, session, request.user_service());
        reply.answer = Answer::Items(Items::remote(Resumed {
            reopen,
            request,
            times,
            patience,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            in_a_row: 0,
            state: ResumeState::Open(part),
            metadata: None,
        }));
    }
    Ok(reply)
}

/// A stream that resumes, with everything needed to make its call again.
struct Resumed<R> {
    reopen: R,
    /// The request. It holds the number of items returned so far.
    request: Request,
    times: Deadlines,
    patience: Duration,
    backoff: Backoff,
    /// Interruptions since the last item.
    in_a_row: u32,
    state: ResumeState,
    /// The metadata of the current part, if it is not the first one.
    metadata: Option<Metadata>,
}

enum ResumeState {
    Open(Part),
    Moving(Within<Moving>),
    /// The stream could not resume.
    Lost,
}

type Moving = Pin<Box<dyn Future<Output = Result<Moved, Status>> + Send>>;

/// The part of the stream that one server sends.
struct Part {
    items: Items,
    session: Session,
    better_elsewhere: Pin<Box<dyn Future<Output = ()> + Send>>,
}

struct Moved {
    items: Items,
    metadata: Metadata,
    session: Session,
}

impl Part {
    fn new<R: Reopen>(reopen: &R, items: Items, session: Session, service: Option<u64>) -> Self {
        let better_elsewhere = Box::pin(reopen.clone().better_elsewhere(session.clone(), service));
        Self { items, session, better_elsewhere }
    }

    /// Polls for an item or the end. An error is the reason to leave this server.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Result<Bytes, Failure>>, Status>> {
        Poll::Ready(match self.items.poll_item(cx) {
            Poll::Ready(Some(Err(Failure::Status(status)))) if may_resume(&status) => Err(status),
            Poll::Ready(item) => Ok(item),
            Poll::Pending => {
                ready!(self.better_elsewhere.as_mut().poll(cx));
                Err(Status::unavailable("the server has gone silent"))
            }
        })
    }
}

impl<R: Reopen> Resumed<R> {
    fn count_item(&mut self) {
        self.request.resume_after += 1;
        if self.in_a_row > 0 {
            self.in_a_row = 0;
            self.backoff.reset();
        }
    }

    /// Starts to resume elsewhere. Returns the status if the stream was cut off too often or the channel is
    /// closed.
    fn start_move(&mut self, left: Session, status: Status) -> Result<(), Status> {
        self.in_a_row += 1;
        if self.in_a_row > MOST_IN_A_ROW || self.reopen.is_closed() {
            return Err(status);
        }
        let pause = match self.in_a_row {
            1 => Duration::ZERO,
            _ => self.backoff.next(&mut rand::rng()),
        };
        debug!(
            method = %self.request.method, after = self.request.resume_after, %status, "a stream resumes elsewhere"
        );
        let trying = keep_trying(Move {
            reopen: self.reopen.clone(),
            request: self.request.clone(),
            times: self.times.clone(),
            patience: self.patience,
            backoff: self.backoff.clone(),
            left,
            pause,
            status,
        });
        let (method, gap) = (self.request.method, self.times.gap);
        let moving: Moving = Box::pin(async move {
            let Some(gap) = gap else { return trying.await };
            timeout(gap, trying).await.unwrap_or_else(|_| {
                Err(Status::deadline_exceeded(format!("{method}: no item came within {gap:?}")))
            })
        });
        self.state = ResumeState::Moving(self.reopen.runtime().within(moving));
        Ok(())
    }
}

/// The state of a stream's move from one server to another.
struct Move<R> {
    reopen: R,
    request: Request,
    times: Deadlines,
    patience: Duration,
    backoff: Backoff,
    left: Session,
    /// The pause before the first attempt.
    pause: Duration,
    /// The reason for the move; later, the failure of the last attempt.
    status: Status,
}

async fn keep_trying<R: Reopen>(job: Move<R>) -> Result<Moved, Status> {
    let Move { reopen, request, times, patience, mut backoff, left, mut pause, mut status } = job;
    let method = request.method;
    let give_up = after(Instant::now(), patience);
    loop {
        let resumed = after(Instant::now(), pause);
        match times.call {
            Some(deadline) if deadline <= resumed => {
                sleep_until(deadline).await;
                let message = format!("{method}: no time was left to go on elsewhere");
                return Err(Status::deadline_exceeded(message).with_source(status));
            }
            _ => sleep_until(resumed).await,
        }
        let opened = reopen.clone().open(request.clone(), times.again(), Some(left.clone())).await;
        status = match opened {
            Ok((reply, session)) => return part_of(reply, session, &request),
            Err(status) if may_resume(&status) && !reopen.is_closed() => status,
            Err(status) => return Err(status),
        };
        pause = backoff.next(&mut rand::rng()).max(status.retry_after().unwrap_or_default());
        if after(Instant::now(), pause) > give_up {
            return Err(status);
        }
    }
}

fn part_of(reply: Reply, session: Session, request: &Request) -> Result<Moved, Status> {
    let method = request.method;
    match reply.answer {
        Answer::Items(items) => Ok(Moved { items, metadata: reply.metadata, session }),
        // The items have an error type of their own, which this error does not have.
        Answer::Application(error) => Err(Status::new(
            Code::Aborted,
            format!(
                "{method} did not go on behind item {}: it answered with an error of its own, which is in the details",
                request.resume_after
            ),
        )
        .with_details(error.into_bytes())),
        Answer::Value(_) => Err(Status::internal(format!("one value came for {method}, which has a stream"))),
    }
}

/// Returns true if this status says nothing about the call itself, so that the stream may resume elsewhere.
fn may_resume(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        // All servers were full at that moment, and they have said when to try again.
        Code::ResourceExhausted => !status.maybe_executed() && status.retry_after().is_some(),
        _ => false,
    }
}

impl<R: Reopen> Remote for Resumed<R> {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            match &mut self.state {
                ResumeState::Open(part) => match ready!(part.poll(cx)) {
                    Ok(item) => {
                        if matches!(item, Some(Ok(_))) {
                            self.count_item();
                        }
                        return Poll::Ready(item);
                    }
                    Err(status) => {
                        let left = part.session.clone();
                        // The part is dropped with its state, which cancels the call at a server that has
                        // gone silent.
                        if let Err(status) = self.start_move(left, status) {
                            return Poll::Ready(Some(Err(status.into())));
                        }
                    }
                },
                ResumeState::Moving(moving) => match ready!(Pin::new(moving).poll(cx)) {
                    Ok(Moved { items, metadata, session }) => {
                        self.metadata = Some(metadata);
                        let service = self.request.user_service();
                        self.state = ResumeState::Open(Part::new(&self.reopen, items, session, service));
                    }
                    Err(status) => {
                        self.state = ResumeState::Lost;
                        return Poll::Ready(Some(Err(status.into())));
                    }
                },
                ResumeState::Lost => return Poll::Ready(None),
            }
        }
    }

    fn lend_small(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        let ResumeState::Open(part) = &mut self.state else { return false };
        let lent = part.items.lend_small(take);
        if lent {
            self.count_item();
        }
        lent
    }

    fn trailers(&self) -> Option<&Metadata> {
        match &self.state {
            ResumeState::Open(part) => part.items.trailers(),
            ResumeState::Moving(_) | ResumeState::Lost => None,
        }
    }

    fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }
}

impl<R> fmt::Debug for Resumed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}", self.request.method, self.request.resume_after)
    }
}
