//! The policies.

use rand::{Rng, RngExt};

/// How an endpoint is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The better of two random ones, by latency and calls at work (peak EWMA). The default.
    ///
    /// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    #[default]
    PeakEwma,
    /// One after the other.
    RoundRobin,
}

/// Picks by a policy; holds what the policy remembers.
#[derive(Debug, Clone, Default)]
pub struct Picker {
    policy: Policy,
    cursor: usize,
}

impl Picker {
    /// A picker of this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, cursor: 0 }
    }

    /// One of `count` endpoints; `load` tells what a call would cost there, `None` where none may go. `None` when
    /// none may go anywhere.
    pub fn pick(
        &mut self,
        count: usize,
        load: impl Fn(usize) -> Option<f64>,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        if count == 0 {
            return None;
        }
        match self.policy {
            Policy::RoundRobin => {
                let index = first_from(self.cursor % count, count, |index| load(index).is_some())?;
                self.cursor = index + 1;
                Some(index)
            }
            Policy::PeakEwma => {
                let first = rng.random_range(0..count);
                if count == 1 {
                    return load(first).map(|_| first);
                }
                // Another one, each with the same chance.
                let second = (first + rng.random_range(1..count)) % count;
                match (load(first), load(second)) {
                    (Some(a), Some(b)) => Some(if b < a { second } else { first }),
                    (Some(_), None) => Some(first),
                    (None, Some(_)) => Some(second),
                    (None, None) => first_from(first, count, |index| load(index).is_some()),
                }
            }
        }
    }
}

/// The first index from `start` on, going round, that is allowed.
fn first_from(start: usize, count: usize, allowed: impl Fn(usize) -> bool) -> Option<usize> {
    (0..count).map(|step| (start + step) % count).find(|index| allowed(*index))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn tally(policy: Policy, picks: usize, load: impl Fn(usize) -> Option<f64>) -> [usize; 4] {
        let mut rng = StdRng::seed_from_u64(7);
        let mut picker = Picker::new(policy);
        let mut tally = [0; 4];
        for _ in 0..picks {
            if let Some(index) = picker.pick(4, &load, &mut rng) {
                tally[index] += 1;
            }
        }
        tally
    }

    #[test]
    fn round_robin_is_even_and_skips_those_that_are_out() {
        assert_eq!(tally(Policy::RoundRobin, 400, |_| Some(1.0)), [100; 4]);
        let without = tally(Policy::RoundRobin, 300, |index| (index != 2).then_some(1.0));
        assert_eq!(without, [100, 100, 0, 100]);
    }

    #[test]
    fn two_choices_never_take_the_worst() {
        let load = |index: usize| Some([1.0, 1.0, 1.0, 9.0][index]);
        let tally = tally(Policy::PeakEwma, 4000, load);
        assert_eq!(tally[3], 0);
        assert!(tally[..3].iter().all(|picks| *picks > 1000), "{tally:?}");
    }

    #[test]
    fn the_only_one_left_is_found() {
        for policy in [Policy::PeakEwma, Policy::RoundRobin] {
            assert_eq!(tally(policy, 10, |index| (index == 1).then_some(1.0)), [0, 10, 0, 0]);
            assert_eq!(tally(policy, 10, |_| None), [0; 4]);
        }
    }
}
