use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const CAST: Cast = Cast { directors: 3, workers: 5 };

#[test]
fn a_seed_is_a_schedule() {
    let length = Duration::from_secs(120);
    assert_eq!(Schedule::new(7, CAST, length), Schedule::new(7, CAST, length));
    assert_ne!(Schedule::new(7, CAST, length), Schedule::new(8, CAST, length));
}

#[test]
fn ten_runs_have_faults_of_all_kinds() {
    let names: BTreeSet<_> = (0..10)
        .flat_map(|seed| Schedule::new(seed, CAST, Duration::from_secs(120)).storms)
        .flat_map(|storm| storm.faults)
        .map(|fault| fault.kind.name())
        .collect();
    assert_eq!(names, BTreeSet::from(Kind::NAMES));
}

#[test]
fn faults_are_left_out_by_name() {
    let schedule = Schedule::new(1, CAST, Duration::from_secs(600)).only(&["kill".to_owned()]);
    let mut faults = schedule.storms.iter().flat_map(|storm| &storm.faults).peekable();
    assert!(faults.peek().is_some());
    assert!(faults.all(|fault| fault.kind == Kind::Kill));
}

#[test]
fn runs_are_as_long_as_asked_for() {
    for seconds in [1, 30, 120, 600] {
        let schedule = Schedule::new(1, CAST, Duration::from_secs(seconds));
        assert!(!schedule.storms.is_empty());
        let calms: Duration = schedule.storms.iter().map(|storm| storm.calm).sum();
        assert!(calms <= Duration::from_secs(seconds), "{seconds} s: {calms:?}");
    }
}

proptest! {
    #[test]
    fn somebody_is_always_untouched(
        seed: u64, directors in 1_usize..5, workers in 1_usize..8, seconds in 1_u64..300,
    ) {
        let cast = Cast { directors, workers };
        for storm in Schedule::new(seed, cast, Duration::from_secs(seconds)).storms {
            prop_assert!(storm.faults.is_sorted_by_key(|fault| fault.at));
            let length = Duration::from_secs(seconds).mul_f64(STORM);
            for (index, fault) in storm.faults.iter().enumerate() {
                prop_assert!(fault.end() <= length, "{fault:?} of {length:?}");
                prop_assert!(!fault.nodes.is_empty());
                prop_assert!((fault.kind == Kind::Split) == (fault.nodes.len() > 1));
                for &node in &fault.nodes {
                    prop_assert!(node < cast.len());
                    prop_assert!(!(fault.elsewhere && cast.is_director(node)));
                    let earlier = storm.faults[..index].iter().find(|other| other.touches(node, fault.at));
                    prop_assert!(earlier.is_none(), "{fault:?} and {earlier:?}");
                }
                // Nothing but the beginning of a fault can break the rule.
                let touched = |node: &usize| storm.faults[..=index].iter().any(|other| other.touches(*node, fault.at));
                let spared = |nodes: Range<usize>| nodes.filter(|node| !touched(node)).count();
                let (least_directors, least_workers) = cast.untouched();
                prop_assert!(spared(0..directors) >= least_directors);
                prop_assert!(spared(directors..cast.len()) >= least_workers);
            }
        }
    }
}
