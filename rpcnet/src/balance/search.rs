//! Looking at many endpoints: what policies do where there are few, and where those that they have drawn take no calls.

use rand::{Rng, RngExt};

use super::{Candidates, hash};

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

/// The one with the least of a measure; the first of several, and none without.
pub(super) fn least(
    indices: impl Iterator<Item = usize>,
    measure: impl Fn(usize) -> Option<f64>,
) -> Option<usize> {
    let measured = indices.filter_map(|index| Some((index, measure(index)?)));
    measured.reduce(|best, other| if other.1 < best.1 { other } else { best }).map(|(index, _)| index)
}

/// The one of all with the least of a measure; any of several, each with the same chance.
///
/// To begin at a random place and take the first would give one behind some that are out their calls.
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
