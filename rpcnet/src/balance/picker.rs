//! The implementation of the policies.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{Rng, RngExt};

use super::{
    Candidates, HashOptions, Layout, Policy,
    layout::MOST_REPLICAS,
    ring::Ring,
    search::{DRAWS, busyness, least, least_of_all, proportional, weighted_cost},
};

/// The number of endpoints up to which [`Policy::LeastRequest`] compares all of them.
const FEW: usize = 16;
/// The number of endpoints that it draws and compares otherwise.
const CHOICES: usize = 4;
/// A cost counts as lower than another if it is below this share of it. Estimates are not more exact than that. Without
/// it, a client that makes one call at a time would always ask the same endpoint.
const ALIKE: f64 = 0.9;
/// The number of attempts to take a turn that other threads take first.
const TURNS: usize = 4;
/// The number of the ring's points that are searched for an endpoint with room. At the default bound a few suffice,
/// unless many calls have the same key.
const LONGEST_WALK: usize = 1024;

/// Picks endpoints by a policy. Threads share a picker without a lock: its only state is the turn of
/// [`Policy::RoundRobin`].
#[derive(Debug, Default)]
pub struct Picker {
    policy: Policy,
    turn: AtomicUsize,
}

impl Picker {
    /// Creates a picker with this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, turn: AtomicUsize::new(0) }
    }

    /// Picks the endpoint for the next call and returns its index; `None` if no endpoint takes calls.
    ///
    /// `layout` belongs to the same endpoints and policy. `key` is the hash of the call's routing key
    /// ([`hash_key`](super::hash_key)), for [`Policy::ConsistentHash`].
    ///
    /// Most policies look at a few endpoints, however many there are. The exceptions, which look at all of them:
    ///
    /// - [`Policy::Weighted`], if the layout has no weights
    /// - [`Policy::ConsistentHash`], if the candidates count one by one
    /// - every policy, if most endpoints take no calls
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

    /// Picks the next endpoint in turn. The next turn belongs to the successor of the picked endpoint. If it belonged
    /// to the successor of the endpoint whose turn it was, the successor of an ejected endpoint would get that one's
    /// turns too.
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
                    // If all endpoints skip their turns, the one with the highest weight gets the call.
                    if passed.is_none_or(|(_, most)| weight > most) {
                        passed = Some((*index, weight));
                    }
                    return false;
                }
                true
            });
            picked = picked.or(passed.map(|(index, _)| index));
            let next = picked? + 1;
            // If another thread took the turn in between, the search starts again behind it.
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

/// Returns true with this chance.
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
        // Any other endpoint, all with the same chance.
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
                // The table was built for other weights.
                break;
            }
            if now > 0.0 && candidates.takes_calls(index) && passes(now / best, rng) {
                return Some(index);
            }
        }
    }
    proportional(candidates, |index| candidates.weight(index), rng)
}

/// Picks the first endpoint with room on the ring, from the key on, or the cheapest of the first few.
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
            // Rounded down, to be a bound, but never below the mean, so that there is room for all calls.
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
        // The least busy endpoint is never above the bound, unless all are.
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
