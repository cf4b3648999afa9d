//! Calls that this side makes.

mod relay;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{
    Deadlines, MethodState, Session,
    frame::{FrameError, FrameReader, frame_buffer, write_frame},
    items::{ItemReader, Role, Sending},
    lane::{self, LaneCall, LaneClient},
    malformed,
};
use crate::{
    Code, Method, Reply, Request, Status,
    message::{Answer, Items, reply_too_large, too_large},
    proto::{self, ReplyHeader, ReplyKind, RequestHeader, reset},
    transport::{ConnectionError, ReadError, SendStream, WriteError},
};

/// The most bytes of a request's header without its metadata.
const LANE_HEADER: usize = 1 << 10;

/// The call was refused before its handler started.
fn refused(why: &'static str) -> Status {
    Status::unavailable(why).not_executed()
}

impl Session {
    /// Makes a call and waits for its answer, or for the start of a stream of answers. Dropping the future cancels
    /// it, at the peer too.
    pub(crate) async fn call(&self, request: &Request, times: &Deadlines) -> Result<Reply, Status> {
        let called = self.called(request);
        if self.fits_lane(request, called) {
            let waited;
            let (lane, times) = match self.inner.lane.get() {
                Some(lane) => (lane, times),
                None => {
                    let lane = Box::pin(self.open_lane(times)).await?;
                    waited = times.having_waited();
                    (lane, &waited)
                }
            };
            if let Some(id) = self.start_on(lane, request, called, times, None)? {
                return self.lane_answer(LaneCall::new(self.clone(), id).await, request);
            }
        }
        // In memory of its own, so that the future of a call on the lane, of which there are many, stays small.
        Box::pin(self.call_on_stream(request, times)).await
    }

    /// Starts a call on the lane; `None` if the call does not fit there, and has to be [made](Self::call) otherwise.
    /// The caller's task is woken when there is an answer.
    pub(crate) fn start_small(
        self,
        request: &Request,
        times: &Deadlines,
        caller: &Waker,
    ) -> Result<Option<LaneCall>, (Status, Self)> {
        let called = self.called(request);
        let started = match self.inner.lane.get() {
            Some(lane) if self.fits_lane(request, called) => {
                self.start_on(lane, request, called, times, Some(caller))
            }
            _ => return Ok(None),
        };
        match started {
            Ok(Some(id)) => Ok(Some(LaneCall::new(self, id))),
            Ok(None) => Ok(None),
            Err(status) => Err((status, self)),
        }
    }

    /// Turns the outcome of a call on the lane into a reply.
    pub(crate) fn lane_answer(
        &self,
        outcome: Result<(ReplyHeader, Bytes), Status>,
        request: &Request,
    ) -> Result<Reply, Status> {
        let (header, body) = outcome?;
        self.check_reply(header.body_length, request.method)?;
        if request.relayed().is_some() {
            self.learn_size(request, &header);
        }
        self.answer(header, body, request.method)
    }

