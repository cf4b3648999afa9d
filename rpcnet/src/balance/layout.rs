//! Data that is computed once for a set of endpoints.

use super::{Policy, alias::AliasTable, ring::Ring};

/// The bound on points for each endpoint. A thousand endpoints then take 80 MB.
const MOST_POINTS: usize = 4096;
/// The bound on replicas for each key.
pub(super) const MOST_REPLICAS: usize = 16;

/// Options of [`Policy::ConsistentHash`].
///
/// ```
/// use rpcnet::{BalancedConfig, balance::{HashOptions, Policy}};
///
/// // Each key has two endpoints. No endpoint has more than 1.5 times the average of calls in flight.
/// let options = HashOptions::default().with_replicas(2).with_bound(1.5);
/// let config = BalancedConfig::default().with_policy(Policy::ConsistentHash).with_hash(options);
/// # let _ = config;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HashOptions {
    points: usize,
    pub(super) bound: f64,
    pub(super) replicas: usize,
}

impl Default for HashOptions {
    /// 256 points, a bound of 1.25, one replica.
    fn default() -> Self {
        Self { points: 256, bound: 1.25, replicas: 1 }
    }
}

impl HashOptions {
    /// Sets the number of points of each endpoint on the ring, 1 to 4096, 256 by default. The endpoints' shares of the
    /// keys differ by about 1/√points: 6 % at 256. Each point takes 16 to 20 bytes.
    #[must_use]
    pub fn with_points(mut self, points: usize) -> Self {
        self.points = points.clamp(1, MOST_POINTS);
        self
    }

    /// Sets the bound on an endpoint's calls in flight, as a multiple of the mean over all endpoints. Beyond it, the
    /// endpoint's keys go to the next one. The default is 1.25, the choice of HAProxy's authors. A smaller bound is
    /// more even and moves more keys. With `f64::INFINITY` keys never move because of load. Values below 1 count as 1.
    ///
    /// The mean is over this client's own calls. As long as these are fewer than the endpoints, the bound is one call
    /// for each endpoint.
    #[must_use]
    pub fn with_bound(mut self, bound: f64) -> Self {
        self.bound = if bound.is_nan() { 1.25 } else { bound.max(1.0) };
        self
    }

    /// Sets the number of endpoints that a key may go to, 1 to 16, 1 by default. The cheapest of the first `replicas`
    /// endpoints on the ring gets the call. Useful for hot keys, and for caches that are filled on several endpoints.
    #[must_use]
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas.clamp(1, MOST_REPLICAS);
        self
    }
}

/// Data that is computed once for a set of endpoints and shared by all picks. The owner of the set builds it again when
/// the set changes. With the layout of another set, picks are worse, but nothing else happens.
///
/// For a thousand endpoints, the ring of [`Policy::ConsistentHash`] takes some tens of milliseconds. Policies other
/// than this one and [`Policy::Weighted`] compute nothing.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    pub(super) ring: Option<(Ring, HashOptions)>,
    pub(super) weights: Option<AliasTable>,
    policy: Policy,
}

impl Layout {
    /// Creates the layout of the endpoints with these ids, in the order of the candidates. An endpoint's place on the
    /// ring depends only on its id.
    pub fn new<'a>(policy: Policy, ids: impl Iterator<Item = &'a str>, options: &HashOptions) -> Self {
        let ring =
            (policy == Policy::ConsistentHash).then(|| (Ring::new(ids, options.points), options.clone()));
        Self { ring, weights: None, policy }
    }

    /// Sets the endpoints' highest weights, in the same order, for [`Policy::Weighted`]; other policies ignore them.
    /// Without them, each pick looks at every endpoint. A candidate's current weight may be lower than the weight given
    /// here. If it is higher, picks are not quite in proportion.
    #[must_use]
    pub fn with_weights(mut self, weights: impl Iterator<Item = f64>) -> Self {
        if self.policy == Policy::Weighted {
            self.weights = Some(AliasTable::new(weights));
        }
        self
    }
}
