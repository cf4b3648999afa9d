//! The side of a lane that makes calls.

#[cfg(feature = "measuring")]
mod measured;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::{
        Arc, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use tokio::task::AbortHandle;

use super::{
    calls::{CallOutcome, Calls, StartedCall},
    driver::LaneDriver,
    outbox::{LaneWriter, Outbox, Put},
    reader::{Read, Reader},
};
use crate::{
    Request, Status,
    lock::Mutex,
    proto::{self, LaneFrame, LaneKind, RequestHeader, Routing, put_message},
    session::{Deadlines, Session},
    transport::{ConnectionError, ReadError, WriteError},
};

#[cfg(feature = "measuring")]
pub(crate) use self::measured::lane_call;

/// Bytes that may wait to be written before further calls have streams of their own. Calls that are given up leave
/// their messages here, so their number alone would bound nothing while the peer does not read.
const FULL: usize = 4 << 20;

/// A method's fingerprint and its routing, each where the peer has to be told.
type Told = (Option<u64>, Option<Arc<Routing>>);

/// A stream on which many calls are made. Dropping it ends those that wait.
#[derive(Debug)]
pub(in crate::session) struct LaneClient {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for LaneClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) outbox: Outbox,
    /// `None` when the lane has ended.
    writer: Mutex<Option<LaneWriter>>,
    /// The receiving half. Locked before the calls are.
    reader: Mutex<Option<Reader>>,
    calls: Mutex<Calls>,
    /// Wakes the driver, once it has run.
    pub(super) driver: OnceLock<Waker>,
    pub(super) crowded: AtomicBool,
}

impl Shared {
    pub(super) fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock()
    }

    /// Writes what waits. For the driver.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        match &mut *self.writer() {
            Some(writer) => self.outbox.poll_write(cx, writer),
            None => Poll::Ready(Err(WriteError::Closed)),
        }
    }

    /// Writes what waits in place of the driver: one that is woken for a single call costs it as much time as the rest
    /// of its way to the socket. Where the driver is at it, or something is left to do, it is woken all the same.
    fn write_for(&self, driver: &Waker) {
        let written = match self.writer.try_lock() {
            Some(mut writer) => {
                writer.as_mut().map(|writer| self.outbox.poll_write(&mut Context::from_waker(driver), writer))
            }
            None => None,
        };
        match written {
            // The driver is woken once the peer takes more.
            Some(Poll::Ready(Ok(())) | Poll::Pending) => {}
            // The driver finds the same error.
            Some(Poll::Ready(Err(_))) | None => driver.wake_by_ref(),
        }
    }

    /// Reads what is here. For the driver.
    pub(super) fn read(&self, cx: &mut Context<'_>, answered: &mut Vec<Waker>) -> Read {
        let mut reader = self.reader();
        let Some(reader) = &mut *reader else { return Read::End(ReadError::Closed.into()) };
        // A caller that begins to read holds the reader's lock.
        if self.calls().reader().is_some() {
            return Read::All;
        }
        reader.read(cx, &self.calls, answered)
    }

    /// Reads the answer of the call that is at work alone, in place of the driver, where that is not at it. Whether it
    /// is here.
    fn read_for(&self, id: u64, caller: &Waker) -> bool {
        let Some(driver) = self.driver.get() else { return false };
        let Some(mut reader) = self.reader.try_lock() else {
            self.have_driver_read();
            return false;
        };
        let answered = match &mut *reader {
            Some(reader) if self.calls().read_by(id) => reader.read_for(id, caller, &self.calls, driver),
            _ => return false,
        };
        drop(reader);
        answered.others.into_iter().for_each(Waker::wake);
        answered.own.is_some()
    }

    /// The call whose caller has read is over.
    fn have_driver_read(&self) {
        self.calls().read_by_driver();
        self.wake_driver();
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.driver.get() {
            driver.wake_by_ref();
        }
    }

    fn reader(&self) -> MutexGuard<'_, Option<Reader>> {
        self.reader.lock()
    }

    fn writer(&self) -> MutexGuard<'_, Option<LaneWriter>> {
        self.writer.lock()
    }

    pub(super) fn close(&self, status: &Status) {
        drop(self.writer().take());
        drop(self.reader().take());
        let callers = self.calls().close(status);
        callers.into_iter().for_each(Waker::wake);
    }
}

/// Has the session's lane opened, where nobody has yet. In a task: were it a caller's future that opens it, all others
/// would wait for that one to be polled. The task ends with the connection at the latest.
pub(in crate::session) fn want(session: &Session) {
    if session.inner.lane_wanted.swap(true, Ordering::Relaxed) {
        return;
    }
    let session = session.clone();
    session.runtime().handle().clone().spawn(async move {
        // Where it can't be opened the connection has ended, and callers are told of that.
        if let Ok(lane) = LaneClient::open(&session).await {
            session.inner.lane.get_or_init(|| lane);
            session.update(|state| state.lane = true);
        }
    });
}

