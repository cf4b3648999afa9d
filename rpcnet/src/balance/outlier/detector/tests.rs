use std::{cell::RefCell, time::Duration};

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::balance::{CallOutcome, TrialState};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A few endpoints and a clock.
struct Set {
    now: Instant,
    detector: Detector,
    endpoints: Vec<RefCell<Outlier>>,
    rng: StdRng,
}

impl Set {
    fn new(count: usize, config: OutlierConfig) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let detector = Detector::new(config);
        detector.has_endpoints(count);
        let endpoints = (0..count).map(|_| RefCell::new(Outlier::new(now))).collect();
        Self { now, detector, endpoints, rng: StdRng::seed_from_u64(7) }
    }

    fn call(&mut self, index: usize, outcome: CallOutcome) -> Option<Ejected> {
        let mut outlier = self.endpoints[index].borrow_mut();
        assert!(outlier.begin(self.now));
        outlier.observe(&self.detector, self.now, self.now, outcome, &mut self.rng)
    }

    fn fail_until_out(&mut self, index: usize) -> Option<Ejected> {
        (0..20).find_map(|_| self.call(index, CallOutcome::Failure))
    }

    fn admits(&self, index: usize) -> TrialState {
        self.endpoints[index].borrow().admits(self.now)
    }

    fn sweep(&mut self) -> Vec<(usize, Ejected)> {
        self.detector.sweep(
            self.now,
            self.endpoints.len(),
            |index| self.endpoints[index].borrow_mut(),
            &mut self.rng,
        )
    }

    fn calls(&mut self, index: usize, calls: usize, failures: usize) {
        for number in 0..calls {
            // Spread out, so that there are not five consecutive failures.
            let failed = (number + 1) * failures / calls > number * failures / calls;
            self.call(index, if failed { CallOutcome::Failure } else { CallOutcome::Success });
        }
    }
}

fn by_rates() -> OutlierConfig {
    OutlierConfig::default().with_failures_in_a_row(0)
}

#[test]
fn five_failures_in_a_row_take_an_endpoint_out_at_once() {
    let mut set = Set::new(3, OutlierConfig::default());
    for outcome in [
        CallOutcome::Failure,
        CallOutcome::Failure,
        CallOutcome::Failure,
        CallOutcome::Failure,
        CallOutcome::Success,
    ] {
        assert_eq!(set.call(0, outcome), None);
    }
    for outcome in [CallOutcome::Failure; 4] {
        assert_eq!(set.call(0, outcome), None);
    }
    // An unknown outcome counts neither way.
    assert_eq!(set.call(0, CallOutcome::Unknown), None);
    let out = set.call(0, CallOutcome::Failure).unwrap();
    assert_eq!((out.cause, out.times), (Cause::InARow, 1));
    assert_eq!(set.admits(0), TrialState::No);
    assert_eq!(set.detector.ejected(), 1);
    // It takes twice as many timeouts.
    assert_eq!(
        (1..20).find(|_| set.call(1, CallOutcome::Timeout).is_some()),
        None,
        "only one of three may be out"
    );
    set.detector.has_endpoints(4);
    assert!(set.call(1, CallOutcome::Timeout).is_some());
    assert_eq!((1..20).find(|_| set.call(2, CallOutcome::Timeout).is_some()), None);
}

#[test]
fn timeouts_count_half() {
    let mut set = Set::new(2, OutlierConfig::default());
    assert_eq!((1..20).find(|_| set.call(0, CallOutcome::Timeout).is_some()), Some(10));
}

#[test]
fn one_call_at_a_time_is_tried_and_one_success_brings_it_back_slowly() {
    let mut set = Set::new(2, OutlierConfig::default());
    let out = set.fail_until_out(0).unwrap();
    set.now = out.until - ms(1);
    assert_eq!(set.admits(0), TrialState::No);
    assert!(!set.endpoints[0].borrow_mut().begin(set.now));
    set.now = out.until;
    assert_eq!(set.admits(0), TrialState::Trial);
    let began = set.now;
    assert!(set.endpoints[0].borrow_mut().begin(began));
    assert_eq!(set.admits(0), TrialState::No);
    // A trial call that was cancelled lets the next one try.
    let observe = |set: &mut Set, began, outcome| {
        set.endpoints[0].borrow_mut().observe(&set.detector, began, set.now, outcome, &mut set.rng)
    };
    set.now += ms(10);
    assert_eq!(observe(&mut set, began, CallOutcome::Unknown), None);
    assert_eq!(set.admits(0), TrialState::Trial);
    let began = set.now;
    assert!(set.endpoints[0].borrow_mut().begin(began));
    set.now += ms(10);
    // Calls that began before the ejection are ignored, whatever their outcome.
    assert_eq!(observe(&mut set, out.until - ms(500), CallOutcome::Failure), None);
    assert_eq!(observe(&mut set, out.until - ms(500), CallOutcome::Success), None);
    assert_eq!(set.admits(0), TrialState::No);
    assert_eq!(observe(&mut set, began, CallOutcome::Success), None);
    assert_eq!(set.admits(0), TrialState::Yes);
    assert_eq!(set.detector.ejected(), 0);
    let weight = |set: &Set, later| set.endpoints[0].borrow().weight(set.now + ms(later));
    assert!((weight(&set, 0) - 0.1).abs() < 1e-9);
    assert!((weight(&set, 1500) - 0.55).abs() < 1e-9);
    assert_eq!(weight(&set, 3000), 1.0);
}

