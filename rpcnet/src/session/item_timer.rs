//! The times that bound the wait for the items of a stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::after;
use crate::{Method, Status};

/// Bounds a stream by the call's deadline, and the wait for each of its items. The time between two items that nobody
/// waits for does not count.
pub(crate) struct ItemTimer {
    method: &'static Method,
    deadline: Option<Pin<Box<Sleep>>>,
    gap: Option<Gap>,
}

/// The time for which a reader waits for one item.
struct Gap {
    most: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl ItemTimer {
    pub(crate) fn new(method: &'static Method, deadline: Option<Instant>, gap: Option<Duration>) -> Self {
        let timer = |at| Box::pin(sleep_until(at));
        let gap = gap.map(|most| Gap { most, timer: timer(Instant::now()), waiting: false });
        Self { method, deadline: deadline.map(timer), gap }
    }

    /// To be called when no item is ready. Ready once the call's deadline has passed, or the item took too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        match self.poll_deadline(cx) {
            Poll::Pending => self.poll_gap(cx),
            late => late,
        }
    }

    /// Ready once the call's deadline has passed.
    pub(crate) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        let method = self.method;
        let late = |()| Status::deadline_exceeded(format!("{method}: the stream took too long"));
        deadline.as_mut().poll(cx).map(late)
    }

    /// To be called when no item is ready. Ready once it took too long.
    pub(crate) fn poll_gap(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Some(gap) = &mut self.gap else { return Poll::Pending };
        if !std::mem::replace(&mut gap.waiting, true) {
            gap.timer.as_mut().reset(after(Instant::now(), gap.most));
        }
        let (method, most) = (self.method, gap.most);
        let late = |()| Status::deadline_exceeded(format!("{method}: no item came within {most:?}"));
        gap.timer.as_mut().poll(cx).map(late)
    }

    /// An item has come.
    pub(crate) fn came(&mut self) {
        if let Some(gap) = &mut self.gap {
            gap.waiting = false;
        }
    }
}
