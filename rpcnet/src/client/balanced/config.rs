//! The options of a balanced channel.

use std::time::Duration;

use crate::{
    RetryBudget,
    balance::{HashOptions, OutlierConfig, Policy},
};

/// The options by which a [`BalancedChannel`](crate::BalancedChannel) picks, retries, hedges and ejects.
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{BalancedConfig, RetryBudget, balance::Policy};
///
/// let config = BalancedConfig::default()
///     .with_policy(Policy::LeastRequest)
///     .with_max_attempts(3)
///     .with_retry_budget(RetryBudget::new(0.1, 20)) // one retry for ten calls, or 20 at once
///     .with_ready_timeout(Duration::from_secs(2));
/// # let _ = config;
/// ```
#[derive(Debug, Clone)]
pub struct BalancedConfig {
    pub(super) policy: Policy,
    pub(super) hash: HashOptions,
    pub(super) max_attempts: usize,
    pub(super) ready_timeout: Duration,
    pub(super) budget: RetryBudget,
    pub(super) max_pending: usize,
    pub(super) outliers: OutlierConfig,
    pub(super) hedging: bool,
}

impl Default for BalancedConfig {
    /// Peak EWMA, four attempts a call, 5 s to wait for an endpoint, the default [`RetryBudget`], at most
    /// 4096 calls in flight at an endpoint, the default [`OutlierConfig`], and hedging where methods ask for
    /// it.
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            hash: HashOptions::default(),
            max_attempts: 4,
            ready_timeout: Duration::from_secs(5),
            budget: RetryBudget::default(),
            max_pending: 4096,
            outliers: OutlierConfig::default(),
            hedging: true,
        }
    }
}

impl BalancedConfig {
    /// Sets the policy by which an endpoint is picked.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the options of the ring of [`Policy::ConsistentHash`].
    #[must_use]
    pub fn with_hash(mut self, options: HashOptions) -> Self {
        self.hash = options;
        self
    }

    /// Bounds the attempts of a call, each of them elsewhere. A hedge counts as an attempt.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Bounds the time that a call waits for an endpoint that takes calls. The call's deadline may end the
    /// wait sooner.
    #[must_use]
    pub fn with_ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// Sets the budget of hedges and of retries of calls that may have run.
    #[must_use]
    pub fn with_retry_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Bounds this channel's calls in flight at one endpoint. An endpoint at the bound is not picked. If all
    /// endpoints are at the bound, calls end at once as `ResourceExhausted`, never started.
    ///
    /// Source: Envoy's circuit breakers (`max_requests`).
    #[must_use]
    pub fn with_max_pending(mut self, calls: usize) -> Self {
        self.max_pending = calls.max(1);
        self
    }

    /// Sets when an endpoint is ejected because of failing calls, and for how long.
    #[must_use]
    pub fn with_outliers(mut self, config: OutlierConfig) -> Self {
        self.outliers = config;
        self
    }

    /// Sets whether methods with the option `hedge` are hedged. They are by default.
    #[must_use]
    pub fn with_hedging(mut self, hedging: bool) -> Self {
        self.hedging = hedging;
        self
    }
}
