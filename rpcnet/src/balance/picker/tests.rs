use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

/// Endpoints that don't change during picks.
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
        assert!(Still::even(0).tally(policy, 10).is_empty());
    }
}

#[test]
fn round_robin_shares_a_turn_among_threads() {
    let still = Still::even(4);
    let (picker, layout) = (Picker::new(Policy::RoundRobin), Layout::default());
    let tally = std::thread::scope(|scope| {
        let picks = |seed| {
            let (picker, layout, still) = (&picker, &layout, &still);
            move || {
                let mut rng = StdRng::seed_from_u64(seed);
                (0..1000).map(|_| picker.pick(layout, still, None, &mut rng).unwrap()).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(picks(seed))).collect();
        let mut tally = [0_usize; 4];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).for_each(|index| tally[index] += 1);
        tally
    });
    // A turn may be taken twice, if threads contend for it too often.
    assert!(tally.iter().all(|picks| picks.abs_diff(1000) < 100), "{tally:?}");
}

#[test]
fn one_behind_those_that_are_out_gets_no_more_than_others() {
    for policy in
        [Policy::RoundRobin, Policy::Random, Policy::PeakEwma, Policy::Weighted, Policy::LeastRequest]
    {
        // Of each four of the 40 the first three are ejected, and of the last ten all but the last.
        let mut still = Still::even(40);
        for index in 0..40 {
            if index % 4 != 3 || (30..39).contains(&index) {
                still.costs[index] = None;
            }
        }
        let tally = still.tally(policy, 8000);
        for (index, picks) in tally.iter().enumerate().filter(|(index, _)| still.takes_calls(*index)) {
            assert!((700..1300).contains(picks), "{policy}: {picks} for {index}");
        }
    }
}

#[test]
fn weights_below_one_pass_turns() {
    for policy in [Policy::RoundRobin, Policy::Random] {
        let tally = Still::weighted(&[1.0, 1.0, 0.1, 0.0, 7.0]).tally(policy, 31_000);
        for (picks, share) in tally.iter().zip([1.0, 1.0, 0.1, 0.0, 1.0]) {
            assert!((*picks as f64 - 10_000.0 * share).abs() < 400.0, "{policy}: {tally:?}");
        }
        // If all have lower weights, all have the same chance.
        let tally = Still::weighted(&[0.1; 4]).tally(policy, 40_000);
        assert!(tally.iter().all(|picks| picks.abs_diff(10_000) < 500), "{policy}: {tally:?}");
    }
}

#[test]
fn weighted_is_in_proportion_with_better_weights_in_the_layout_or_none() {
    let still = Still::weighted(&[1.0, 0.5, 3.0, 0.1, 0.0]);
    for given in [&still.weights[..], &[1.0, 1.0, 5.0, 1.0, 1.0], &[1.0; 3], &[]] {
        let layout = Layout::new(Policy::Weighted, std::iter::empty(), &HashOptions::default());
        let layout = layout.with_weights(given.iter().copied());
        let mut rng = StdRng::seed_from_u64(7);
        let picker = Picker::new(Policy::Weighted);
        let mut tally = [0; 5];
        for _ in 0..46_000 {
            tally[picker.pick(&layout, &still, None, &mut rng).unwrap()] += 1;
        }
        for (picks, weight) in tally.iter().zip(&still.weights) {
            assert!((*picks as f64 - 10_000.0 * weight).abs() < 500.0, "{given:?}: {tally:?}");
        }
    }
}

#[test]
fn least_request_finds_the_idle_one() {
    let mut still = Still::even(16);
    still.pending = vec![3; 16];
    still.pending[5] = 1;
    assert_eq!(still.tally(Policy::LeastRequest, 10)[5], 10);
    still.weights[9] = 8.0;
    assert_eq!(still.tally(Policy::LeastRequest, 10)[9], 10);
    // Of a thousand endpoints half are busy. One pick in 16 takes a busy one.
    let mut still = Still::even(1000);
    still.pending = (0..1000).map(|index| index % 2).collect();
    let busy: usize = still.tally(Policy::LeastRequest, 16_000).iter().skip(1).step_by(2).sum();
    assert!((800..1200).contains(&busy), "{busy}");
}

