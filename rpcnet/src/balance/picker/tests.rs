use rand::{SeedableRng, rngs::StdRng};

use super::*;

/// Endpoints that stand still.
#[derive(Clone, Debug)]
pub(super) struct Still {
    costs: Vec<Option<f64>>,
    pending: Vec<usize>,
    weights: Vec<f64>,
}

impl Still {
    fn of(costs: impl IntoIterator<Item = Option<f64>>) -> Self {
        let costs: Vec<_> = costs.into_iter().collect();
        Self { pending: vec![0; costs.len()], weights: vec![1.0; costs.len()], costs }
    }

    fn even(count: usize) -> Self {
        Self::of((0..count).map(|_| Some(1.0)))
    }

    fn weighted(weights: &[f64]) -> Self {
        Self { weights: weights.to_vec(), ..Self::even(weights.len()) }
    }

    fn layout(&self, policy: Policy) -> Layout {
        let ids: Vec<String> = (0..self.costs.len()).map(|index| format!("endpoint-{index}")).collect();
        Layout::new(policy, ids.iter().map(String::as_str), &HashOptions::default())
            .with_weights(self.weights.iter().copied())
    }

    fn tally(&self, policy: Policy, picks: usize) -> Vec<usize> {
        let mut rng = StdRng::seed_from_u64(7);
        let picker = Picker::new(policy);
        let layout = self.layout(policy);
        let mut tally = vec![0; self.costs.len()];
        for _ in 0..picks {
            if let Some(index) = picker.pick(&layout, self, Some(rng.random()), &mut rng) {
                tally[index] += 1;
            }
        }
        tally
    }
}

impl Candidates for Still {
    fn len(&self) -> usize {
        self.costs.len()
    }

    fn cost(&self, index: usize) -> Option<f64> {
        self.costs[index]
    }

    fn takes_calls(&self, index: usize) -> bool {
        self.costs[index].is_some()
    }

    fn pending(&self, index: usize) -> usize {
        self.pending[index]
    }

    fn weight(&self, index: usize) -> f64 {
        self.weights[index]
    }
}

#[test]
fn round_robin_is_even_and_skips_those_that_are_out() {
    assert_eq!(Still::even(4).tally(Policy::RoundRobin, 400), [100; 4]);
    let mut without = Still::even(4);
    without.costs[2] = None;
    assert_eq!(without.tally(Policy::RoundRobin, 300), [100, 100, 0, 100]);
}

#[test]
fn two_choices_never_take_the_worst() {
    let tally = Still::of([1.0, 1.0, 1.0, 9.0].map(Some)).tally(Policy::PeakEwma, 4000);
    assert_eq!(tally[3], 0);
    assert!(tally[..3].iter().all(|picks| *picks > 1000), "{tally:?}");
}

#[test]
fn the_only_one_left_is_found() {
    for policy in Policy::ALL {
        for count in [1, 2, 4, 17, 300] {
            let mut only = Still::of((0..count).map(|_| None));
            assert!(only.tally(policy, 10).iter().all(|picks| *picks == 0), "{policy}");
            only.costs[count / 2] = Some(1.0);
            assert_eq!(only.tally(policy, 10)[count / 2], 10, "{policy} of {count}");
            only.weights[count / 2] = 0.0;
            assert_eq!(only.tally(policy, 10)[count / 2], 10, "{policy} of {count} without weight");
        }
        assert_eq!(Still::even(0).tally(policy, 10), []);
    }
}
