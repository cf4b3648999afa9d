//! An allocator that counts, and the service by which a server tells its counts.
//!
//! It counts only once it is asked to: the counters are shared by all threads, which costs time that the other figures
//! must not contain.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ops::Sub,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use rpcnet::{rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};

/// How often memory was allocated, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) allocations: u64,
    /// Of memory that grows, its new size is counted each time: growing may move it.
    pub(crate) bytes: u64,
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { allocations: self.allocations - before.allocations, bytes: self.bytes - before.bytes }
    }
}

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Counts in this process from now on.
pub(super) fn start_counting() {
    COUNTS.store(true, Relaxed);
}

/// What was counted in this process.
pub(super) fn tally() -> Tally {
    Tally { allocations: ALLOCATIONS.load(Relaxed), bytes: BYTES.load(Relaxed) }
}

/// The same, of a server.
#[rpc_trait(name = "bench.v1.Allocations")]
pub(crate) trait Allocations {
    /// Counts from now on.
    async fn start(&self) -> rpcnet::Result<()>;
    /// What was counted.
    async fn tally(&self) -> rpcnet::Result<Tally>;
}

pub(crate) struct Here;

#[rpc_impl]
impl Allocations for Here {
    async fn start(&self) -> rpcnet::Result<()> {
        start_counting();
        Ok(())
    }

    async fn tally(&self) -> rpcnet::Result<Tally> {
        Ok(tally())
    }
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn count(size: usize) {
        if COUNTS.load(Relaxed) {
            ALLOCATIONS.fetch_add(1, Relaxed);
            BYTES.fetch_add(size as u64, Relaxed);
        }
    }
}

// SAFETY: everything is handed to the system's allocator as it came; counting allocates nothing.
#[expect(unsafe_code, reason = "an allocator is unsafe to write, and only an allocator sees all allocations")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::count(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, new_size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_counted() {
        start_counting();
        let before = tally();
        let memory = vec![1_u8; 1 << 20];
        let after = tally() - before;
        // Other tests allocate meanwhile.
        assert!(after.allocations >= 1 && after.bytes >= 1 << 20, "{after:?}");
        drop(memory);
    }
}