#[test]
fn times_double_and_are_forgiven() {
    let mut set = Set::new(2, OutlierConfig::default());
    let mut out = set.fail_until_out(0).unwrap();
    for (times, secs) in [(2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)] {
        set.now = out.until;
        out = set.call(0, CallOutcome::Failure).unwrap();
        assert_eq!((out.cause, out.times), (Cause::Trial, times));
        let time = (out.until - set.now).as_secs_f64() / secs as f64;
        assert!((0.8..=1.2).contains(&time), "{time} of {secs} s");
    }
    set.now = out.until;
    set.call(0, CallOutcome::Success);
    set.now += ms(31_000);
    // Three times ten seconds forgive three of the seven ejections.
    assert_eq!(set.fail_until_out(0).unwrap().times, 5);
}

#[test]
fn an_endpoint_that_is_dropped_frees_its_slot() {
    let mut set = Set::new(2, OutlierConfig::default());
    assert!(set.fail_until_out(0).is_some());
    assert!(set.fail_until_out(1).is_none(), "the last one stays");
    set.endpoints[0] = RefCell::new(Outlier::new(set.now));
    assert_eq!(set.detector.ejected(), 0);
    assert!(set.fail_until_out(1).is_some());
}

#[test]
fn the_rates_of_others_are_what_counts() {
    let mut set = Set::new(6, by_rates());
    for index in 0..6 {
        set.calls(index, 100, if index == 2 { 30 } else { 5 });
    }
    let out = set.sweep();
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].0, out[0].1.cause), (2, Cause::SuccessRate));
    // If all fail equally, none is an outlier.
    let mut set = Set::new(6, by_rates());
    (0..6).for_each(|index| set.calls(index, 100, 30));
    assert_eq!(set.sweep(), []);
}

#[test]
fn one_failure_among_none_is_no_outlier() {
    let mut set = Set::new(6, by_rates());
    (0..6).for_each(|index| set.calls(index, 100, usize::from(index == 0)));
    assert_eq!(set.sweep(), []);
}

#[test]
fn few_hosts_and_few_calls_say_nothing() {
    let mut set = Set::new(4, by_rates());
    (0..4).for_each(|index| set.calls(index, 200, if index == 0 { 200 } else { 0 }));
    assert_eq!(set.sweep(), []);
    let mut set = Set::new(6, by_rates());
    (0..6).for_each(|index| set.calls(index, 49, if index == 0 { 49 } else { 0 }));
    assert_eq!(set.sweep(), []);
}

#[test]
fn what_fails_nearly_always_is_out_by_that() {
    let mut set = Set::new(6, by_rates());
    (0..6).for_each(|index| set.calls(index, 60, if index < 4 { 58 } else { 52 - 10 * (index - 4) }));
    let out: Vec<_> = set.sweep().into_iter().map(|(index, out)| (index, out.cause)).collect();
    // Four are above the bound, and three of six may be ejected.
    assert_eq!(out.len(), 3);
    assert!(out.iter().all(|(index, cause)| *index < 5 && *cause == Cause::FailureShare), "{out:?}");
}

#[test]
fn old_calls_do_not_hide_what_happens_now() {
    let mut set = Set::new(6, by_rates());
    for _ in 0..30 {
        set.now += ms(250);
        (0..6).for_each(|index| set.calls(index, 100, 0));
        assert_eq!(set.sweep(), []);
    }
    set.now += ms(250);
    (0..6).for_each(|index| set.calls(index, 100, if index == 0 { 50 } else { 0 }));
    assert_eq!(set.sweep().len(), 1);
}

proptest! {
    /// For any outcomes, never more are ejected than allowed, and never all.
    #[test]
    fn never_are_more_out_than_may_be(
        count in 1..12_usize,
        share in 0.0..=1.0_f64,
        steps in prop::collection::vec((0..12_usize, 0..6_u8, 0..2000_u64), 0..400),
    ) {
        let mut set = Set::new(count, OutlierConfig::default().with_max_ejected(share));
        let most = ((count as f64 * share) as usize).max(1).min(count - 1);
        for (index, what, later) in steps {
            let index = index % count;
            set.now += ms(later);
            let outcome = match what {
                0 => CallOutcome::Success,
                1 => CallOutcome::Timeout,
                2 => CallOutcome::Unknown,
                _ => CallOutcome::Failure,
            };
            if set.admits(index) != TrialState::No {
                for _ in 0..5 {
                    if set.admits(index) != TrialState::No {
                        set.call(index, outcome);
                    }
                }
            }
            set.sweep();
            let out = set.endpoints.iter().filter(|outlier| outlier.borrow().out_until().is_some()).count();
            prop_assert_eq!(out, set.detector.ejected());
            prop_assert!(out <= most, "{} of {}", out, count);
        }
    }
}
