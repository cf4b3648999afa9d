//! The bound on ejected endpoints.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts ejections without a lock, so that calls to different endpoints don't contend.
#[derive(Debug, Default)]
pub(super) struct EjectionSlots {
    endpoints: AtomicUsize,
    taken: AtomicUsize,
}

/// A slot for one ejected endpoint. Dropping it frees the slot, also if the endpoint is removed.
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

    /// Takes a slot, unless this share of the endpoints is ejected. Of several endpoints one may always be ejected, and
    /// the last one never.
    pub(super) fn take(self: &Arc<Self>, share: f64) -> Option<EjectionSlot> {
        let endpoints = self.endpoints.load(Ordering::Acquire);
        let most = ((endpoints as f64 * share) as usize).max(usize::from(share > 0.0));
        let most = most.min(endpoints.saturating_sub(1));
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(EjectionSlot(self.clone()))
    }
}
