//! A call that came on a lane: run in place as far as it goes, then as a task.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, warn};

use super::outbox::Outbox;
use crate::{
    Context, Reply, Status,
    context::Scope,
    limit::Permit,
    metrics::BLOCKS,
    proto::{self, LaneFrame, LaneKind, MAX_LANE_MESSAGE, RequestHeader, put_message, reset, varint},
    session::{
        Entry, Session,
        execution::{Execution, Turn},
        frame::{frame_buffer, write_frame},
        inbound::{TRANSIT, answer, forward, full, receive},
    },
};

/// The time before its first wait from which on a handler is not run in place the next times: it would keep the other
/// calls of its lane waiting.
const LONG: Duration = Duration::from_micros(100);

/// A call that has arrived on a lane.
pub(super) struct LaneRequest {
    pub(super) id: u64,
    pub(super) header: RequestHeader,
    pub(super) body: Bytes,
    pub(super) received: Instant,
}

/// The state of a call after it was dispatched.
pub(super) enum Dispatched {
    Answered,
    /// This goes on as a task.
    AtWork(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// A call that runs.
struct RunningLaneCall {
    id: u64,
    execution: Execution,
}

impl LaneRequest {
    /// Checks it, and runs it as far as it goes without waiting. `now` is moved on to when that was done.
    pub(super) fn start(
        self,
        session: &Session,
        outbox: &Arc<Outbox>,
        now: &mut Instant,
        task: &mut Task<'_>,
    ) -> Dispatched {
        let id = self.id;
        // A handler's own panics are caught where it is polled. This is for those of what it leaves behind when it is
        // dropped, which would end the lane with all calls on it.
        let started = catch_unwind(AssertUnwindSafe(|| self.begin(session, outbox, now, task)));
        started.unwrap_or_else(|panic| {
            error!(message = crate::session::panic_message(&*panic), "a call panicked outside its handler");
            panicked(id, outbox)
        })
    }

    fn begin(
        self,
        session: &Session,
        outbox: &Arc<Outbox>,
        now: &mut Instant,
        task: &mut Task<'_>,
    ) -> Dispatched {
        let router = session.router();
        if router.is_draining() {
            return refuse(self.id, outbox);
        }
        let entry = match receive::examine(session, &self.header) {
            Ok(entry) => entry,
            Err((status, _)) => return self.turn_down(session, outbox, status.not_executed()),
        };
        if router.gate().is_some() && !entry.internal {
            return Dispatched::AtWork(Box::pin(self.wait_for_turn(session.clone(), outbox.clone(), entry)));
        }
        let in_place = !entry.metrics.takes_long();
        let Some(mut running) = self.run(session, outbox, entry, None) else { return Dispatched::Answered };
        if in_place {
            let begun = *now;
            let polled = running.execution.poll(task);
            // The clock is looked at once a call: it costs as much as a tenth of all the rest.
            *now = Instant::now();
            if *now > begun + LONG {
                running.took_long(*now - begun, *now);
            }
            if let Poll::Ready(result) = polled {
                return running.answer(outbox, result, *now);
            }
        }
        Dispatched::AtWork(Box::pin(running.finish(outbox.clone())))
    }

    /// Waits until the server has room for it.
    async fn wait_for_turn(self, session: Session, outbox: Arc<Outbox>, entry: Entry) {
        let deadline = self.deadline();
        let _at_work = session.at_work();
        let router = session.router();
        let Some(gate) = router.gate() else { return };
        let turn = tokio::select! {
            biased;
            turn = gate.enter(entry.method.priority(), deadline) => turn,
            () = router.drained() => {
                refuse(self.id, &outbox);
                return;
            }
        };
        match turn {
            Err(shed) => {
                self.turn_down(&session, &outbox, full(&shed));
            }
            Ok(permit) => {
                if let Some(running) = self.run(&session, &outbox, entry, Some(permit)) {
                    running.finish(outbox).await;
                }
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.header.remaining.and_then(|remaining| self.received.checked_add(remaining))
    }

    /// Starts the handler; `None` where nothing is taken any more.
    fn run(
        mut self,
        session: &Session,
        outbox: &Arc<Outbox>,
        entry: Entry,
        permit: Option<Permit>,
    ) -> Option<RunningLaneCall> {
        let Some(in_flight) = session.router().enter() else {
            refuse(self.id, outbox);
            return None;
        };
        let deadline = self.deadline();
        let scope = Scope { deadline, trace: forward::own_span(&entry, self.header.trace) };
        let relayed = forward::relayed(&entry, &mut self.header);
        let context =
            Context::new(entry.method, session.clone(), scope, self.header.metadata).with_relayed(relayed);
        let turn = Turn { permit, in_flight: Some(in_flight) };
        let execution = Execution::start(session, entry, context, (self.body, None), self.received, turn);
        Some(RunningLaneCall { id: self.id, execution })
    }

    /// It is not taken: it may be sent elsewhere.
    pub(super) fn refuse(self, outbox: &Outbox) {
        refuse(self.id, outbox);
    }

    /// Its caller does not wait for it any more.
    pub(super) fn is_late(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Answers that it was too late when its turn came.
    pub(super) fn give_up(self, session: &Session, outbox: &Outbox) {
        let status = Status::deadline_exceeded("no time was left when the call's turn came");
        self.turn_down(session, outbox, status.not_executed());
    }

    fn turn_down(self, session: &Session, outbox: &Outbox, status: Status) -> Dispatched {
        session.router().metrics().error(status.code());
        let (header, body) = answer::status_frame(&status);
        put(outbox, self.id, &header, &body);
        Dispatched::Answered
    }
}

impl RunningLaneCall {
    /// The handler ran in place for so long before it first waited.
    #[cold]
    fn took_long(&self, took: Duration, now: Instant) {
        let metrics = self.execution.metrics();
        metrics.took_long();
        if took < BLOCKS {
            return;
        }
        if let Some(times) = metrics.blocked(now) {
            let method = self.execution.context().method();
            warn!(
                %method, ?took, times,
                "a handler blocked its thread, and with it all calls of its connection: what computes or blocks belongs \
                 into tokio::task::spawn_blocking"
            );
        }
    }

    /// Runs it to its end, as a task. A task may be aborted before it was ever polled, and this handler has run
    /// already: its context is cancelled then too.
    async fn finish(mut self, outbox: Arc<Outbox>) {
        let result = self.execution.run().await;
        if let Dispatched::AtWork(rest) = self.answer(&outbox, result, Instant::now()) {
            rest.await;
        }
    }

    /// Puts the answer into the outbox; one that is too large for the lane goes on a stream of its own.
    fn answer(self, outbox: &Outbox, result: Result<Reply, Status>, now: Instant) -> Dispatched {
        let Self { id, mut execution } = self;
        let context = execution.context();
        let method = context.method();
        let result = result.and_then(|reply| match reply.is_stream() {
            false => Ok(reply),
            true => Err(Status::internal(format!("{method} answered with a stream, and declares none"))),
        });
        let result = answer::gather(context, result);
        let (header, body, code) = answer::frame(context.session(), method, result);
        execution.done_at(now, code);
        if header.size_hint() + body.len() <= MAX_LANE_MESSAGE {
            put(outbox, id, &header, &body);
            return Dispatched::Answered;
        }
        let (session, in_flight) = (execution.context().session().clone(), execution.take_in_flight());
        Dispatched::AtWork(Box::pin(async move {
            // A server that drains waits for this reply as for others.
            let _in_flight = in_flight;
            if let Err(error) = elsewhere(&session, id, header, body).await {
                debug!(%method, %error, "reply not delivered");
            }
        }))
    }
}

/// Answers a call that panicked where that is nobody's to answer.
pub(super) fn panicked(id: u64, outbox: &Outbox) -> Dispatched {
    let (header, body) = answer::status_frame(&Status::internal("the call panicked"));
    put(outbox, id, &header, &body);
    Dispatched::Answered
}

fn refuse(id: u64, outbox: &Outbox) -> Dispatched {
    outbox.put(|buffer| LaneFrame { kind: LaneKind::Refused, id }.encode(buffer));
    Dispatched::Answered
}

fn put(outbox: &Outbox, id: u64, header: &proto::ReplyHeader, body: &crate::codec::Body) {
    outbox.put(|buffer| put_message(buffer, id, header, body.chunks()));
}

/// Sends a large reply on a stream of its own. A peer that does not read it, or lets none be opened, keeps nobody for
/// longer than other replies.
async fn elsewhere(
    session: &Session,
    id: u64,
    header: proto::ReplyHeader,
    body: crate::codec::Body,
) -> Result<(), crate::transport::WriteError> {
    let by = Instant::now() + TRANSIT;
    let Ok(opened) = timeout_at(by, session.connection().open_uni()).await else { return Ok(()) };
    let mut send = opened?;
    let mut buffer = frame_buffer(64, &body);
    buffer.extend_from_slice(&proto::PREFACE);
    varint::put(&mut buffer, id);
    header.encode(&mut buffer);
    match timeout_at(by, write_frame(&mut send, buffer, body)).await {
        Ok(written) => {
            written?;
            send.finish();
        }
        Err(_) => send.reset(reset::DEADLINE),
    }
    Ok(())
}
