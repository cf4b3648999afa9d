//! The side of a lane that makes calls.

#[cfg(feature = "measuring")]
mod measured;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    calls::{Calls, Outcome},
    driver::Driver,
    outbox::Outbox,
};
use crate::{
    Request, Status,
    proto::{self, LaneFrame, LaneKind, RequestHeader},
    session::Session,
    transport::ConnectionError,
};

#[cfg(feature = "measuring")]
pub(crate) use self::measured::lane_call;

/// A stream on which many calls are made. Dropping it ends those that wait.
#[derive(Debug)]
pub(in crate::session) struct Lane {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) outbox: Outbox,
    calls: Mutex<Calls>,
}

impl Shared {
    pub(super) fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self, status: &Status) {
        let callers = self.calls().close(status);
        callers.into_iter().for_each(Waker::wake);
    }
}

impl Lane {
    /// Opens one.
    pub(in crate::session) async fn open(session: &Session) -> Result<Self, ConnectionError> {
        let (send, recv) = session.connection().open_bi().await?;
        let shared = Arc::<Shared>::default();
        shared.outbox.put(|buffer| buffer.extend_from_slice(&proto::PREFACE));
        let driver = Driver::new(session.downgrade(), shared.clone(), send, recv);
        let task = tokio::spawn(driver.run()).abort_handle();
        Ok(Self { shared, task })
    }

    /// Makes a call, and waits for its answer; `None` where there is no room for it. Dropping the future cancels it.
    pub(in crate::session) fn call(
        &self,
        request: &Request,
        fingerprint: Option<u64>,
        deadline: Option<Instant>,
    ) -> Result<Option<LaneCall>, Status> {
        let id = match self.shared.calls().start(request.method, deadline)? {
            Some(id) => id,
            None => return Ok(None),
        };
        let header = RequestHeader {
            method: request.method.id(),
            fingerprint,
            items: false,
            trace: request.trace,
            remaining: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
            metadata: request.metadata.clone(),
            body_length: request.body.len() as u64,
        };
        self.shared.outbox.put(|buffer| {
            LaneFrame { kind: LaneKind::Message, id }.encode(buffer);
            header.encode(buffer);
            request.body.chunks().iter().for_each(|chunk| buffer.extend_from_slice(chunk));
        });
        Ok(Some(LaneCall { shared: self.shared.clone(), id, done: false }))
    }

    /// Ends it, and the calls that wait.
    pub(in crate::session) fn close(&self) {
        self.task.abort();
    }

    /// An answer that was too large for the lane has come on a stream of its own.
    pub(in crate::session) fn finish(&self, id: u64, outcome: Outcome) {
        let caller = self.shared.calls().finish(id, outcome);
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// The method of a call that still waits.
    pub(in crate::session) fn method(&self, id: u64) -> Option<&'static crate::Method> {
        self.shared.calls().method(id)
    }
}

/// A call at work on a lane.
#[derive(Debug)]
pub(in crate::session) struct LaneCall {
    shared: Arc<Shared>,
    id: u64,
    done: bool,
}

impl Future for LaneCall {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = ready!(self.shared.calls().poll(self.id, cx));
        self.done = true;
        Poll::Ready(outcome)
    }
}

impl Drop for LaneCall {
    fn drop(&mut self) {
        if !self.done && self.shared.calls().abandon(self.id) {
            self.shared.outbox.put(|buffer| LaneFrame { kind: LaneKind::Cancel, id: self.id }.encode(buffer));
        }
    }
}
