//! Reads answers off a lane: for its driver, or for a caller that is alone.
//!
//! When exactly one call is in flight, the calling task reads the reply itself. This skips the chain of wake-ups from
//! the connection to the driver to the caller. With that chain the runtime would also wake a second worker thread,
//! which costs more than all the rest.

use std::{
    sync::MutexGuard,
    task::{Context, Poll, Waker},
};

use super::calls::Calls;
use crate::{
    lock::Mutex,
    proto::{LaneBuffer, LaneInput},
    session::{WeakSession, frame::FrameError},
    transport::{ReadError, RecvStream},
};

/// Chunks that are read before waiting frames are written.
const READS: usize = 16;

#[derive(Debug)]
pub(super) struct Reader {
    session: WeakSession,
    recv: RecvStream,
    input: LaneBuffer,
    /// The error that a caller has met. The driver ends the lane.
    ended: Option<FrameError>,
}

/// The result of a reading pass.
pub(super) enum Read {
    /// Nothing more is here. The task that has read is woken when there is.
    All,
    /// There may be more.
    Some,
    /// The lane has ended.
    End(FrameError),
}

/// Wakers of callers that have an answer. They must be dropped where no lock is held: with a waker its task may be
/// dropped, which may have calls here.
#[derive(Default)]
pub(super) struct Answered {
    /// The waker of the caller that reads.
    pub(super) own: Option<Waker>,
    pub(super) others: Vec<Waker>,
}

impl Reader {
    pub(super) fn new(session: WeakSession, recv: RecvStream) -> Self {
        Self { session, recv, input: LaneBuffer::default(), ended: None }
    }

    /// Reads what is here, for the driver: gives those who have an answer now, and are to be told.
    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        calls: &Mutex<Calls>,
        answered: &mut Vec<Waker>,
    ) -> Read {
        if let Some(error) = self.ended.take() {
            return Read::End(error);
        }
        for _ in 0..READS {
            match self.poll(cx, calls, &mut |_, caller| answered.push(caller)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Read::End(error),
                Poll::Pending => return Read::All,
            }
        }
        Read::Some
    }

    /// Reads what is here, for the caller of this call. The driver is woken when more comes, where this one has its
    /// answer; otherwise the caller is.
    pub(super) fn read_for(
        &mut self,
        id: u64,
        caller: &Waker,
        calls: &Mutex<Calls>,
        driver: &Waker,
    ) -> Answered {
        let mut found = Answered::default();
        for _ in 0..READS {
            let waker = if found.own.is_some() { driver } else { caller };
            let polled = self.poll(&mut Context::from_waker(waker), calls, &mut |answered, caller| {
                if answered == id {
                    found.own = Some(caller);
                } else {
                    found.others.push(caller);
                }
            });
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.ended = Some(error);
                    break;
                }
                Poll::Pending => {
                    if found.own.is_some() {
                        lock(calls).read_by_driver();
                    }
                    return found;
                }
            }
        }
        // There is more to do than one answer.
        lock(calls).read_by_driver();
        driver.wake_by_ref();
        found
    }

    /// Reads a chunk, and hands out the answers that are here whole.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        calls: &Mutex<Calls>,
        answered: &mut dyn FnMut(u64, Waker),
    ) -> Poll<Result<(), FrameError>> {
        let chunk = match self.recv.poll_read_chunk(cx, super::CHUNK) {
            Poll::Ready(Ok(Some(chunk))) => chunk,
            Poll::Ready(Ok(None)) => return Poll::Ready(Err(ReadError::TooShort.into())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Pending => return Poll::Pending,
        };
        self.input.add(chunk);
        let mut calls = lock(calls);
        while let Some((id, input)) = self.input.next()? {
            let outcome = match input {
                LaneInput::Message(header, body) => Ok((header, body)),
                LaneInput::Refused => match self.session.upgrade() {
                    Some(session) => Err(session.turned_away()),
                    None => continue,
                },
                LaneInput::Cancel => continue,
            };
            if let Some(caller) = calls.finish(id, outcome) {
                answered(id, caller);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock()
}
