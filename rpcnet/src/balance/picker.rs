//! The policies at work.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{Rng, RngExt};

use super::{
    Candidates, HashOptions, Layout, Policy,
    layout::MOST_REPLICAS,
    ring::Ring,
    search::{DRAWS, busyness, least, least_of_all, proportional, weighted_cost},
};

/// Up to so many endpoints, the one with the fewest calls is looked for among all.
const FEW: usize = 16;
/// Among more, among so many.
const CHOICES: usize = 4;
/// A cost is lower than another where it is less than this share of it. Estimates are not better than that, and a client
/// that makes one call at a time would always ask the same endpoint.
const ALIKE: f64 = 0.9;
/// How often a turn that another thread took is tried for.
const TURNS: usize = 4;
/// How many points of the ring are looked at for an endpoint that has room. At the default bound a few do, unless many
/// calls have the same key.
const LONGEST_WALK: usize = 1024;

/// Picks by a policy; holds what the policy remembers. Shared without a lock: all that is remembered is whose turn it is.
#[derive(Debug, Default)]
pub struct Picker {
    policy: Policy,
    turn: AtomicUsize,
}

impl Picker {
    /// A picker of this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, turn: AtomicUsize::new(0) }
    }

    /// The endpoint that the next call goes to, by its index; `None` when none takes calls.
    ///
    /// `layout` is that of the same endpoints and policy. `key` is the hash of what the call is routed by
    /// ([`hash_key`](super::hash_key)), for [`Policy::ConsistentHash`].
    ///
    /// All policies but two look at a few endpoints, however many there are: [`Policy::Weighted`] looks at all where its
    /// layout was given no weights, [`Policy::ConsistentHash`] where the candidates count one by one. All look at all where
    /// most take no calls.
    pub fn pick(
        &self,
        layout: &Layout,
        candidates: &impl Candidates,
        key: Option<u64>,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        if candidates.is_empty() {
            return None;
        }
        match (self.policy, key, &layout.ring) {
            (Policy::RoundRobin, ..) => self.in_turn(candidates, rng),
            (Policy::Random, ..) => random(candidates, rng),
            (Policy::LeastRequest, ..) => least_request(candidates, rng),
            (Policy::Weighted, ..) => weighted(layout, candidates, rng),
            (Policy::ConsistentHash, Some(key), Some((ring, options))) => {
                by_key(ring, options, candidates, key, rng)
            }
            (Policy::PeakEwma | Policy::ConsistentHash, ..) => two_choices(candidates, rng),
        }
    }

    /// The next one. The turn goes to the one behind the one that was picked, not behind the one whose turn it was:
    /// else one behind an endpoint that is out would get the other's turns too.
    fn in_turn(&self, candidates: &impl Candidates, rng: &mut impl Rng) -> Option<usize> {
        let count = candidates.len();
        let mut turn = self.turn.load(Ordering::Relaxed);
        let mut picked = None;
        for _ in 0..TURNS {
            let start = turn % count;
            let mut passed = None;
            picked = (start..count).chain(0..start).find(|index| {
                if !candidates.takes_calls(*index) {
                    return false;
                }
                let weight = candidates.weight(*index);
                if weight < 1.0 && rng.random::<f64>() >= weight {
                    // All may pass; then it is the turn of the one with most weight.
                    if passed.is_none_or(|(_, most)| weight > most) {
                        passed = Some((*index, weight));
                    }
                    return false;
                }
                true
            });
            picked = picked.or(passed.map(|(index, _)| index));
            let next = picked? + 1;
            // Where another thread took the turn in between, the next one is to be found.
            match self.turn.compare_exchange_weak(turn, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(taken) => turn = taken,
            }
        }
        picked
    }
}

fn random(candidates: &impl Candidates, rng: &mut impl Rng) -> Option<usize> {
    for _ in 0..DRAWS {
        let index = rng.random_range(0..candidates.len());
        if candidates.takes_calls(index) && passes(candidates.weight(index), rng) {
            return Some(index);
        }
    }
    proportional(candidates, |index| candidates.weight(index).min(1.0), rng)
}

