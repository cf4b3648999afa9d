//! What is computed once for a set of endpoints.

use super::{Policy, alias::AliasTable, ring::Ring};

/// The most points an endpoint may have; a thousand endpoints then take 80 MB.
const MOST_POINTS: usize = 4096;
/// The most replicas.
pub(super) const MOST_REPLICAS: usize = 16;

/// How [`Policy::ConsistentHash`] places keys.
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
    /// Points an endpoint on the ring, 1 to 4096, 256 by default. Shares of keys differ by 1/√points: by 6 % at 256. Each
    /// takes 16 to 20 bytes.
    #[must_use]
    pub fn with_points(mut self, points: usize) -> Self {
        self.points = points.clamp(1, MOST_POINTS);
        self
    }

    /// How many times the mean of calls at work an endpoint may have before its keys go to the next one, 1.25 by
    /// default, which is what HAProxy's authors found to do. A smaller bound is more even and moves more keys; at
    /// `f64::INFINITY` keys stay, however many calls there are. Less than 1 is taken as 1.
    ///
    /// The mean is of this side's own calls. While these are fewer than endpoints, the bound is one call each.
    #[must_use]
    pub fn with_bound(mut self, bound: f64) -> Self {
        self.bound = if bound.is_nan() { 1.25 } else { bound.max(1.0) };
        self
    }

    /// Endpoints a key may go to, 1 to 16, 1 by default: the cheapest of the first so many on the ring. More are for hot
    /// keys, and for caches that are filled on several endpoints.
    #[must_use]
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas.clamp(1, MOST_REPLICAS);
        self
    }
}

/// What is computed once for a set of endpoints and shared by all picks. Who holds the set builds it anew whenever
/// the set changes; one of another set gives bad picks, nothing worse.
///
/// Of a thousand endpoints, the ring of [`Policy::ConsistentHash`] takes some tens of milliseconds. For policies other than this
/// and [`Policy::Weighted`] there is nothing to compute.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    pub(super) ring: Option<(Ring, HashOptions)>,
    pub(super) weights: Option<AliasTable>,
    policy: Policy,
}

impl Layout {
    /// The layout of the endpoints with these ids, in the order of the candidates. An endpoint's place on the ring is
    /// by its id alone.
    pub fn new<'a>(policy: Policy, ids: impl Iterator<Item = &'a str>, options: &HashOptions) -> Self {
        let ring =
            (policy == Policy::ConsistentHash).then(|| (Ring::new(ids, options.points), options.clone()));
        Self { ring, weights: None, policy }
    }

    /// The endpoints' weights at their best, in the same order, for [`Policy::Weighted`]; others ignore them. Without, each
    /// pick looks at every endpoint. A candidate's weight may be lower than the one given here; where one's is higher, picks
    /// are not quite in proportion.
    #[must_use]
    pub fn with_weights(mut self, weights: impl Iterator<Item = f64>) -> Self {
        if self.policy == Policy::Weighted {
            self.weights = Some(AliasTable::new(weights));
        }
        self
    }
}
