//! The policies by name.

use std::{fmt, str::FromStr};

/// How an endpoint is picked.
///
/// Every policy passes over endpoints that take no calls, and finds the only one that does. Their names, for
/// configuration, are those of the variants in kebab case: `peak-ewma`, `least-request`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The better of two random ones, by latency and calls at work ([`PeakEwma`](super::PeakEwma)), divided by weight.
    /// The default: it avoids what is slow, whatever the reason, and a herd of clients does not run to the same one.
    ///
    /// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    #[default]
    PeakEwma,
    /// One after the other. One with a weight below 1 gets that share of its turns; weights above are as 1.
    RoundRobin,
    /// Any, each with the same chance. Weights are taken as by [`RoundRobin`](Self::RoundRobin).
    Random,
    /// The one with the fewest calls at work for its weight: of all where there are up to 16, else of four random ones.
    ///
    /// Two choices are what Envoy takes, and the first gain is the large one (Mitzenmacher, above). But a client
    /// counts its own calls alone, so that at most endpoints it counts none, and all that choosing can do is not to
    /// hit one that is at work already. It hits one when all it has drawn are: each draw more squares that away.
    LeastRequest,
    /// Random, in proportion to weight.
    ///
    /// Source: the alias method (Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution",
    /// 1991), with rejection for weights that were lowered since.
    Weighted,
    /// The same one for the same key as long as it is there and not overloaded, on a ring of virtual points; see
    /// [`HashOptions`](super::HashOptions). Calls without a key are placed as by [`PeakEwma`](Self::PeakEwma).
    ///
    /// Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016.
    ConsistentHash,
}

impl Policy {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::PeakEwma,
        Self::RoundRobin,
        Self::Random,
        Self::LeastRequest,
        Self::Weighted,
        Self::ConsistentHash,
    ];

    /// Its name in configurations.
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

/// No policy has this name.
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
