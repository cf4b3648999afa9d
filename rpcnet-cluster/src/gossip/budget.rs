//! A token bucket: so many at once, and so many a second.

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Budget {
    most: f64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(at_once: u32, per_second: u32, now: Instant) -> Self {
        let most = f64::from(at_once);
        Self { most, per_second: f64::from(per_second), tokens: most, at: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + refill).min(self.most);
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn some_at_once_and_some_a_second() {
        let start = Instant::now();
        let mut budget = Budget::new(20, 8, start);
        assert_eq!((0..100).filter(|_| budget.take(start)).count(), 20);
        let later = (1..=10_000).filter(|ms| budget.take(start + Duration::from_millis(*ms))).count();
        assert!((79..=80).contains(&later), "{later} in ten seconds");
    }
}
