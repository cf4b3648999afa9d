//! Figures of many seeds as rows.

use std::time::Duration;

use rpcnet_benches::{Options, Row, Target, median};

/// The selected scenario, and the number of its seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) options: &'a Options,
    /// The largest number of seeds.
    pub(crate) most_seeds: u64,
}

impl Plan<'_> {
    /// Returns whether any row of this scenario is selected. The scenario's name ends in a slash.
    pub(crate) fn wants(&self, scenario: &str) -> bool {
        let only = self.options.only().unwrap_or_default();
        scenario.starts_with(only) || only.starts_with(scenario)
    }

    /// The number of seeds to run. For a quick run, few seeds are enough.
    pub(crate) fn seeds(&self, seeds: u64) -> u64 {
        let most = if self.options.quick() { 2 } else { self.most_seeds };
        seeds.min(most.max(1))
    }

    /// The sizes of clusters to run. A quick run leaves large ones out.
    pub(crate) fn sizes(&self, sizes: &[usize]) -> Vec<usize> {
        let most = if self.options.quick() { 100 } else { usize::MAX };
        sizes.iter().copied().filter(|size| *size <= most).collect()
    }

    pub(crate) fn seconds(&self, seconds: u64) -> Duration {
        Duration::from_secs(if self.options.quick() { seconds.div_ceil(10) } else { seconds })
    }
}

/// Parses a target, which is written in this program.
pub(crate) fn target(text: &str) -> Target {
    text.parse().expect("a target of this program")
}

pub(crate) fn middle(values: &[f64]) -> f64 {
    median(values.iter().copied()).unwrap_or(f64::NAN)
}

pub(crate) fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// The rows of the median and the worst of these values, without targets.
pub(crate) fn both(prefix: &str, values: &[f64], unit: &'static str) -> [Row; 2] {
    [
        Row::new(format!("{prefix}median"), middle(values), unit),
        Row::new(format!("{prefix}worst"), worst(values), unit),
    ]
}
