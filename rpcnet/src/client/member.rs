//! One endpoint of a balanced channel.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::{
    balance::PeakEwma,
    discover::Endpoint,
    pool::{Dialer, Remote, Target},
    session::Session,
};

/// What a latency loses all but 1/e of its weight within.
const DECAY: Duration = Duration::from_secs(10);
/// What is assumed of an endpoint that was never called.
const ASSUMED: Duration = Duration::from_millis(1);
/// What a call that failed counts for, so that an endpoint that fails fast does not look fast.
const PENALTY: Duration = Duration::from_secs(1);

/// An endpoint, its connection, and what calls there have come to.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: Endpoint,
    /// The endpoint's tags as last told: they may change while it stays the same endpoint.
    pub(super) tags: ArcSwap<BTreeMap<String, String>>,
    pub(super) remote: Remote,
    pending: AtomicUsize,
    latency: Mutex<PeakEwma>,
    pub(super) calls: AtomicU64,
    pub(super) failures: AtomicU64,
    /// Microseconds of Unix time; zero for never.
    last_pick: AtomicU64,
    first_pick: AtomicU64,
}

impl Member {
    pub(super) fn start(dialer: &Arc<Dialer>, endpoint: Endpoint) -> Arc<Self> {
        let target = Target::of(&endpoint);
        Arc::new(Self {
            remote: Remote::start(dialer.clone(), target),
            tags: ArcSwap::from_pointee(endpoint.tags().clone()),
            endpoint,
            pending: AtomicUsize::new(0),
            latency: Mutex::new(PeakEwma::new(Instant::now().into_std(), ASSUMED, DECAY)),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_pick: AtomicU64::new(0),
            first_pick: AtomicU64::new(0),
        })
    }

    pub(super) fn load(&self, now: Instant) -> f64 {
        let pending = self.pending.load(Ordering::Relaxed);
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).load(now.into_std(), pending)
    }

    pub(super) fn picked(self: &Arc<Self>, session: Session) -> Picked {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = now.as_micros() as u64;
        self.last_pick.store(now, Ordering::Relaxed);
        let _ = self.first_pick.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        Picked { member: self.clone(), session, since: Instant::now() }
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    pub(super) fn first_pick(&self) -> Option<SystemTime> {
        unix_micros(self.first_pick.load(Ordering::Relaxed))
    }

    pub(super) fn last_pick(&self) -> Option<SystemTime> {
        unix_micros(self.last_pick.load(Ordering::Relaxed))
    }
}

fn unix_micros(micros: u64) -> Option<SystemTime> {
    (micros > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
}

/// A call on its way to a member; counted as pending until it is dropped.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) member: Arc<Member>,
    pub(super) session: Session,
    since: Instant,
}

impl Picked {
    pub(super) fn done(&self, ok: bool) {
        self.member.calls.fetch_add(1, Ordering::Relaxed);
        let mut latency = self.since.elapsed();
        if !ok {
            self.member.failures.fetch_add(1, Ordering::Relaxed);
            latency = latency.max(PENALTY);
        }
        let now = Instant::now().into_std();
        self.member.latency.lock().unwrap_or_else(PoisonError::into_inner).observe(now, latency);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.member.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
