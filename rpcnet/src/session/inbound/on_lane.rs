//! A call that came on a lane: run in place as far as it goes, then as a task.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tracing::debug;

use super::{CancelOnDrop, answer, full, handler, receive, until};
use crate::{
    Context, Reply, Status,
    context::Scope,
    limit::{Outcome, Permit},
    metrics::Timer,
    proto::{self, LaneFrame, LaneKind, MAX_LANE_MESSAGE, RequestHeader, varint},
    session::{Entry, Session, lane::Outbox, router::InFlight},
};

/// A handler that took this long before it first waited is not run in place the next times: it would keep the other
/// calls of its lane waiting.
const LONG: std::time::Duration = std::time::Duration::from_micros(100);

/// A call that has arrived on a lane.
pub(in crate::session) struct LaneCall {
    pub(in crate::session) id: u64,
    pub(in crate::session) header: RequestHeader,
    pub(in crate::session) body: Bytes,
    pub(in crate::session) received: Instant,
}

/// What became of it at once.
pub(in crate::session) enum Started {
    Answered,
    /// This goes on as a task.
    AtWork(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// A call that runs.
struct Running {
    id: u64,
    session: Session,
    outbox: Arc<Outbox>,
    context: Context,
    handler: handler::Running,
    timer: Timer,
    permit: Option<Permit>,
    _in_flight: InFlight,
}

impl LaneCall {
    /// Checks it, and runs it as far as it goes without waiting.
    pub(in crate::session) fn start(
        self,
        session: &Session,
        outbox: &Arc<Outbox>,
        task: &mut Task<'_>,
    ) -> Started {
        let router = session.router();
        if router.is_draining() {
            return refuse(self.id, outbox);
        }
        let entry = match receive::examine(session, &self.header) {
            Ok(entry) => entry,
            Err((status, _)) => return self.turn_down(session, outbox, status.not_executed()),
        };
        if router.gate().is_some() && !entry.internal {
            return Started::AtWork(Box::pin(self.wait_for_turn(session.clone(), outbox.clone(), entry)));
        }
        let in_place = !entry.metrics.takes_long();
        let metrics = entry.metrics.clone();
        let Some(mut running) = self.run(session, outbox, entry, None) else { return Started::Answered };
        if in_place {
            let begun = Instant::now();
            let polled = running.context.inherits().enter(|| Pin::new(&mut running.handler).poll(task));
            if begun.elapsed() > LONG {
                metrics.took_long();
            }
            if let Poll::Ready(result) = polled {
                return running.answer(Some(result));
            }
        }
        Started::AtWork(Box::pin(running.finish()))
    }

    /// Waits until the server has room for it.
    async fn wait_for_turn(self, session: Session, outbox: Arc<Outbox>, entry: Entry) {
        let deadline = self.deadline();
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
                    running.finish().await;
                }
            }
        }
    }

    pub(in crate::session) fn deadline(&self) -> Option<Instant> {
        self.header.remaining.and_then(|remaining| self.received.checked_add(remaining))
    }

    /// Starts the handler; `None` where nothing is taken any more.
    fn run(
        self,
        session: &Session,
        outbox: &Arc<Outbox>,
        entry: Entry,
        permit: Option<Permit>,
    ) -> Option<Running> {
        let Some(in_flight) = session.router().enter() else {
            refuse(self.id, outbox);
            return None;
        };
        let deadline = self.deadline();
        let scope = Scope { deadline, trace: self.header.trace.map(|trace| trace.child(&mut rand::rng())) };
        let timer = entry.metrics.start(self.received);
        let context = Context::new(entry.method, session.clone(), scope, self.header.metadata);
        let handler = handler::start(session, entry, context.clone(), self.body, None);
        Some(Running {
            id: self.id,
            session: session.clone(),
            outbox: outbox.clone(),
            context,
            handler,
            timer,
            permit,
            _in_flight: in_flight,
        })
    }

    /// It is not taken: it may be sent elsewhere.
    pub(in crate::session) fn refuse(self, outbox: &Outbox) {
        refuse(self.id, outbox);
    }

    fn turn_down(self, session: &Session, outbox: &Outbox, status: Status) -> Started {
        session.router().metrics().error(status.code());
        let (header, body) = answer::status_frame(&status);
        put(outbox, self.id, &header, &body);
        Started::Answered
    }
}

impl Running {
    /// Runs it to its end, as a task.
    async fn finish(mut self) {
        let mut cancel = CancelOnDrop(Some(self.context.clone()));
        let scope = self.context.inherits();
        let result = until(scope.deadline, scope.around(&mut self.handler)).await;
        if result.is_some() {
            cancel.0 = None;
        }
        drop(cancel);
        if let Started::AtWork(rest) = self.answer(result) {
            rest.await;
        }
    }

    /// Puts the answer into the outbox; one that is too large for the lane goes on a stream of its own.
    fn answer(self, result: Option<Result<Reply, Status>>) -> Started {
        if let Some(permit) = self.permit
            && result.is_some()
        {
            permit.done(Outcome::Completed);
        }
        let method = self.context.method();
        let result = result
            .unwrap_or_else(|| Err(Status::deadline_exceeded(format!("{method} ran out of time"))))
            .and_then(|reply| match reply.is_stream() {
                false => Ok(reply),
                true => Err(Status::internal(format!("{method} answered with a stream, and declares none"))),
            });
        let result = answer::gather(&self.context, result);
        let (header, body, code) = answer::frame(&self.session, method, result);
        self.timer.done(code);
        if header.size_hint() + body.len() <= MAX_LANE_MESSAGE {
            put(&self.outbox, self.id, &header, &body);
            return Started::Answered;
        }
        let (session, id) = (self.session, self.id);
        Started::AtWork(Box::pin(async move {
            if let Err(error) = elsewhere(&session, id, header, body).await {
                debug!(%method, %error, "reply not delivered");
            }
        }))
    }
}

fn refuse(id: u64, outbox: &Outbox) -> Started {
    outbox.put(|buffer| LaneFrame { kind: LaneKind::Refused, id }.encode(buffer));
    Started::Answered
}

fn put(outbox: &Outbox, id: u64, header: &proto::ReplyHeader, body: &crate::codec::Body) {
    outbox.put(|buffer| {
        LaneFrame { kind: LaneKind::Message, id }.encode(buffer);
        header.encode(buffer);
        body.chunks().iter().for_each(|chunk| buffer.extend_from_slice(chunk));
    });
}

/// Sends a large reply on a stream of its own.
async fn elsewhere(
    session: &Session,
    id: u64,
    header: proto::ReplyHeader,
    mut body: crate::codec::Body,
) -> Result<(), crate::transport::WriteError> {
    let mut send = session.connection().open_uni().await?;
    let mut buffer = BytesMut::with_capacity(64);
    buffer.extend_from_slice(&proto::PREFACE);
    varint::put(&mut buffer, id);
    header.encode(&mut buffer);
    send.write(buffer.freeze()).await?;
    send.write_chunks(body.chunks_mut()).await?;
    send.finish();
    Ok(())
}