    /// Makes a call on a stream of its own.
    async fn call_on_stream(&self, request: &Request, times: &Deadlines) -> Result<Reply, Status> {
        let sent = AtomicBool::new(false);
        let _waiting = self.waiting();
        if request.method.streams() {
            return self.stream(request, times, &sent).await;
        }
        let exchange = async {
            let (_send, mut reader) = self.open(request, times.call, &sent).await?;
            let (header, body) = self.read_frame(&mut reader, request.method).await?;
            reader.take_end();
            self.answer(header, body, request.method)
        };
        let Some(deadline) = times.call else { return exchange.await };
        timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(out_of_time(request, &sent)))
    }

    /// Returns whether a call uses the lane. It does if all of these hold:
    ///
    /// - it is unary, and header and body fit into a lane's message;
    /// - its method has priority 0, as only a stream of its own can have another;
    /// - both sides have lanes on;
    /// - no earlier reply of its method was too large for this connection's lane;
    /// - the path is smooth ([`is_smooth`](Self::is_smooth)).
    ///
    /// Any other call opens its own stream.
    fn fits_lane(&self, request: &Request, called: MethodState) -> bool {
        let method = request.method;
        !method.streams()
            && request.body.len() + request.metadata.size() + LANE_HEADER <= proto::MAX_LANE_MESSAGE
            && method.priority() == 0
            && self.limits().lanes()
            && self.inner.peer.get().is_some_and(|hello| hello.lanes)
            && !request.items.is_some()
            && !called.large
            && (self.limits().lanes_on_any_path() || self.is_smooth())
    }

    /// Returns whether the path is fit for lanes: its round trips are short, or it loses few packets. A lost packet
    /// delays every call behind it on a lane, by a round trip and more.
    fn is_smooth(&self) -> bool {
        const LOOK_EVERY: usize = 64;
        const SHORT: Duration = Duration::from_millis(3);
        const KNOWN: u64 = 2000;
        if self.inner.counts.made.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            let stats = self.connection().stats();
            // A path with long round trips is smooth only once enough packets have shown it.
            let known = stats.sent_packets >= KNOWN;
            let lossless = known && stats.lost_packets * 1000 <= stats.sent_packets;
            self.inner.smooth.store(stats.rtt < SHORT || lossless, Ordering::Relaxed);
        }
        self.inner.smooth.load(Ordering::Relaxed)
    }

    async fn open_lane(&self, times: &Deadlines) -> Result<&LaneClient, Status> {
        lane::want(self);
        let mut state = self.peer_state();
        // A caller that waits for a stream need not wait in order to be refused.
        let settled = state.wait_for(|now| now.lane || now.draining || now.closed.is_some());
        let settled = timeout_at(times.open_by(), settled).await;
        if let Some(lane) = self.inner.lane.get() {
            return Ok(lane);
        }
        match settled {
            Ok(Ok(now)) => Err(match &now.closed {
                Some(error) => lost(error, false),
                None => refused("the server is going away"),
            }),
            Ok(Err(_)) => Err(lost(&ConnectionError::LocallyClosed, false)),
            Err(_) => {
                let message = "the call could not be sent in time";
                Err(Status::deadline_exceeded(message).not_executed())
            }
        }
    }

    /// Sends a call; gives its id, of which a [`LaneCall`] is to be made at once.
    fn start_on(
        &self,
        lane: &LaneClient,
        request: &Request,
        called: MethodState,
        times: &Deadlines,
        caller: Option<&Waker>,
    ) -> Result<Option<u64>, Status> {
        self.may_send()?;
        self.check_size(request)?;
        let fingerprint = if called.agreed { None } else { self.fingerprint(request)? };
        let routing = self.routing(request)?;
        Ok(lane.call(request, (fingerprint, routing), times, caller))
    }

    /// Makes a call with items in the request, in the reply, or in both.
    async fn stream(&self, request: &Request, times: &Deadlines, sent: &AtomicBool) -> Result<Reply, Status> {
        let method = request.method;
        let late = |_| Err(out_of_time(request, sent));
        let (send, mut reader) =
            timeout_at(times.open_by(), self.open(request, times.call, sent)).await.unwrap_or_else(late)?;
        let sending = match request.items.take() {
            Some(items) => Sending::Items { _pump: self.pump(send, items, method) },
            None => Sending::Done { _send: send },
        };
        let opening = async {
            tokio::select! {
                biased;
                frame = self.read_frame(&mut reader, method) => Some(frame),
                () = late_start(times, &sending) => None,
            }
        };
        let opened = match times.call {
            Some(deadline) => timeout_at(deadline, opening).await.ok().flatten(),
            None => opening.await,
        };
        let (header, body) = opened.unwrap_or_else(|| Err(out_of_time(request, sent)))?;
        if header.kind != ReplyKind::Items {
            reader.take_end();
            return self.answer(header, body, method);
        }
        let role = Role::Reply { _request: sending };
        let frames = reader.into_items();
        let items = ItemReader::new(frames, self.clone(), method, role, times.call, times.gap);
        let mut reply = Reply::new(Answer::Items(Items::remote(items)));
        reply.metadata = header.metadata;
        reply.load = header.load;
        Ok(reply)
    }

    async fn open(
        &self,
        request: &Request,
        deadline: Option<Instant>,
        sent: &AtomicBool,
    ) -> Result<(SendStream, FrameReader), Status> {
        self.may_send()?;
        let method = request.method;
        self.check_size(request)?;
        let fingerprint = self.fingerprint(request)?;
        let routing = self.routing(request)?;
        if request.items.is_spent() {
            let message = format!("the items of this call of {method} were sent before");
            return Err(Status::failed_precondition(message).not_executed());
        }
        let (mut send, recv) = tokio::select! {
            biased;
            opened = self.connection().open_bi() => opened.map_err(|error| self.lost(error, false))?,
            // A draining peer would refuse the stream: there is no need to wait for one.
            () = self.draining() => return Err(refused("the server is going away")),
        };
        if method.priority() != 0 {
            send.set_priority(method.priority().into());
        }
        let header = RequestHeader {
            method: request.method_id(),
            fingerprint,
            items: request.items.is_some(),
            trace: request.trace,
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
            metadata: request.metadata.clone(),
            resume_after: request.resume_after,
            routing,
            body_length: request.body.len() as u64,
        };
        let mut buffer = frame_buffer(64, &request.body);
        header.encode(&mut buffer);
        sent.store(true, Ordering::Relaxed);
        match write_frame(&mut send, buffer, request.body.clone()).await {
            Ok(()) if header.items => {}
            Ok(()) => send.finish(),
            Err(WriteError::Stopped(reset::REFUSED)) => return Err(self.turned_away()),
            // The peer has read enough to answer; its reply says more than this error does.
            Err(WriteError::Stopped(_) | WriteError::Closed) => send.reset(reset::CANCELLED),
            Err(WriteError::Connection(error)) => return Err(self.lost(error, true)),
        }
        Ok((send, FrameReader::new(recv)))
    }

    fn may_send(&self) -> Result<(), Status> {
        if self.takes_calls() {
            return Ok(());
        }
        let state = self.inner.peer_state.borrow();
        if let Some(error) = &state.closed {
            return Err(lost(error, false));
        }
        if state.draining {
            return Err(refused("the server is going away"));
        }
        Ok(())
    }

    fn check_size(&self, request: &Request) -> Result<(), Status> {
        let size = request.body.len();
        let ours = self.max_message(request.method);
        let theirs = match (request.method.max_message(), self.inner.peer.get()) {
            (None, Some(hello)) => usize::try_from(hello.max_message).unwrap_or(ours),
            _ => ours,
        };
        let (limit, whose) = if ours <= theirs { (ours, "this side's") } else { (theirs, "the peer's") };
        if size <= limit {
            return Ok(());
        }
        let what = format_args!("the request of {}", request.method);
        Err(too_large(what, size, whose, limit).not_executed())
    }

    /// Returns the fingerprint to send for the peer to compare; `None` if the peer has sent its own and they are equal.
    fn fingerprint(&self, request: &Request) -> Result<Option<u64>, Status> {
        if let Some(relayed) = request.relayed() {
            return Ok(relayed.fingerprint);
        }
        let method = request.method;
        if self.called(request).agreed {
            return Ok(None);
        }
        let ours = self.inner.router.fingerprint(method);
        match self.inner.schema.load().get(&method.id()) {
            Some(&theirs) if theirs == ours => {
                self.found(request.place(), |called| called.agreed = true);
                Ok(None)
            }
            Some(&theirs) => Err(super::other_schema(method, ours, theirs).not_executed()),
            // It may have been registered since.
            None => Ok(Some(ours)),
        }
    }

    pub(super) async fn read_frame(
        &self,
        reader: &mut FrameReader,
        method: &'static Method,
    ) -> Result<(ReplyHeader, Bytes), Status> {
        let header = match reader.header(ReplyHeader::decode).await {
            Ok(Some(header)) => header,
            Ok(None) => return Err(Status::internal(format!("{method} was not answered"))),
            Err(error) => return Err(self.unread(error)),
        };
        if let Err(status) = self.check_reply(header.body_length, method) {
            reader.stop(reset::TOO_LARGE);
            return Err(status);
        }
        let body = reader.body(header.body_length as usize).await.map_err(|error| self.unread(error))?;
        Ok((header, body))
    }

    fn check_reply(&self, length: u64, method: &'static Method) -> Result<(), Status> {
        let limit = self.max_message(method);
        if length <= limit as u64 {
            return Ok(());
        }
        Err(reply_too_large(method, length, "this side's", limit))
    }

    pub(super) fn unread(&self, error: FrameError) -> Status {
        match error {
            FrameError::Read(ReadError::Reset(reset::REFUSED)) => self.turned_away(),
            FrameError::Read(ReadError::Reset(reset::DEADLINE)) => {
                Status::deadline_exceeded("the server ran out of time")
            }
            FrameError::Read(ReadError::Reset(reset::CANCELLED)) => {
                Status::unavailable("the server gave the call up before it was done")
            }
            FrameError::Read(ReadError::Connection(error)) => self.lost(error, true),
            FrameError::Decode(error) => malformed(error),
            error => Status::internal("the reply broke off").with_source(error),
        }
    }

    /// The peer refused a call: it drains, and its GOAWAY, which comes on another stream, may still be on its way.
    pub(super) fn turned_away(&self) -> Status {
        self.update(|state| state.draining = true);
        refused("the server takes no calls now")
    }

    pub(super) fn lost(&self, error: ConnectionError, sent: bool) -> Status {
        lost(&self.cause(error), sent)
    }
}

