//! When, and how often, to try again. Sans-io: time and randomness are arguments.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

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
    /// Pauses that start at `first`, 1 ms at least, and grow to `most`, a day at most. Of these the larger counts for both
    /// where `most` is less.
    pub fn new(first: Duration, most: Duration) -> Self {
        let first = first.clamp(Duration::from_millis(1), LONGEST);
        Self { first, most: most.clamp(first, LONGEST), bound: first }
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

    /// So many calls were made.
    pub fn deposit(&mut self, calls: u64) {
        self.tokens = self.tokens.saturating_add(calls.saturating_mul(self.per_call)).min(self.most);
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

/// A bound on hedges: some are free, the rest counts against the [`RetryBudget`].
///
/// One call that is late now and then costs nothing then; when all are late, because all endpoints are, hedges end with
/// the budget and do not double the load.
#[derive(Debug, Clone)]
pub(crate) struct FreeHedges {
    /// In thousandths of a hedge.
    tokens: u64,
}

impl FreeHedges {
    /// In a burst.
    const MOST: u64 = 10_000;
    /// One in a hundred calls.
    const PER_CALL: u64 = 10;

    pub(crate) fn new() -> Self {
        Self { tokens: Self::MOST }
    }

    /// So many calls were made.
    pub(crate) fn deposit(&mut self, calls: u64) {
        self.tokens = self.tokens.saturating_add(calls.saturating_mul(Self::PER_CALL)).min(Self::MOST);
    }

    /// Whether a hedge may be made; it is counted then.
    pub(crate) fn withdraw(&mut self, budget: &mut RetryBudget) -> bool {
        if self.tokens < 1000 {
            return budget.withdraw();
        }
        self.tokens -= 1000;
        true
    }
}

/// The pause before the retry of this number, from 1: none before the first, as it goes elsewhere; then from 20 ms
/// on, doubling up to a second, ±20 %. What the server has asked for takes its place.
///
/// Source: gRPC A6 (exponential backoff, server push-back, jitter of ±20 %).
pub(crate) fn retry_pause(retry: usize, asked: Option<Duration>, rng: &mut impl Rng) -> Duration {
    const FIRST: Duration = Duration::from_millis(20);
    const MOST: Duration = Duration::from_secs(1);
    let doublings = retry.saturating_sub(2).min(16) as u32;
    let own = if retry < 2 { Duration::ZERO } else { FIRST.saturating_mul(1 << doublings).min(MOST) };
    asked.unwrap_or(own).min(LONGEST).mul_f64(rng.random_range(0.8..=1.2))
}

/// How late a call must be to be hedged, where its method does not say: what 95 % of the calls before took.
///
/// A quantile that is stepped towards each observation, up by 19 parts where it was above and down by one where it was
/// not, so that it rests where one in twenty is above.
///
/// Source: Ma, Muthukrishnan, Sandler, "Frugal Streaming for Estimating Quantiles", 2013, with steps in proportion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness {
    nanos: f64,
}

impl Lateness {
    const STEP: f64 = 0.002;
    const LEAST: f64 = 1e6;

    /// Starts with an assumption.
    pub(crate) fn new(assumed: Duration) -> Self {
        Self { nanos: assumed.as_nanos() as f64 }
    }

    /// A call took so long.
    pub(crate) fn observe(&mut self, latency: Duration) {
        let above = latency.as_nanos() as f64 > self.nanos;
        self.nanos *= if above { 1.0 + 19.0 * Self::STEP } else { 1.0 - Self::STEP };
        self.nanos = self.nanos.max(Self::LEAST);
    }

    /// A call that takes longer is late. At least a millisecond.
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
