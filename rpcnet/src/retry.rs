//! Pauses between attempts, and bounds on retries and hedges. Sans-io: time and randomness are arguments.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The longest pause: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Exponential backoff with jitter. Each pause is drawn between half its bound and its bound, and the bound doubles.
///
/// Source: "equal jitter" of <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>. A
/// pause is never zero, so that a server that refuses at once is not redialled in a loop.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    bound: Duration,
}

impl Backoff {
    /// Creates a backoff whose bound starts at `first` and grows to `most`. `first` is at least 1 ms, and `most` at
    /// most a day. If `most` is less than `first`, `first` applies to both.
    pub fn new(first: Duration, most: Duration) -> Self {
        let first = first.clamp(Duration::from_millis(1), LONGEST);
        Self { first, most: most.clamp(first, LONGEST), bound: first }
    }

    /// Draws the next pause.
    pub fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let bound = self.bound;
        self.bound = (bound * 2).min(self.most);
        bound.mul_f64(rng.random_range(0.5..=1.0))
    }

    /// Starts again from the first pause, after a success.
    pub fn reset(&mut self) {
        self.bound = self.first;
    }
}

/// A bound on the share of retries, which prevents retry storms.
///
/// Each call puts a part of a token into a bucket, and each retry takes a whole one out. The bucket starts full. The
/// default allows one retry in five calls, and a burst of 100.
///
/// Source: Finagle's `RetryBudget`, gRPC's retry throttling (A6).
#[derive(Debug, Clone)]
pub struct RetryBudget {
    /// The content in thousandths of a token.
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
    /// Creates a budget that allows retries for this share of the calls, and at most `burst` retries at once.
    pub fn new(share: f64, burst: u32) -> Self {
        let most = u64::from(burst) * 1000;
        Self { tokens: most, per_call: (share.clamp(0.0, 1.0) * 1000.0) as u64, most }
    }

    /// Records that `calls` calls were made.
    pub fn deposit(&mut self, calls: u64) {
        self.tokens = self.tokens.saturating_add(calls.saturating_mul(self.per_call)).min(self.most);
    }

    /// Takes a token for a retry. Returns false if there is none: the retry must not be made.
    pub fn withdraw(&mut self) -> bool {
        if self.tokens < 1000 {
            return false;
        }
        self.tokens -= 1000;
        true
    }
}

/// A bound on hedges: some are free, the rest counts against the [`RetryBudget`].
///
/// Occasional late calls are hedged for free. If all calls are late because all endpoints are, hedges end with the
/// budget and do not double the load.
#[derive(Debug, Clone)]
pub(crate) struct FreeHedges {
    /// The free hedges in thousandths.
    tokens: u64,
}

impl FreeHedges {
    /// The largest number of free hedges in a burst: 10, in thousandths.
    const MOST: u64 = 10_000;
    /// The free hedges for each call: 0.01, in thousandths.
    const PER_CALL: u64 = 10;

    pub(crate) fn new() -> Self {
        Self { tokens: Self::MOST }
    }

    /// Records that `calls` calls were made.
    pub(crate) fn deposit(&mut self, calls: u64) {
        self.tokens = self.tokens.saturating_add(calls.saturating_mul(Self::PER_CALL)).min(Self::MOST);
    }

    /// Takes a free hedge, or else a token of the budget. Returns false if there is neither.
    pub(crate) fn withdraw(&mut self, budget: &mut RetryBudget) -> bool {
        if self.tokens < 1000 {
            return budget.withdraw();
        }
        self.tokens -= 1000;
        true
    }
}

/// Returns the pause before a retry; the first retry is number 1. There is no pause before the first retry, as it goes
/// to another endpoint. The pauses after it start at 20 ms and double up to a second. The pause that the server asks
/// for replaces all of these. Each pause gets a jitter of ±20 %.
///
/// Source: gRPC A6 (exponential backoff, server push-back, jitter of ±20 %).
pub(crate) fn retry_pause(retry: usize, asked: Option<Duration>, rng: &mut impl Rng) -> Duration {
    const FIRST: Duration = Duration::from_millis(20);
    const MOST: Duration = Duration::from_secs(1);
    let doublings = retry.saturating_sub(2).min(16) as u32;
    let own = if retry < 2 { Duration::ZERO } else { FIRST.saturating_mul(1 << doublings).min(MOST) };
    asked.unwrap_or(own).min(LONGEST).mul_f64(rng.random_range(0.8..=1.2))
}

/// The latency above which a call is hedged, if its method sets none: the 95 % quantile of earlier calls.
///
/// The estimate takes a step towards each observation: up by 19 parts if the observation was above, down by one part if
/// not. So it rests where one observation in twenty is above.
///
/// Source: Ma, Muthukrishnan, Sandler, "Frugal Streaming for Estimating Quantiles", 2013, with steps in proportion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness {
    nanos: f64,
}

impl Lateness {
    /// The downward step, as a share of the estimate.
    const STEP: f64 = 0.002;
    /// The smallest estimate in nanoseconds: 1 ms.
    const LEAST: f64 = 1e6;

    /// Starts with an assumed latency.
    pub(crate) fn new(assumed: Duration) -> Self {
        Self { nanos: assumed.as_nanos() as f64 }
    }

    /// Records the latency of a call.
    pub(crate) fn observe(&mut self, latency: Duration) {
        let above = latency.as_nanos() as f64 > self.nanos;
        self.nanos *= if above { 1.0 + 19.0 * Self::STEP } else { 1.0 - Self::STEP };
        self.nanos = self.nanos.max(Self::LEAST);
    }

    /// Returns the latency above which a call is late. At least a millisecond.
    pub(crate) fn threshold(&self) -> Duration {
        Duration::from_nanos(self.nanos as u64)
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
            budget.deposit(1);
            retries += usize::from(budget.withdraw());
        }
        assert_eq!(retries, 200);
    }

    #[test]
    fn some_hedges_are_free_and_the_rest_counts() {
        let (mut free, mut budget) = (FreeHedges::new(), RetryBudget::new(0.0, 5));
        assert_eq!((0..100).filter(|_| free.withdraw(&mut budget)).count(), 15);
        free.deposit(1000);
        assert_eq!((0..100).filter(|_| free.withdraw(&mut budget)).count(), 10);
        assert!(!budget.withdraw());
    }

    #[test]
    fn retries_pause_longer_and_longer_and_as_asked() {
        let mut rng = StdRng::seed_from_u64(3);
        for (retry, expected) in [(1, 0), (2, 20), (3, 40), (4, 80), (30, 1000)] {
            let pause = retry_pause(retry, None, &mut rng).as_secs_f64() * 1000.0;
            assert!(
                (0.8 * f64::from(expected)..=1.2 * f64::from(expected)).contains(&pause),
                "{retry}: {pause}"
            );
        }
        let asked = retry_pause(1, Some(Duration::from_secs(5)), &mut rng);
        assert!((4.0..=6.0).contains(&asked.as_secs_f64()));
    }

    #[test]
    fn one_in_twenty_is_late() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut lateness = Lateness::new(Duration::from_secs(1));
        let mut late = 0;
        for call in 0..40_000 {
            let latency = Duration::from_micros(rng.random_range(10_000..30_000));
            late += u32::from(call >= 20_000 && latency > lateness.threshold());
            lateness.observe(latency);
        }
        assert!((600..1500).contains(&late), "{late} of 20000");
    }
}
