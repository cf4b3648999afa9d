use proptest::prelude::*;

use super::*;

const DECAY: Duration = Duration::from_secs(10);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// An endpoint that takes 2 ms, with a call every 10 ms for a minute.
fn steady(start: Instant) -> (PeakEwma, Instant) {
    let mut ewma = PeakEwma::new(start, ms(1), DECAY);
    let mut now = start;
    for _ in 0..6000 {
        now += ms(10);
        ewma.begin(now);
        ewma.observe(now, ms(2));
    }
    (ewma, now)
}

fn load_ms(ewma: &PeakEwma, now: Instant) -> f64 {
    ewma.load(now, 0) / 1e6
}

#[test]
fn it_rises_at_once_and_falls_slowly() {
    let (mut ewma, now) = steady(start());
    ewma.observe(now + ms(1), ms(100));
    let peak = load_ms(&ewma, now + ms(1));
    assert!((3.9..4.2).contains(&peak), "a peak counts as one latency more, not as 100 ms: {peak}");
    assert!((2.6..3.0).contains(&load_ms(&ewma, now + ms(1001))));
    assert!(
        (1.9..2.1).contains(&(ewma.load(now, 3) / ewma.load(now, 0))),
        "four calls cost twice as much as one"
    );
}

#[test]
fn the_first_answer_takes_the_place_of_what_was_assumed() {
    let now = start();
    let mut ewma = PeakEwma::new(now, ms(500), DECAY);
    ewma.observe(now + ms(3), ms(3));
    assert!((load_ms(&ewma, now + ms(3)) - 3.0).abs() < 0.01);
}

#[test]
fn an_assumption_lasts_ten_times_itself() {
    let now = start();
    for assumed in [ms(1), ms(20)] {
        let ewma = PeakEwma::new(now, assumed, DECAY);
        let left = ewma.load(now + assumed * 10, 0) / assumed.as_nanos() as f64;
        assert!((0.3..0.4).contains(&left), "{assumed:?}: {left}");
    }
    // An assumption for a path around the world lasts for about a second.
    let far = PeakEwma::new(now, ms(500), DECAY);
    assert!((150.0..200.0).contains(&load_ms(&far, now + ms(1200))));
}

#[test]
fn one_that_is_slow_is_forgotten_in_minutes() {
    let (mut ewma, mut now) = steady(start());
    for _ in 0..100 {
        now += ms(1000);
        ewma.observe(now, ms(20));
    }
    assert!((19.0..21.0).contains(&load_ms(&ewma, now)));
    assert!(load_ms(&ewma, now + ms(100_000)) > 2.0);
    assert!(load_ms(&ewma, now + ms(140_000)) < 2.0);
}

#[test]
fn silence_counts_while_a_call_waits() {
    let (mut ewma, now) = steady(start());
    ewma.begin(now);
    ewma.begin(now + ms(100));
    let silent = load_ms(&ewma, now + ms(300));
    assert!((silent - 300.0).abs() < 1.0, "{silent}");
    // Another call is answered: one slow call is no silence.
    ewma.observe(now + ms(300), ms(2));
    assert!(load_ms(&ewma, now + ms(301)) < 5.0);
    // No call waits any more, but none was answered either.
    ewma.give_up(now + ms(700), ms(700));
    assert!(load_ms(&ewma, now + ms(700)) > 600.0);
}

#[test]
fn failures_count_however_fast_they_are() {
    let (mut ewma, mut now) = steady(start());
    now += ms(10);
    ewma.fail(now, ms(0));
    let once = load_ms(&ewma, now);
    assert!((9.0..12.0).contains(&once), "{once}");
    for _ in 0..3000 {
        now += ms(10);
        ewma.fail(now, ms(0));
    }
    let lasting = load_ms(&ewma, now);
    assert!(lasting > 100.0, "{lasting}");
    ewma.forgive(now, ms(2));
    assert!((load_ms(&ewma, now) - 2.0).abs() < 0.01);
}

#[test]
fn losses_cost_their_timeouts() {
    let rtt = ms(20);
    assert_eq!(PeakEwma::assumed(rtt, 0.0, Duration::ZERO), rtt);
    assert_eq!(PeakEwma::assumed(rtt, f64::NAN, ms(3)), ms(23));
    // One exchange in fifty waits for 85 ms or more.
    let lossy = PeakEwma::assumed(rtt, 0.01, ms(0)).as_secs_f64();
    assert!((0.0217..0.0219).contains(&lossy), "{lossy}");
    assert!(PeakEwma::assumed(Duration::MAX, 1.0, Duration::MAX) == Duration::MAX);
}

proptest! {
    /// After any calls in any order and at any time, a load is a finite number.
    #[test]
    fn loads_are_finite(steps in prop::collection::vec((0..5_u8, 0..200_000_u64, any::<u64>()), 0..60)) {
        let start = start();
        let mut ewma = PeakEwma::new(start, Duration::MAX, ms(0));
        for (decay, steps) in [(ms(0), &steps), (DECAY, &steps), (Duration::MAX, &steps)] {
            ewma = PeakEwma::new(start, if decay.is_zero() { Duration::MAX } else { ms(1) }, decay);
            for (what, at, took) in steps {
                let (now, took) = (start + ms(*at), Duration::from_nanos(*took));
                match what {
                    0 => ewma.begin(now),
                    1 => ewma.observe(now, took),
                    2 => ewma.fail(now, took),
                    3 => ewma.give_up(now, took),
                    _ => ewma.forgive(now, took),
                }
                for later in [0, 1, 1_000_000] {
                    let load = ewma.load(now + ms(later), usize::MAX);
                    prop_assert!(load.is_finite() && load > 0.0, "{load} after {what}");
                }
            }
        }
        prop_assert!(ewma.load(start, 0) >= 1000.0);
    }
}