impl LaneClient {
    /// Opens one.
    async fn open(session: &Session) -> Result<Self, ConnectionError> {
        let (send, recv) = session.connection().open_bi().await?;
        let shared = Arc::new(Shared {
            writer: Mutex::new(Some(LaneWriter::new(send))),
            reader: Mutex::new(Some(Reader::new(session.downgrade(), recv))),
            ..Shared::default()
        });
        shared.outbox.put(|buffer| buffer.extend_from_slice(&proto::PREFACE));
        let driver = LaneDriver::new(session.downgrade(), shared.clone(), session.runtime().handle());
        let task = session.runtime().handle().spawn(driver.run()).abort_handle();
        Ok(Self { shared, task })
    }

    /// Sends a call, and gives its id; `None` where there is no room for it, or the lane has ended. The caller is woken
    /// when there is an answer.
    pub(in crate::session) fn call(
        &self,
        request: &Request,
        (fingerprint, routing): Told,
        times: &Deadlines,
        caller: Option<&Waker>,
    ) -> Option<u64> {
        if self.shared.outbox.len() >= FULL {
            return None;
        }
        let started = self.shared.calls().start(request.method, times.call, caller);
        let StartedCall { id, alone, others, takes_over, driver } = started?;
        if takes_over {
            self.shared.wake_driver();
        }
        let header = RequestHeader {
            method: request.method_id(),
            fingerprint,
            items: false,
            trace: request.trace,
            remaining: times.remaining(),
            metadata: request.metadata.clone(),
            resume_after: 0,
            routing,
            body_length: request.body.len() as u64,
        };
        let put = self.shared.outbox.fill_call(times.made(), others, |buffer| {
            put_message(buffer, id, &header, request.body.chunks());
        });
        match put {
            Put::Wakes(driver) if alone => self.shared.write_for(&driver),
            Put::Wakes(driver) => driver.wake(),
            Put::Leaves => match self.shared.driver.get() {
                Some(driver) => self.shared.write_for(driver),
                None => unreachable!("it has told callers"),
            },
            Put::Waits => {}
        }
        // While the peer does not read, what is put into the outbox wakes nobody.
        if let Some(driver) = driver {
            driver.wake();
        }
        if alone
            && let Some(caller) = caller
            && self.shared.read_for(id, caller)
        {
            caller.wake_by_ref();
        }
        Some(id)
    }

    /// Returns whether calls gather here faster than they leave.
    pub(in crate::session) fn is_saturated(&self) -> bool {
        self.shared.crowded.load(Ordering::Relaxed)
    }

    /// Ends it, and the calls that wait.
    pub(in crate::session) fn close(&self) {
        self.task.abort();
    }

    /// An answer that was too large for the lane has come on a stream of its own.
    pub(in crate::session) fn finish(&self, id: u64, outcome: CallOutcome) {
        let caller = self.shared.calls().finish(id, outcome);
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// Lets all who wait for an answer have a look.
    pub(in crate::session) fn wake_callers(&self) {
        let callers = self.shared.calls().callers();
        callers.into_iter().for_each(Waker::wake);
    }

    /// The method of a call that still waits.
    pub(in crate::session) fn method(&self, id: u64) -> Option<&'static crate::Method> {
        self.shared.calls().method(id)
    }
}

/// A call at work on its session's lane. Ready with the answer; dropping it cancels the call.
#[derive(Debug)]
pub(crate) struct LaneCall {
    session: Session,
    id: u64,
    done: bool,
}

impl LaneCall {
    /// The call that this id was given for; nobody else has asked for its answer.
    pub(in crate::session) fn new(session: Session, id: u64) -> Self {
        session.count_waiting();
        Self { session, id, done: false }
    }

    /// The session that it was made on.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    fn shared(&self) -> &Shared {
        &self.session.inner.lane.get().expect("it was made on it").shared
    }
}

impl Future for LaneCall {
    type Output = CallOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallOutcome> {
        let (shared, id) = (self.shared(), self.id);
        let mut calls = shared.calls();
        let reads = calls.reader() == Some(id);
        let mut outcome = calls.poll(id, cx);
        drop(calls);
        if reads {
            match &outcome {
                Poll::Pending if shared.read_for(id, cx.waker()) => outcome = shared.calls().poll(id, cx),
                Poll::Pending => {}
                // It came otherwise.
                Poll::Ready(_) => shared.have_driver_read(),
            }
        }
        let outcome = ready!(outcome);
        self.done = true;
        Poll::Ready(outcome)
    }
}

impl Drop for LaneCall {
    fn drop(&mut self) {
        self.session.count_answered();
        if self.done {
            return;
        }
        // The waker is dropped when the lock is not held any more: with it may go a task that has calls here.
        let shared = self.shared();
        let mut calls = shared.calls();
        let reads = calls.reader() == Some(self.id);
        let abandoned = calls.abandon(self.id);
        drop(calls);
        if reads {
            shared.have_driver_read();
        }
        if abandoned.is_some() {
            self.shared()
                .outbox
                .put(|buffer| LaneFrame { kind: LaneKind::Cancel, id: self.id }.encode(buffer));
        }
    }
}
