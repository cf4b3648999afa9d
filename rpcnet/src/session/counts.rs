//! Counts of the work on a session: our calls that wait for answers, and streams of items that are read here.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::time::Instant;

use super::{Session, WeakSession};
use crate::limit::Guest;

/// Counters that each call changes. In a cache line of its own (processors fetch them in pairs): the other fields of a
/// session are read with each call, and hardly ever written.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Counts {
    /// Calls made, to look at the path now and then.
    pub(super) made: AtomicUsize,
    /// Our own calls that wait for an answer.
    pub(super) outstanding: AtomicUsize,
    /// Streams of items that are read here.
    streams: AtomicUsize,
    /// Streams of items that users wait for: answers to calls that are not internal.
    awaited: AtomicUsize,
    /// Calls of the peer that are at work here, and those who may call it back.
    calls: AtomicUsize,
    /// When the last of its calls ended: microseconds after the session began.
    ended: AtomicU64,
    since: Instant,
}

impl Counts {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            made: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            since,
        }
    }
}

/// A call of the peer, or what may call it back; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct PeerCallGuard(Session);

impl PeerCallGuard {
    pub(crate) fn session(&self) -> &Session {
        &self.0
    }

    /// The call ends now.
    pub(super) fn ends_at(&self, now: Instant) {
        let counts = &self.0.inner.counts;
        let after = now.saturating_duration_since(counts.since).as_micros();
        counts.ended.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for PeerCallGuard {
    fn drop(&mut self) {
        self.0.inner.counts.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guest for WeakSession {
    fn idle_since(&self) -> Option<std::time::Instant> {
        self.upgrade()?.idle_since()
    }
}

/// A call that waits for an answer; counted until it is dropped.
#[derive(Debug)]
pub(super) struct OutstandingGuard<'a>(&'a Session);

impl Drop for OutstandingGuard<'_> {
    fn drop(&mut self) {
        self.0.count_answered();
    }
}

/// A stream of items that is read; counted until it is dropped.
#[derive(Debug)]
pub(super) struct StreamGuard {
    session: Session,
    is_awaited: bool,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let counts = &self.session.inner.counts;
        if self.is_awaited {
            counts.awaited.fetch_sub(1, Ordering::Relaxed);
        }
        self.session.left(&counts.streams);
    }
}

impl Session {
    /// Counts a call that waits for an answer.
    pub(super) fn waiting(&self) -> OutstandingGuard<'_> {
        self.count_waiting();
        OutstandingGuard(self)
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

    /// Returns whether no call of ours waits for an answer and no stream of ours is read.
    pub(crate) fn is_quiet(&self) -> bool {
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        count(&self.inner.counts.outstanding) + count(&self.inner.counts.streams) == 0
    }

    /// Counts a call of the peer, or one who may call it back.
    pub(crate) fn at_work(&self) -> PeerCallGuard {
        self.inner.counts.calls.fetch_add(1, Ordering::Relaxed);
        PeerCallGuard(self.clone())
    }

    /// Since when no call is at work here in either direction; `None` while one is, or may be made from here.
    pub(super) fn idle_since(&self) -> Option<std::time::Instant> {
        let counts = &self.inner.counts;
        let is_idle = counts.calls.load(Ordering::Relaxed) == 0 && self.is_quiet();
        let after = std::time::Duration::from_micros(counts.ended.load(Ordering::Relaxed));
        is_idle.then(|| counts.since.checked_add(after).unwrap_or(counts.since).into_std())
    }

    pub(super) fn streams(&self) -> usize {
        self.inner.counts.streams.load(Ordering::Relaxed)
    }

    /// Our own calls that wait for an answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.inner.counts.outstanding.load(Ordering::Relaxed)
    }

    /// Streams of items that users wait for.
    pub(super) fn awaited(&self) -> usize {
        self.inner.counts.awaited.load(Ordering::Relaxed)
    }

    /// Counts a stream of items that is read.
    pub(super) fn reading(&self, is_awaited: bool) -> StreamGuard {
        let counts = &self.inner.counts;
        let mut first = counts.streams.fetch_add(1, Ordering::Relaxed) == 0;
        if is_awaited {
            first |= counts.awaited.fetch_add(1, Ordering::Relaxed) == 0;
        }
        if first {
            self.inner.busy.notify_one();
        }
        StreamGuard { session: self.clone(), is_awaited }
    }

    fn left(&self, count: &AtomicUsize) {
        // Counted down first, then looked, while who waits for it to drain has told before it counts: one of them sees
        // the other. Mostly calls are taken, and then the peer does not drain.
        let last = count.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !self.inner.takes_calls.load(Ordering::SeqCst) && self.inner.peer_state.borrow().draining {
            self.inner.quiet.notify_one();
        }
    }
}
