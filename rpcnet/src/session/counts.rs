//! What is at work on a session: our calls that wait for answers, and streams of items that are read here.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Session;

/// What each call counts. In a cache line of its own (processors fetch them in pairs): the other fields of a session are
/// read with each call, and hardly ever written.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    /// Calls made, to look at the path now and then.
    pub(super) made: AtomicUsize,
    /// Our own calls that wait for an answer.
    pub(super) outstanding: AtomicUsize,
    /// Streams of items that are read here.
    streams: AtomicUsize,
}

/// A call that waits for an answer; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Session);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.count_answered();
    }
}

/// A stream of items that is read; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Reading(Session);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.left(&self.0.inner.counts.streams);
    }
}

impl Session {
    /// Counts a call that waits for an answer.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.count_waiting();
        Waiting(self)
    }

    pub(super) fn count_waiting(&self) {
        if self.inner.counts.outstanding.fetch_add(1, Ordering::Relaxed) == 0 {
            self.inner.busy.notify_one();
        }
    }

    pub(super) fn count_answered(&self) {
        self.left(&self.inner.counts.outstanding);
    }

    /// Waits until no call of ours waits for an answer and no stream of ours is read; for a peer that drains.
    /// Cancel-safe.
    pub(crate) async fn quiet(&self) {
        while !self.is_quiet() {
            self.inner.quiet.notified().await;
        }
    }

    /// Whether no call of ours waits for an answer and no stream of ours is read.
    pub(crate) fn is_quiet(&self) -> bool {
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        count(&self.inner.counts.outstanding) + count(&self.inner.counts.streams) == 0
    }

    pub(super) fn streams(&self) -> usize {
        self.inner.counts.streams.load(Ordering::Relaxed)
    }

    /// Our own calls that wait for an answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.inner.counts.outstanding.load(Ordering::Relaxed)
    }

    pub(super) fn reading(&self) -> Reading {
        if self.inner.counts.streams.fetch_add(1, Ordering::Relaxed) == 0 {
            self.inner.busy.notify_one();
        }
        Reading(self.clone())
    }

    fn left(&self, count: &AtomicUsize) {
        // Counted down first, then looked, while who waits for it to drain has told before it counts: one of them sees the
        // other. Mostly calls are taken, and then the peer does not drain.
        let last = count.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !self.inner.takes_calls.load(Ordering::SeqCst) && self.inner.condition.borrow().draining {
            self.inner.quiet.notify_one();
        }
    }
}
