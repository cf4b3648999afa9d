//! Looking at many endpoints: what policies do where there are few, and where those that they have drawn take no calls.
//!
//! Searches begin at a random place, and of equals take the first: so equals are taken alike.

use rand::{Rng, RngExt};

use super::Candidates;

/// How often to draw before all are looked at. Where half take calls, one draw in 256 fails so often.
pub(super) const DRAWS: usize = 8;

/// What a call there costs beside its weight.
pub(super) fn weighted_cost(candidates: &impl Candidates, index: usize) -> Option<f64> {
    Some(by_weight(candidates.cost(index)?, candidates.weight(index)))
}

/// How busy it is for its weight; nothing if it takes no calls.
pub(super) fn busyness(candidates: &impl Candidates, index: usize) -> Option<f64> {
    let busyness = || by_weight((candidates.pending(index) + 1) as f64, candidates.weight(index));
    candidates.takes_calls(index).then(busyness)
}

fn by_weight(value: f64, weight: f64) -> f64 {
    if weight > 0.0 { value / weight } else { f64::INFINITY }
}

/// All indices below `count`, from a random one on.
pub(super) fn all<R: Rng>(count: usize, rng: &mut R) -> impl Iterator<Item = usize> + use<R> {
    let start = if count > 0 { rng.random_range(0..count) } else { 0 };
    (start..count).chain(0..start)
}

/// The one with the least of a measure; the first of several, and none without.
pub(super) fn least(
    indices: impl Iterator<Item = usize>,
    measure: impl Fn(usize) -> Option<f64>,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for index in indices {
        if let Some(value) = measure(index)
            && best.is_none_or(|(_, least)| value < least)
        {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

/// One of all that take calls, in proportion to a share. Those whose share is zero are for when there are no others.
///
/// Source: a reservoir of one with weights (Chao, "A General Purpose Unequal Probability Sampling Plan", 1982).
pub(super) fn proportional(
    candidates: &impl Candidates,
    share: impl Fn(usize) -> f64,
    rng: &mut impl Rng,
) -> Option<usize> {
    let mut chosen = None;
    let mut sum = 0.0;
    for index in all(candidates.len(), rng) {
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
