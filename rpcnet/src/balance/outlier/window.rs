//! An endpoint's calls of the last seconds, and how many of them failed.

use std::time::{Duration, Instant};

/// The time span of a slot.
const SLOT: Duration = Duration::from_millis(250);
/// The number of slots: 10 s in all.
const SLOTS: usize = 40;

/// The number of calls, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SlotCounts {
    pub(super) calls: u32,
    pub(super) failures: u32,
}

impl SlotCounts {
    pub(super) fn failing(self) -> f64 {
        f64::from(self.failures) / f64::from(self.calls.max(1))
    }
}

/// A ring of slots.
#[derive(Debug)]
pub(super) struct FailureWindow {
    origin: Instant,
    /// The number of the slot of the last call, counted from the origin.
    newest: u64,
    slots: [SlotCounts; SLOTS],
}

impl FailureWindow {
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, newest: 0, slots: [SlotCounts::default(); SLOTS] }
    }

    /// Counts a call that has ended.
    pub(super) fn add(&mut self, now: Instant, failed: bool) {
        let number = self.number(now);
        if number > self.newest {
            for passed in 1..=(number - self.newest).min(SLOTS as u64) {
                self.slots[place(self.newest + passed)] = SlotCounts::default();
            }
            self.newest = number;
        }
        let slot = &mut self.slots[place(self.newest)];
        slot.calls = slot.calls.saturating_add(1);
        slot.failures = slot.failures.saturating_add(u32::from(failed));
    }

    /// Sums up the last slots, until they have `calls` calls or reach back over `within`.
    pub(super) fn last(&self, now: Instant, calls: u32, within: Duration) -> SlotCounts {
        let number = self.number(now).max(self.newest);
        let slots = (within.as_nanos() / SLOT.as_nanos()).clamp(1, SLOTS as u128) as u64;
        // The first slot that counts.
        let oldest = (number + 1).saturating_sub(slots).max((self.newest + 1).saturating_sub(SLOTS as u64));
        let mut sum = SlotCounts::default();
        for number in (oldest..=self.newest).rev() {
            let slot = self.slots[place(number)];
            sum.calls = sum.calls.saturating_add(slot.calls);
            sum.failures = sum.failures.saturating_add(slot.failures);
            if sum.calls >= calls {
                break;
            }
        }
        sum
    }

    fn number(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.origin).as_nanos() / SLOT.as_nanos()) as u64
    }
}

fn place(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// All calls of the last 10 s are counted, to the slot.
        #[test]
        fn old_calls_are_forgotten(gaps in prop::collection::vec(0..3000_u64, 1..200), later in 0..15_000_u64) {
            let start = tokio::time::Instant::now().into_std();
            let mut window = FailureWindow::new(start);
            let mut at = 0;
            let mut calls = Vec::new();
            for gap in gaps {
                at += gap;
                window.add(start + Duration::from_millis(at), at % 3 == 0);
                calls.push(at);
            }
            let now = at + later;
            let first = (now / 250 + 1).saturating_sub(40) * 250;
            let expected: Vec<_> = calls.into_iter().filter(|call| *call >= first).collect();
            let seen = window.last(start + Duration::from_millis(now), u32::MAX, Duration::from_secs(10));
            prop_assert_eq!(seen.calls as usize, expected.len());
            prop_assert_eq!(seen.failures as usize, expected.iter().filter(|call| **call % 3 == 0).count());
        }
    }

    #[test]
    fn it_looks_no_further_back_than_it_must() {
        let start = tokio::time::Instant::now().into_std();
        let mut window = FailureWindow::new(start);
        let at = |slot: u32| start + SLOT * slot;
        for slot in 0..4 {
            for _ in 0..50 {
                window.add(at(slot), slot < 2);
            }
        }
        let last = |calls| window.last(at(3), calls, Duration::from_secs(10));
        assert_eq!(last(100), SlotCounts { calls: 100, failures: 0 });
        assert_eq!(last(101), SlotCounts { calls: 150, failures: 50 });
        assert_eq!(window.last(at(3), 1000, SLOT), SlotCounts { calls: 50, failures: 0 });
    }
}
