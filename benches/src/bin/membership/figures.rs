//! Figures of many seeds as rows.

use std::time::Duration;

use rpcnet_benches::{Options, Row, Target, median};

/// Which scenario is asked for, and how thoroughly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) options: &'a Options,
    /// No more seeds than these.
    pub(crate) most_seeds: u64,
}

impl Plan<'_> {
    /// Whether any row of this scenario is asked for. Its name ends in a slash.
    pub(crate) fn wants(&self, scenario: &str) -> bool {
        let only = self.options.only().unwrap_or_default();
        scenario.starts_with(only) || only.starts_with(scenario)
    }

    /// Few seeds are enough to see whether it runs.
    pub(crate) fn seeds(&self, seeds: u64) -> u64 {
        let most = if self.options.quick() { 2 } else { self.most_seeds };
        seeds.min(most.max(1))
    }

    /// The sizes of clusters that there is time for.
    pub(crate) fn sizes(&self, sizes: &[usize]) -> Vec<usize> {
        let most = if self.options.quick() { 100 } else { usize::MAX };
        sizes.iter().copied().filter(|size| *size <= most).collect()
    }

    pub(crate) fn seconds(&self, seconds: u64) -> Duration {
        Duration::from_secs(if self.options.quick() { seconds.div_ceil(10) } else { seconds })
    }
}

/// What a target of an issue says; written in this program.
pub(crate) fn target(text: &str) -> Target {
    text.parse().expect("a target of this program")
}

pub(crate) fn middle(values: &[f64]) -> f64 {
    median(values.iter().copied()).unwrap_or(f64::NAN)
}

pub(crate) fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// Median and worst of these, without targets.
pub(crate) fn both(prefix: &str, values: &[f64], unit: &'static str) -> [Row; 2] {
    [
        Row::new(format!("{prefix}median"), middle(values), unit),
        Row::new(format!("{prefix}worst"), worst(values), unit),
    ]
}