/// True with this chance.
fn passes(chance: f64, rng: &mut impl Rng) -> bool {
    chance >= 1.0 || rng.random::<f64>() < chance
}

fn two_choices(candidates: &impl Candidates, rng: &mut impl Rng) -> Option<usize> {
    let count = candidates.len();
    let mut best: Option<(usize, f64)> = None;
    let mut found = 0;
    let mut index = rng.random_range(0..count);
    for _ in 0..2 * DRAWS {
        if best.is_none_or(|(other, _)| other != index)
            && let Some(cost) = weighted_cost(candidates, index)
        {
            found += 1;
            if best.is_none_or(|(_, least)| cost < least * ALIKE) {
                best = Some((index, cost));
            }
        }
        if found == 2 || count == 1 {
            break;
        }
        // Any other one, each with the same chance.
        index = (index + rng.random_range(1..count)) % count;
    }
    match best {
        Some((index, cost)) if cost < f64::INFINITY => Some(index),
        _ => least_of_all(count, |index| weighted_cost(candidates, index), rng),
    }
}

fn least_request(candidates: &impl Candidates, rng: &mut impl Rng) -> Option<usize> {
    let count = candidates.len();
    let busyness = |index| busyness(candidates, index);
    let drawn = match count <= FEW {
        true => None,
        false => least((0..CHOICES).map(|_| rng.random_range(0..count)), busyness),
    };
    drawn.or_else(|| least_of_all(count, busyness, rng))
}

fn weighted(layout: &Layout, candidates: &impl Candidates, rng: &mut impl Rng) -> Option<usize> {
    if let Some(table) = &layout.weights
        && table.len() == candidates.len()
    {
        for _ in 0..2 * DRAWS {
            let index = table.draw(rng);
            let (now, best) = (candidates.weight(index), table.weight(index));
            if now > best {
                // The table is of other weights.
                break;
            }
            if now > 0.0 && candidates.takes_calls(index) && passes(now / best, rng) {
                return Some(index);
            }
        }
    }
    proportional(candidates, |index| candidates.weight(index), rng)
}

/// The first on the ring from the key on that has room, or the cheapest of the first few.
fn by_key(
    ring: &Ring,
    options: &HashOptions,
    candidates: &impl Candidates,
    key: u64,
    rng: &mut impl Rng,
) -> Option<usize> {
    let bound = match options.bound {
        f64::INFINITY => f64::INFINITY,
        bound => {
            // Rounded down, to be a bound; but never so low that there is no room for all.
            let mean = (candidates.pending_in_all() + 1) as f64 / candidates.ready().max(1) as f64;
            (bound * mean).floor().max(mean.ceil())
        }
    };
    let has_room = |index: usize| {
        let room = (bound * candidates.weight(index).min(1.0)).ceil();
        candidates.takes_calls(index) && (candidates.pending(index) + 1) as f64 <= room
    };
    let mut replicas = [0; MOST_REPLICAS];
    let mut found = 0;
    for index in ring.owners(key).take(LONGEST_WALK) {
        if index < candidates.len() && !replicas[..found].contains(&index) && has_room(index) {
            replicas[found] = index;
            found += 1;
            if found == options.replicas {
                break;
            }
        }
    }
    match replicas[..found] {
        // The least busy of all is never above the bound, unless all are.
        [] => {
            let crowd =
                |index| Some((candidates.pending(index) + 1) as f64 / candidates.weight(index).min(1.0));
            least_of_all(
                candidates.len(),
                |index| crowd(index).filter(|_| candidates.takes_calls(index)),
                rng,
            )
        }
        [index] => Some(index),
        ref several => least(several.iter().copied(), |index| weighted_cost(candidates, index)),
    }
}

#[cfg(test)]
mod tests;
