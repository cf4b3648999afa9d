//! How calls are spread, retried and hedged.

use std::time::Duration;

use crate::{
    RetryBudget,
    balance::{HashOptions, OutlierConfig, Policy},
};

/// How a [`BalancedChannel`](crate::BalancedChannel) picks, retries, hedges and ejects.
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
    /// Peak EWMA, four attempts a call, 5 s to wait for an endpoint, the default [`RetryBudget`], at most 4096 calls at
    /// work at an endpoint, the default [`OutlierConfig`], hedging where methods ask for it.
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
    /// How an endpoint is picked.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The ring of [`Policy::ConsistentHash`].
    #[must_use]
    pub fn with_hash(mut self, options: HashOptions) -> Self {
        self.hash = options;
        self
    }

    /// How often a call is tried in all, each time elsewhere; a hedge counts as well.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// How long a call waits for an endpoint that takes calls, within its deadline.
    #[must_use]
    pub fn with_ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// The bound on retries of calls that may have run, and on hedges.
    #[must_use]
    pub fn with_retry_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Breaks the circuit to an endpoint while so many calls of this channel are at work there: it is not picked, and
    /// where that goes for all, calls end at once as `ResourceExhausted`, never started.
    ///
    /// Source: Envoy's circuit breakers (`max_requests`).
    #[must_use]
    pub fn with_max_pending(mut self, calls: usize) -> Self {
        self.max_pending = calls.max(1);
        self
    }

    /// When an endpoint is left out for what calls there came to, and for how long.
    #[must_use]
    pub fn with_outliers(mut self, config: OutlierConfig) -> Self {
        self.outliers = config;
        self
    }

    /// Whether methods with the option `hedge` are hedged. They are by default.
    #[must_use]
    pub fn with_hedging(mut self, hedging: bool) -> Self {
        self.hedging = hedging;
        self
    }
}