/// Waits until the answer should have begun. The time runs from when all of the request is sent.
async fn late_start(times: &Deadlines, sending: &Sending) {
    let Some(start) = times.start else { return std::future::pending().await };
    if let Sending::Items { _pump: pump } = sending {
        pump.done().await;
    }
    tokio::time::sleep(start).await;
}

/// The answer in a reply's opening frame.
fn answer(header: ReplyHeader, body: Bytes, method: &Method) -> Result<Reply, Status> {
    let answer = match header.kind {
        ReplyKind::Value => Answer::Value(body.into()),
        ReplyKind::Application => Answer::Application(body.into()),
        ReplyKind::Items => {
            return Err(Status::internal(format!("a stream came for {method}, which has one reply")));
        }
        ReplyKind::Status { code, executed } => {
            let mut beside = header.metadata;
            beside.append(header.trailers);
            return Err(answered(code, executed, body, method).with_metadata(beside));
        }
    };
    Ok(Reply { answer, metadata: header.metadata, trailers: header.trailers, load: header.load })
}

/// A status that the peer answered with. One from before the handler names no method, as the peer may know none.
fn answered(code: Code, executed: bool, body: Bytes, method: &Method) -> Status {
    match proto::decode_status(code, executed, body) {
        Ok(status)
            if executed
                || crate::message::relayed::stands_for_others(method)
                || status.message().contains(method.name()) =>
        {
            status
        }
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

/// The message of a call that was sent and not answered within its deadline.
pub(super) const LATE: &str = "no answer came in time: the handler takes longer than the call's deadline, or waits; give the \
                               call more (timeout), or look at the server";

fn out_of_time(request: &Request, sent: &AtomicBool) -> Status {
    let sent = sent.load(Ordering::Relaxed);
    let message =
        if sent { LATE } else { "the call could not be sent in time: the server takes no more now" };
    Status::deadline_exceeded(format!("{}: {message}", request.method)).with_maybe_executed(sent)
}

/// A call whose connection is gone.
fn lost(error: &ConnectionError, sent: bool) -> Status {
    let code = if error.is_certificate() { Code::Unauthenticated } else { Code::Unavailable };
    Status::new(code, format!("connection lost: {error}"))
        .with_source(error.clone())
        .with_maybe_executed(sent)
}
