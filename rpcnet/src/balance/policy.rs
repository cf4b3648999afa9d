//! The balancing policies and their names.

use std::{fmt, str::FromStr};

/// The policy by which endpoints are picked.
///
/// Every policy skips endpoints that take no calls, and finds the only one that does. The names in configurations are
/// the variants' names in kebab case: `peak-ewma`, `least-request`.
///
/// ```
/// use rpcnet::{BalancedConfig, balance::Policy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // As a configuration file names it.
/// let policy: Policy = "round-robin".parse()?;
/// assert_eq!(policy, Policy::RoundRobin);
/// let config = BalancedConfig::default().with_policy(policy);
/// # let _ = config;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The better one of two random endpoints, by latency and calls in flight ([`PeakEwma`](super::PeakEwma)), divided
    /// by weight. This is the default. It avoids slow endpoints, whatever makes them slow, and many clients do not all
    /// choose the same endpoint.
    ///
    /// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    #[default]
    PeakEwma,
    /// One after the other. An endpoint with a weight below 1 gets that share of its turns; higher weights count as 1.
    RoundRobin,
    /// A random endpoint, all with the same chance. Weights count as in [`RoundRobin`](Self::RoundRobin).
    Random,
    /// The endpoint with the fewest calls in flight for its weight: of all endpoints if there are up to 16, else of
    /// four random ones.
    ///
    /// Envoy draws two, and the second draw brings most of the gain (Mitzenmacher, above). But a client counts only its
    /// own calls, so it counts none at most endpoints. All that choosing can do then is to avoid an endpoint that is
    /// busy. It fails if all drawn endpoints are busy, and each further draw multiplies that chance by the share of
    /// busy endpoints.
    LeastRequest,
    /// A random endpoint, in proportion to weight.
    ///
    /// Source: the alias method (Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution",
    /// 1991), with rejection for weights that were lowered since.
    Weighted,
    /// The same endpoint for the same key, on a ring of virtual points, as long as the endpoint is there and not
    /// overloaded; see [`HashOptions`](super::HashOptions). Calls without a key are placed as in
    /// [`PeakEwma`](Self::PeakEwma).
    ///
    /// Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016.
    ConsistentHash,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 6] = [
        Self::PeakEwma,
        Self::RoundRobin,
        Self::Random,
        Self::LeastRequest,
        Self::Weighted,
        Self::ConsistentHash,
    ];

    /// Returns the policy's name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeakEwma => "peak-ewma",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastRequest => "least-request",
            Self::Weighted => "weighted",
            Self::ConsistentHash => "consistent-hash",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no policy with this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no policy is named {0:?}")]
pub struct UnknownPolicy(String);

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| UnknownPolicy(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("PeakEwma".parse::<Policy>(), Err(UnknownPolicy("PeakEwma".to_owned())));
    }
}
