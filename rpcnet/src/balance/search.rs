//! Searches over all endpoints, for policies with few endpoints, or if the drawn endpoints take no calls.

use rand::{Rng, RngExt};

use super::{Candidates, hash};

/// The number of draws before all endpoints are searched. If half of them take calls, one pick in 256 needs more draws.
pub(super) const DRAWS: usize = 8;

/// Returns the cost of a call divided by the endpoint's weight.
pub(super) fn weighted_cost(candidates: &impl Candidates, index: usize) -> Option<f64> {
    Some(by_weight(candidates.cost(index)?, candidates.weight(index)))
}

/// Returns the endpoint's calls in flight divided by its weight; `None` if it takes no calls.
pub(super) fn busyness(candidates: &impl Candidates, index: usize) -> Option<f64> {
    let busyness = || by_weight((candidates.pending(index) + 1) as f64, candidates.weight(index));
    candidates.takes_calls(index).then(busyness)
}

fn by_weight(value: f64, weight: f64) -> f64 {
    if weight > 0.0 { value / weight } else { f64::INFINITY }
}

/// Returns the index with the smallest measure, the first one of several. Indices without a measure are skipped.
pub(super) fn least(
    indices: impl Iterator<Item = usize>,
    measure: impl Fn(usize) -> Option<f64>,
) -> Option<usize> {
    let measured = indices.filter_map(|index| Some((index, measure(index)?)));
    measured.reduce(|best, other| if other.1 < best.1 { other } else { best }).map(|(index, _)| index)
}

/// Returns the index of all with the smallest measure, or one of several with the same chance.
///
/// Starting at a random place and taking the first would give an endpoint behind ejected ones their calls as well.
pub(super) fn least_of_all(
    count: usize,
    measure: impl Fn(usize) -> Option<f64>,
    rng: &mut impl Rng,
) -> Option<usize> {
    let salt: u64 = rng.random();
    let lot = |index: usize| hash::mix(salt ^ index as u64);
    let measured = (0..count).filter_map(|index| Some((index, measure(index)?)));
    let better = |(best, least): (usize, f64), (index, value): (usize, f64)| {
        if value < least || (value == least && lot(index) < lot(best)) {
            (index, value)
        } else {
            (best, least)
        }
    };
    measured.reduce(better).map(|(index, _)| index)
}

/// Picks one of all endpoints that take calls, in proportion to a share. An endpoint whose share is zero is picked only
/// if there are no others.
///
/// Source: a reservoir of one with weights (Chao, "A General Purpose Unequal Probability Sampling Plan", 1982).
pub(super) fn proportional(
    candidates: &impl Candidates,
    share: impl Fn(usize) -> f64,
    rng: &mut impl Rng,
) -> Option<usize> {
    let mut chosen = None;
    let mut sum = 0.0;
    for index in 0..candidates.len() {
        if !candidates.takes_calls(index) {
            continue;
        }
        let share = share(index);
        sum += share;
        if chosen.is_none() || rng.random::<f64>() * sum < share {
            chosen = Some(index);
        }
    }
    chosen
}
