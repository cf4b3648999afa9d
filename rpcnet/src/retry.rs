//! When, and how often, to try again. Sans-io: time and randomness are arguments.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Growing pauses between attempts: each is drawn between half its bound and its bound, and the bound doubles.
///
/// Source: "equal jitter" of <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>:
/// never zero, so that a server that refuses at once is not redialled in a loop.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    bound: Duration,
}

impl Backoff {
    /// Pauses that start at `first` and grow to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, bound: first }
    }

    /// The next pause.
    pub fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let bound = self.bound;
        self.bound = (bound * 2).min(self.most);
        bound.mul_f64(rng.random_range(0.5..=1.0))
    }

    /// Starts again from the first pause: what was tried has succeeded.
    pub fn reset(&mut self) {
        self.bound = self.first;
    }
}

/// A bound on the share of retries, so that they can't become a storm.
///
/// Each call puts a part of a token into a bucket, each retry takes a whole one out; the bucket starts full. The
/// default allows one retry for five calls, and a burst of 100.
///
/// Source: Finagle's `RetryBudget`, gRPC's retry throttling (A6).
#[derive(Debug, Clone)]
pub struct RetryBudget {
    /// In thousandths of a token.
    tokens: u64,
    per_call: u64,
    most: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(0.2, 100)
    }
}

impl RetryBudget {
    /// Retries for this share of the calls, and at most so many in a burst.
    pub fn new(share: f64, burst: u32) -> Self {
        let most = u64::from(burst) * 1000;
        Self { tokens: most, per_call: (share.clamp(0.0, 1.0) * 1000.0) as u64, most }
    }

    /// A call was made.
    pub fn deposit(&mut self) {
        self.tokens = (self.tokens + self.per_call).min(self.most);
    }

    /// Whether a retry may be made; it is counted then.
    pub fn withdraw(&mut self) -> bool {
        if self.tokens < 1000 {
            return false;
        }
        self.tokens -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_are_never_zero() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for bound in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = backoff.next(&mut rng);
            let bound = Duration::from_millis(bound);
            assert!(pause <= bound && pause >= bound / 2, "{pause:?} of {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= Duration::from_millis(100));
    }

    #[test]
    fn the_budget_bounds_the_share_of_retries() {
        let mut budget = RetryBudget::new(0.2, 10);
        let burst = (0..100).filter(|_| budget.withdraw()).count();
        assert_eq!(burst, 10);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.deposit();
            retries += usize::from(budget.withdraw());
        }
        assert_eq!(retries, 200);
    }
}
