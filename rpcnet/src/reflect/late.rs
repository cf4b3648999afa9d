//! How long the items of a call may be waited for.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Method, Status, session::after};

/// Watches over a stream of items: the call's deadline, and the time between two items.
pub(super) struct Late {
    method: &'static Method,
    deadline: Option<Pin<Box<Sleep>>>,
    gap: Option<(Duration, Pin<Box<Sleep>>)>,
    waiting: bool,
}

impl Late {
    pub(super) fn new(method: &'static Method, deadline: Option<Instant>) -> Self {
        let timer = |at| Box::pin(sleep_until(at));
        let gap = method.item_timeout().map(|most| (most, timer(Instant::now())));
        Self { method, deadline: deadline.map(timer), gap, waiting: false }
    }

    /// Whether the call's time is up.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx).map(|()| {
                let method = self.method;
                Status::deadline_exceeded(format!("{method}: the stream took too long"))
            }),
            None => Poll::Pending,
        }
    }

    /// Nothing has come yet: is it too late for it?
    pub(super) fn poll_gap(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Some((most, timer)) = &mut self.gap else { return Poll::Pending };
        if !std::mem::replace(&mut self.waiting, true) {
            timer.as_mut().reset(after(Instant::now(), *most));
        }
        let method = self.method;
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Status::deadline_exceeded(format!("{method}: no item came within {most:?}")))
    }

    /// Something has come.
    pub(super) fn came(&mut self) {
        self.waiting = false;
    }
}
