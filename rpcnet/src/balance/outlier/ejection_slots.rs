//! How many endpoints may be out.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counted without a lock, so that calls to different endpoints don't meet.
#[derive(Debug, Default)]
pub(super) struct EjectionSlots {
    endpoints: AtomicUsize,
    taken: AtomicUsize,
}

/// An endpoint's being out. Whatever ends it, the endpoint's removal included, gives the seat back.
#[derive(Debug)]
pub(super) struct EjectionSlot(Arc<EjectionSlots>);

impl Drop for EjectionSlot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl EjectionSlots {
    pub(super) fn endpoints(&self, count: usize) {
        self.endpoints.store(count, Ordering::Release);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// One, unless this share of the endpoints is out. Of several, one may be out; not all may.
    pub(super) fn take(self: &Arc<Self>, share: f64) -> Option<EjectionSlot> {
        let endpoints = self.endpoints.load(Ordering::Acquire);
        let most = ((endpoints as f64 * share) as usize).max(usize::from(share > 0.0));
        let most = most.min(endpoints.saturating_sub(1));
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(EjectionSlot(self.clone()))
    }
}
