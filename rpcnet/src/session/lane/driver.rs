//! Reads answers off a lane and writes calls to it: one task, woken by whichever has something.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};
use tracing::debug;

use super::{
    batching::{BatchWindow, Contention, Saturation},
    client::Shared,
    reader::Read,
};
use crate::{
    Status,
    proto::{LaneFrame, LaneKind},
    session::{WeakSession, frame::FrameError},
    transport::{ConnectionError, ReadError, WriteError},
};

pub(super) struct LaneDriver {
    session: WeakSession,
    shared: Arc<Shared>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Callers that have their answer, and are to be told.
    answered: Vec<Waker>,
    /// Several of them were told, and this task has queued up behind them.
    told: bool,
    company: Contention,
    crowded: Saturation,
}

/// The task was aborted: the session has ended.
impl Drop for LaneDriver {
    fn drop(&mut self) {
        self.shared.close(&self.gone(ConnectionError::LocallyClosed));
    }
}

impl LaneDriver {
    /// The status of calls that wait when the connection ends.
    fn gone(&self, error: ConnectionError) -> Status {
        match self.session.upgrade() {
            Some(session) => session.lost(error, true),
            None => Status::unavailable("the connection was closed"),
        }
    }

    pub(super) fn new(session: WeakSession, shared: Arc<Shared>, runtime: &Handle) -> Self {
        let workers = runtime.metrics().num_workers();
        Self {
            session,
            shared,
            timer: None,
            answered: Vec::new(),
            told: false,
            company: Contention::new(workers),
            crowded: Saturation::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let error = poll_fn(|cx| self.poll(cx)).await;
        debug!(%error, "lane ended");
        // Their answers came right before the end.
        self.answered.drain(..).for_each(Waker::wake);
        let status = match (error, self.session.upgrade()) {
            (FrameError::Read(ReadError::Connection(error)), _) => self.gone(error),
            (error, Some(session)) => session.unread(error),
            (_, None) => self.gone(ConnectionError::LocallyClosed),
        };
        self.shared.close(&status);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<FrameError> {
        self.shared.outbox.awake();
        self.shared.driver.get_or_init(|| cx.waker().clone());
        let (made, at_work) = self.shared.calls().turn();
        if std::mem::take(&mut self.told) {
            let crowded = self.crowded.turn(made, at_work);
            if crowded != self.shared.crowded.load(Ordering::Relaxed) {
                self.shared.crowded.store(crowded, Ordering::Relaxed);
            }
            self.shared.outbox.gathered();
            if let Some(error) = self.write(cx) {
                return Poll::Ready(error);
            }
            self.shared.outbox.awake();
        }
        match self.shared.read(cx, &mut self.answered) {
            Read::All => {}
            Read::Some => cx.waker().wake_by_ref(),
            Read::End(error) => return Poll::Ready(error),
        }
        if self.answered.len() > 1 {
            let gather = BatchWindow::new(Instant::now(), self.company.is_there());
            self.shared.outbox.gather(gather);
            self.told = true;
        }
        self.answered.drain(..).for_each(Waker::wake);
        if self.told {
            // Behind them.
            cx.waker().wake_by_ref();
        } else if let Some(error) = self.write(cx) {
            return Poll::Ready(error);
        }
        self.poll_deadlines(cx);
        Poll::Pending
    }

    /// Writes what waits, as far as the peer takes it.
    fn write(&self, cx: &mut Context<'_>) -> Option<FrameError> {
        match self.shared.poll_write(cx) {
            Poll::Ready(Ok(())) | Poll::Pending => None,
            Poll::Ready(Err(WriteError::Connection(error))) => Some(ReadError::Connection(error).into()),
            // A peer that hears no calls, and says nothing, would keep them waiting.
            Poll::Ready(Err(WriteError::Stopped(code))) => Some(ReadError::Reset(code).into()),
            Poll::Ready(Err(WriteError::Closed)) => Some(ReadError::Closed.into()),
        }
    }

    /// One timer for all calls: it is moved only where a deadline is sooner than all before.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) {
        let mut expired = Vec::new();
        loop {
            let Some(earliest) = self.shared.calls().earliest(cx) else { break };
            match &mut self.timer {
                Some(timer) if timer.deadline() == earliest => {}
                Some(timer) => timer.as_mut().reset(earliest),
                none => *none = Some(Box::pin(sleep_until(earliest))),
            }
            let timer = self.timer.as_mut().expect("it was just set");
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            self.shared.calls().expire(Instant::now(), &mut expired);
        }
        if expired.is_empty() {
            return;
        }
        self.shared.outbox.put(|buffer| {
            for (id, _) in &expired {
                LaneFrame { kind: LaneKind::Cancel, id: *id }.encode(buffer);
            }
        });
        expired.into_iter().filter_map(|(_, caller)| caller).for_each(Waker::wake);
    }
}
