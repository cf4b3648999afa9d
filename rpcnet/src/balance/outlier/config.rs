//! The rules of ejections, and their durations.

use std::time::Duration;

/// The bound on each duration below: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The rules by which failing endpoints are ejected and come back.
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{BalancedConfig, balance::OutlierConfig};
///
/// let outliers = OutlierConfig::default()
///     .with_failures_in_a_row(3)
///     .with_ejection(Duration::from_secs(10), Duration::from_secs(120))
///     .with_max_ejected(0.25);
/// let config = BalancedConfig::default().with_outliers(outliers);
/// # let _ = config;
/// ```
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

/// Compares an endpoint with the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct SuccessRate {
    pub(super) deviations: f64,
    pub(super) distance: f64,
    pub(super) hosts: usize,
    pub(super) calls: u32,
}

/// Compares an endpoint with a fixed bound.
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
    /// Disables all rules that eject endpoints.
    pub fn off() -> Self {
        Self { in_a_row: 0, success_rate: None, failure_share: None, ..Self::default() }
    }

    /// Sets the number of consecutive failures that eject an endpoint at once, 5 by default as in Envoy; 0 for never. A
    /// service that fails one call in ten reaches 5 once in 100 000 calls. A timeout counts half, as the caller may
    /// have chosen the deadline badly.
    #[must_use]
    pub fn with_failures_in_a_row(mut self, failures: u32) -> Self {
        self.in_a_row = failures;
        self
    }

    /// Sets the duration of the first ejection, and the longest one. 1 s and 30 s by default. Each consecutive ejection
    /// is twice as long as the one before. Durations vary by ±20 %, so that clients do not come back together. In A50
    /// the first ejection takes 30 s. Here it can be shorter, as a return costs only a trial call.
    #[must_use]
    pub fn with_ejection(mut self, first: Duration, longest: Duration) -> Self {
        self.ejection = first.clamp(Duration::from_millis(1), LONGEST);
        self.longest_ejection = longest.clamp(self.ejection, LONGEST);
        self
    }

    /// Sets the time without an ejection after which the next ejection is halved, 10 s by default. Each further time of
    /// this length halves it again, like A50's intervals.
    #[must_use]
    pub fn with_forgiven_after(mut self, time: Duration) -> Self {
        self.forgiven_after = time.max(Duration::from_millis(1));
        self
    }

    /// Sets the share of endpoints that may be ejected at a time, 0 to 1, 0.5 by default: the others then have twice
    /// their load. Of several endpoints one may always be ejected, and the last one never. With 0, none may be ejected.
    #[must_use]
    pub fn with_max_ejected(mut self, share: f64) -> Self {
        self.max_ejected = if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) };
        self
    }

    /// Sets the number of trial calls, one at a time, that have to succeed before an endpoint is back. 1 by default.
    #[must_use]
    pub fn with_trials(mut self, calls: u32) -> Self {
        self.trials = calls.max(1);
        self
    }

    /// Sets the time in which the weight of an endpoint that is back grows from a tenth to its full value. 3 s by
    /// default. Its caches are cold, and load may have made it fail.
    #[must_use]
    pub fn with_slow_start(mut self, time: Duration) -> Self {
        self.slow_start = time.min(LONGEST);
        self
    }

    /// Sets the time span of the statistics, at most 10 s, which is the default and A50's interval. They look back only
    /// as far as they need to find enough calls, so under much load the next sweep shows an outlier.
    #[must_use]
    pub fn with_window(mut self, time: Duration) -> Self {
        self.window = time;
        self
    }

    /// Ejects endpoints by their success rate. An endpoint is ejected if its rate is below the mean of all by more than
    /// both `deviations` standard deviations and `distance`, 0 to 1. The defaults are 1.9 and 0.1. The latter is twice
    /// the chance deviation of 100 calls of which one in twenty fails.
    ///
    /// At least `hosts` endpoints must have had `calls` calls each within the window, by default 5 and 100. Only these
    /// endpoints count.
    #[must_use]
    pub fn with_success_rate(mut self, deviations: f64, distance: f64, hosts: usize, calls: u32) -> Self {
        self.success_rate = Some(SuccessRate { deviations, distance, hosts, calls: calls.max(1) });
        self
    }

    /// Ejects endpoints of whose calls more than this share fails, 0 to 1, by default 0.85. `hosts` and `calls` are as
    /// in [`with_success_rate`](Self::with_success_rate), by default 5 and 50.
    #[must_use]
    pub fn with_failure_share(mut self, above: f64, hosts: usize, calls: u32) -> Self {
        self.failure_share = Some(FailureShare { above, hosts, calls: calls.max(1) });
        self
    }
}
