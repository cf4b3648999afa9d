//! An allocator that counts, and the service by which a server reports its counts.
//!
//! It counts only after it was asked to. All threads share the counters, and this costs time that the other figures
//! must not contain.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ops::Sub,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use rpcnet::{rpc_impl, rpc_trait};
use serde::{Deserialize, Serialize};

/// The number of allocations, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) allocations: u64,
    /// When an allocation grows, its new size is counted each time, because growing may move it.
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

/// Starts counting in this process.
pub(super) fn start_counting() {
    COUNTS.store(true, Relaxed);
}

/// The counts of this process.
pub(super) fn tally() -> Tally {
    Tally { allocations: ALLOCATIONS.load(Relaxed), bytes: BYTES.load(Relaxed) }
}

/// The counts of a server.
#[rpc_trait(name = "bench.v1.Allocations")]
pub(crate) trait Allocations {
    /// Starts counting.
    async fn start(&self) -> rpcnet::Result<()>;
    /// Returns the counts.
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

// SAFETY: every call goes to the system's allocator with the same arguments. Counting allocates nothing.
#[expect(unsafe_code, reason = "an allocator is unsafe to write, and only an allocator sees all allocations")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller promises the same as the system's allocator asks for.
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
        // Other tests allocate at the same time.
        assert!(after.allocations >= 1 && after.bytes >= 1 << 20, "{after:?}");
        drop(memory);
    }
}
