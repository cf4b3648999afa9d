//! When an endpoint is out, and for how long.

use std::time::Duration;

/// The longest of any of the times below.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// When calls that fail take an endpoint out, and when it comes back.
#[derive(Debug, Clone)]
pub struct OutlierConfig {
    pub(super) in_a_row: u32,
    pub(super) ejection: Duration,
    pub(super) longest_ejection: Duration,
    pub(super) forgiven_after: Duration,
    pub(super) max_ejected: f64,
    pub(super) trials: u32,
    pub(super) slow_start: Duration,
    pub(super) window: Duration,
    pub(super) success_rate: Option<SuccessRate>,
    pub(super) failure_share: Option<FailureShare>,
}

/// An endpoint against the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct SuccessRate {
    pub(super) deviations: f64,
    pub(super) distance: f64,
    pub(super) hosts: usize,
    pub(super) calls: u32,
}

/// An endpoint against a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailureShare {
    pub(super) above: f64,
    pub(super) hosts: usize,
    pub(super) calls: u32,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            in_a_row: 5,
            ejection: Duration::from_secs(1),
            longest_ejection: Duration::from_secs(30),
            forgiven_after: Duration::from_secs(10),
            max_ejected: 0.5,
            trials: 1,
            slow_start: Duration::from_secs(3),
            window: Duration::from_secs(10),
            success_rate: Some(SuccessRate { deviations: 1.9, distance: 0.1, hosts: 5, calls: 100 }),
            failure_share: Some(FailureShare { above: 0.85, hosts: 5, calls: 50 }),
        }
    }
}

impl OutlierConfig {
    /// Nothing takes an endpoint out.
    pub fn off() -> Self {
        Self { in_a_row: 0, success_rate: None, failure_share: None, ..Self::default() }
    }

    /// Failures without a success between them that take an endpoint out at once, 5 by default as in Envoy: a service that
    /// fails one call in ten comes to that once in 100 000 calls. Zero for never. A timeout counts half, as the deadline
    /// may have been the caller's mistake.
    #[must_use]
    pub fn with_failures_in_a_row(mut self, failures: u32) -> Self {
        self.in_a_row = failures;
        self
    }

    /// How long the first ejection lasts and how long one lasts at most, 1 s and 30 s by default, each ±20 % so that clients
    /// do not come back together. Each that follows another is twice as long. A50's first one is 30 s; here a trial call
    /// is all that a return costs.
    #[must_use]
    pub fn with_ejection(mut self, first: Duration, longest: Duration) -> Self {
        self.ejection = first.clamp(Duration::from_millis(1), LONGEST);
        self.longest_ejection = longest.clamp(self.ejection, LONGEST);
        self
    }

    /// After how long without an ejection the next one is half as long again as it would have been, 10 s by default, as
    /// with each of A50's intervals.
    #[must_use]
    pub fn with_forgiven_after(mut self, time: Duration) -> Self {
        self.forgiven_after = time.max(Duration::from_millis(1));
        self
    }

    /// The share of endpoints that may be out, 0 to 1, 0.5 by default: the others then have twice their load. One of
    /// several may always be, and the last one never, except that with 0 none may.
    #[must_use]
    pub fn with_max_ejected(mut self, share: f64) -> Self {
        self.max_ejected = if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) };
        self
    }

    /// Calls that have to succeed, one at a time, before an endpoint is back, 1 by default.
    #[must_use]
    pub fn with_trials(mut self, calls: u32) -> Self {
        self.trials = calls.max(1);
        self
    }

    /// Within which time the weight of one that is back grows from a tenth to its own, 3 s by default: caches are cold,
    /// and what made it fail may have been load.
    #[must_use]
    pub fn with_slow_start(mut self, time: Duration) -> Self {
        self.slow_start = time.min(LONGEST);
        self
    }

    /// How far back the statistics look, 10 s by default and at most: A50's interval. They look no further than for
    /// as many calls as they need, so where there are many calls an outlier shows at the next sweep.
    #[must_use]
    pub fn with_window(mut self, time: Duration) -> Self {
        self.window = time;
        self
    }

    /// Out is whose share of calls that succeed is more than so many standard deviations, and more than a distance of 0
    /// to 1, below the mean of all. By default 1.9, and 0.1, which is twice what chance does to 100 calls of which one in
    /// twenty fails.
    ///
    /// `hosts` endpoints must have had `calls` calls within the window each, by default 5 and 100; only these count.
    #[must_use]
    pub fn with_success_rate(mut self, deviations: f64, distance: f64, hosts: usize, calls: u32) -> Self {
        self.success_rate = Some(SuccessRate { deviations, distance, hosts, calls: calls.max(1) });
        self
    }

    /// Out is where more than this share of calls fails, 0 to 1, by default 0.85; `hosts` and `calls` as above, by default 5
    /// and 50.
    #[must_use]
    pub fn with_failure_share(mut self, above: f64, hosts: usize, calls: u32) -> Self {
        self.failure_share = Some(FailureShare { above, hosts, calls: calls.max(1) });
        self
    }
}
