//! Rates from totals.

use std::collections::VecDeque;
use std::time::Duration;

/// The time over which a rate is measured: longer than a hiccup, and short enough to show a kill.
const WINDOW: Duration = Duration::from_secs(2);

/// The growth of a total over the last two seconds.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// A rate without samples, which is zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the total at a time since any fixed start. Times that go back are ignored.
    pub fn observe(&mut self, at: Duration, total: u64) {
        if self.samples.back().is_some_and(|&(last, _)| at <= last) {
            return;
        }
        self.samples.push_back((at, total));
        // The newest sample at or before the window's start stays.
        while self.samples.get(1).is_some_and(|&(second, _)| second + WINDOW <= at) {
            self.samples.pop_front();
        }
    }

    /// The growth a second.
    pub fn per_second(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(&(start, first)), Some(&(end, last))) if end > start => {
                last.saturating_sub(first) as f64 / (end - start).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_two_seconds() {
        let mut rate = Rate::new();
        assert_eq!(rate.per_second(), 0.0);
        for tenths in 0..100_u64 {
            let total = if tenths < 50 { tenths * 10 } else { 500 };
            rate.observe(Duration::from_millis(tenths * 100), total);
            match tenths {
                0 => assert_eq!(rate.per_second(), 0.0),
                1..=49 => assert!((rate.per_second() - 100.0).abs() < 1e-6),
                _ => assert!(rate.per_second() <= 100.0),
            }
            assert!(rate.samples.len() <= 22);
        }
        assert_eq!(rate.per_second(), 0.0);
        rate.observe(Duration::ZERO, 9_999);
        assert_eq!(rate.per_second(), 0.0);
    }
}