#[test]
fn a_key_goes_where_it_went_and_to_the_cheapest_replica() {
    let mut still = Still::even(10);
    let ids: Vec<String> = (0..10).map(|index| format!("endpoint-{index}")).collect();
    let options = HashOptions::default().with_replicas(3).with_bound(f64::INFINITY);
    let layout = |options| Layout::new(Policy::ConsistentHash, ids.iter().map(String::as_str), options);
    let (one, three) = (layout(&HashOptions::default()), layout(&options));
    let picker = Picker::new(Policy::ConsistentHash);
    let mut rng = StdRng::seed_from_u64(7);
    for key in 0..200 {
        let first = picker.pick(&one, &still, Some(key), &mut rng).unwrap();
        assert_eq!(picker.pick(&one, &still, Some(key), &mut rng), Some(first));
        // The second endpoint on the ring gets the key if the first is expensive. The same one takes over if the first
        // is ejected.
        still.costs[first] = Some(5.0);
        let second = picker.pick(&three, &still, Some(key), &mut rng).unwrap();
        assert_ne!(second, first);
        still.costs[first] = None;
        assert_eq!(picker.pick(&one, &still, Some(key), &mut rng), Some(second));
        still.costs[first] = Some(1.0);
    }
}

proptest! {
    #[test]
    fn a_pick_takes_calls_if_any_does(
        endpoints in prop::collection::vec((prop::option::of(0.0..1e9_f64), 0..50_usize, 0.0..1000.0_f64), 0..60),
        in_layout in 0..80_usize,
        key: Option<u64>,
        seed: u64,
    ) {
        let still = Still {
            costs: endpoints.iter().map(|(cost, ..)| *cost).collect(),
            pending: endpoints.iter().map(|(_, pending, _)| *pending).collect(),
            weights: endpoints.iter().map(|(.., weight)| *weight).collect(),
        };
        let any = still.costs.iter().any(Option::is_some);
        let mut rng = StdRng::seed_from_u64(seed);
        for policy in Policy::ALL {
            // The layout may be outdated.
            let layout = Still::even(in_layout).layout(policy);
            let picked = Picker::new(policy).pick(&layout, &still, key, &mut rng);
            prop_assert_eq!(picked.is_some(), any);
            prop_assert!(picked.is_none_or(|index| still.takes_calls(index)));
        }
    }

    /// Calls with any keys, added one after the other, and calls that end.
    #[test]
    fn none_is_above_its_bound(
        count in 1..30_usize,
        out in prop::collection::vec(0..30_usize, 0..10),
        steps in prop::collection::vec((0..5_u64, any::<bool>()), 1..300),
        bound in 1.0..3.0_f64,
    ) {
        let mut still = Still::even(count);
        out.into_iter().filter(|index| *index + 1 < count).for_each(|index| still.costs[index] = None);
        let ids: Vec<String> = (0..count).map(|index| format!("endpoint-{index}")).collect();
        let options = HashOptions::default().with_bound(bound);
        let layout = Layout::new(Policy::ConsistentHash, ids.iter().map(String::as_str), &options);
        let picker = Picker::new(Policy::ConsistentHash);
        let mut rng = StdRng::seed_from_u64(7);
        let mut calls = Vec::new();
        for (key, ends) in steps {
            let most = (bound * (calls.len() + 1) as f64 / still.ready() as f64).ceil();
            let index = picker.pick(&layout, &still, Some(key), &mut rng).unwrap();
            still.pending[index] += 1;
            calls.push(index);
            prop_assert!(still.pending[index] as f64 <= most);
            if ends {
                still.pending[calls.swap_remove(calls.len() / 2)] -= 1;
            }
        }
    }
}
