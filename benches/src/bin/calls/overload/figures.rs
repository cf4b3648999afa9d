//! The results of the loads, and their rows.

use std::time::Duration;

use rpcnet_benches::{Failure, Options, Row, median, percentile};

use super::{
    LOADS, MODERATE, PREFIX,
    load::{DEADLINE, Outcome},
};
use crate::role::Role;

/// A server's way of handling overload.
#[derive(Debug)]
pub(super) struct Mode {
    /// The prefix of the mode's rows, after the common prefix.
    pub(super) prefix: &'static str,
    pub(super) role: Role,
    /// The targets of the rows `goodput` and `p99`.
    pub(super) targets: Option<[&'static str; 2]>,
}

/// The result of one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    /// The number of answers in time, a second.
    goodput: f64,
    /// Latencies of the calls that were not refused. A call that ran out of time counts with the whole deadline.
    p50: f64,
    p99: f64,
    /// The share of refused calls among all calls.
    shed: f64,
}

impl Figures {
    pub(super) fn of(outcomes: &[Outcome], time: Duration) -> Result<Self, Failure> {
        let mut accepted: Vec<Duration> = outcomes
            .iter()
            .filter_map(|outcome| match *outcome {
                Outcome::Answered(latency) => Some(latency),
                Outcome::Expired => Some(DEADLINE),
                Outcome::Shed => None,
            })
            .collect();
        let answered = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Answered(_))).count();
        let shed = outcomes.len() - accepted.len();
        let mut share = |share| {
            let latency: Option<Duration> = percentile(&mut accepted, share);
            Ok::<f64, Failure>(latency.ok_or("no call was accepted")?.as_secs_f64() * 1e3)
        };
        Ok(Self {
            goodput: answered as f64 / time.as_secs_f64(),
            p50: share(0.5)?,
            p99: share(0.99)?,
            shed: shed as f64 / outcomes.len() as f64,
        })
    }
}

/// One round: all loads, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    pub(super) figures: [Figures; LOADS.len()],
}

impl Sweep {
    /// The goodput at the highest load, as a share of the best goodput.
    fn goodput(&self) -> f64 {
        let peak = self.figures.iter().map(|figures| figures.goodput).fold(0.0, f64::max);
        self.highest().goodput / peak
    }

    /// The 99th percentile at the highest load, divided by the one at a moderate load.
    fn p99(&self) -> f64 {
        self.highest().p99 / self.figures[MODERATE].p99
    }

    fn highest(&self) -> &Figures {
        &self.figures[LOADS.len() - 1]
    }
}

/// A figure and its row.
struct Figure<T> {
    name: &'static str,
    unit: &'static str,
    of: fn(&T) -> f64,
}

/// The figures of each load.
const OF_A_LOAD: [Figure<Figures>; 4] = [
    Figure { name: "goodput", unit: "calls/s", of: |figures| figures.goodput },
    Figure { name: "p50-ms", unit: "ms", of: |figures| figures.p50 },
    Figure { name: "p99-ms", unit: "ms", of: |figures| figures.p99 },
    Figure { name: "shed", unit: "share", of: |figures| figures.shed },
];

/// The figures over all loads.
const RATIOS: [Figure<Sweep>; 2] = [
    Figure { name: "goodput", unit: "ratio", of: Sweep::goodput },
    Figure { name: "p99", unit: "ratio", of: Sweep::p99 },
];

impl Mode {
    fn id(&self, rest: &str) -> String {
        format!("{PREFIX}{}{rest}", self.prefix)
    }

    fn ids(&self) -> impl Iterator<Item = String> {
        let ratios = RATIOS.iter().map(|figure| self.id(figure.name));
        let of_a_load =
            move |load| OF_A_LOAD.iter().map(move |figure| self.id(&format!("{load}x/{}", figure.name)));
        ratios.chain(LOADS.iter().flat_map(of_a_load))
    }

    /// Returns whether any row of this mode is selected.
    pub(super) fn selected(&self, options: &Options) -> bool {
        self.ids().any(|id| options.selects(&id))
    }

    /// The selected rows of this mode. Each figure is the median over the rounds.
    pub(super) fn rows(&self, sweeps: &[Sweep], options: &Options) -> Vec<Row> {
        let of = |figure: &dyn Fn(&Sweep) -> f64| median(sweeps.iter().map(figure)).unwrap_or(f64::NAN);
        let ratios = RATIOS.iter().enumerate().map(|(index, figure)| {
            let target =
                self.targets.map(|targets| targets[index].parse().expect("the targets above are valid"));
            (of(&figure.of), figure.unit, target)
        });
        let of_a_load = |load: usize| {
            let row = move |figure: &Figure<Figures>| {
                (of(&|sweep| (figure.of)(&sweep.figures[load])), figure.unit, None)
            };
            OF_A_LOAD.iter().map(row)
        };
        let figures = ratios.chain((0..LOADS.len()).flat_map(of_a_load));
        self.ids()
            .zip(figures)
            .filter(|(id, _)| options.selects(id))
            .map(|(id, (value, unit, target))| {
                target.into_iter().fold(Row::new(id, value, unit), Row::with_target)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::MODES, *};

    const SECOND: Duration = Duration::from_secs(1);

    fn outcomes(answered: usize, shed: usize, expired: usize) -> Vec<Outcome> {
        let answered =
            (1..=answered).map(|index| Outcome::Answered(Duration::from_micros(index as u64 * 100)));
        let shed = std::iter::repeat_n(Outcome::Shed, shed);
        answered.chain(shed).chain(std::iter::repeat_n(Outcome::Expired, expired)).collect()
    }

    fn figures(answered: usize, shed: usize, expired: usize) -> Figures {
        Figures::of(&outcomes(answered, shed, expired), SECOND).expect("some were accepted")
    }

    #[test]
    fn calls_that_are_refused_have_no_latency() {
        let figures = figures(100, 300, 0);
        assert_eq!((figures.goodput, figures.shed), (100.0, 0.75));
        assert_eq!((figures.p50, figures.p99), (5.0, 9.9));
    }

    #[test]
    fn calls_that_run_out_of_time_are_no_answers_but_have_a_latency() {
        let figures = figures(90, 0, 10);
        assert_eq!((figures.goodput, figures.shed), (90.0, 0.0));
        assert_eq!((figures.p50, figures.p99), (5.0, 100.0));
        assert!(Figures::of(&outcomes(0, 5, 0), SECOND).is_err());
    }

    #[test]
    fn the_highest_load_is_compared_with_the_best_and_with_a_moderate_one() {
        let sweep = Sweep {
            figures: [
                figures(50, 0, 0),
                figures(80, 0, 0),
                figures(100, 0, 0),
                figures(95, 50, 0),
                figures(90, 99, 0),
            ],
        };
        let rows = MODES[0].rows(&[sweep], &Options::default());
        assert_eq!(rows.len(), MODES[0].ids().count());
        assert_eq!(
            (rows[0].id(), rows[0].value(), rows[0].holds()),
            ("calls/overload/goodput", 0.9, Some(true))
        );
        assert_eq!((rows[1].id(), rows[1].holds()), ("calls/overload/p99", Some(true)));
        assert_eq!(rows[2].id(), "calls/overload/0.5x/goodput");
        let last = rows.last().expect("there are some");
        assert_eq!((last.id(), last.value()), ("calls/overload/2x/shed", 99.0 / 189.0));
        assert_eq!(MODES[1].rows(&[sweep], &Options::default())[0].holds(), None);
    }
}
