//! Outlier detection over a set of endpoints.

use std::{ops::DerefMut, sync::Arc, time::Instant};

use rand::Rng;

use super::{
    config::{FailureShare, OutlierConfig, SuccessRate},
    ejection_slots::{EjectionSlot, EjectionSlots},
    endpoint::{Cause, Ejected, Outlier},
    window::SlotCounts,
};

/// Detects outliers in a set of endpoints, and limits how many of them are ejected.
#[derive(Debug)]
pub struct Detector {
    config: OutlierConfig,
    slots: Arc<EjectionSlots>,
}

impl Detector {
    /// Creates a detector for an empty set; see [`has_endpoints`](Self::has_endpoints).
    pub fn new(config: OutlierConfig) -> Self {
        Self { config, slots: Arc::default() }
    }

    /// Sets the number of endpoints, of which a share may be ejected. Count the endpoints that calls could go to
    /// otherwise, for example the connected ones.
    pub fn has_endpoints(&self, count: usize) {
        self.slots.endpoints(count);
    }

    /// Returns the number of ejected endpoints. While it is zero, all are admitted.
    pub fn ejected(&self) -> usize {
        self.slots.taken()
    }

    /// Ejects endpoints whose failures exceed the others' or a fixed bound. Starts with the worst, as not all may be
    /// ejected. To be called every 250 ms. Holds one lock at a time.
    pub fn sweep<L: DerefMut<Target = Outlier>>(
        &self,
        now: Instant,
        count: usize,
        lock: impl Fn(usize) -> L,
        rng: &mut impl Rng,
    ) -> Vec<(usize, Ejected)> {
        let counts = |calls: u32| -> Vec<(usize, SlotCounts)> {
            let last = |index| Some((index, lock(index).last(now, calls, self.config.window)?));
            (0..count).filter_map(last).collect()
        };
        let mut found = Vec::new();
        if let Some(rule) = self.config.success_rate {
            found.extend(by_success_rate(rule, &counts(rule.calls)).map(|seen| (seen, Cause::SuccessRate)));
        }
        if let Some(rule) = self.config.failure_share {
            found.extend(by_failure_share(rule, &counts(rule.calls)).map(|seen| (seen, Cause::FailureShare)));
        }
        found.sort_by(|((_, a), _), ((_, b), _)| b.failing().total_cmp(&a.failing()));
        let mut ejected: Vec<(usize, Ejected)> = Vec::new();
        for ((index, _), cause) in found {
            let mut outlier = lock(index);
            // Another rule, or a call in the meantime, may have ejected it already.
            if outlier.out_until().is_none()
                && let Some(out) = outlier.eject(self, now, cause, rng)
            {
                ejected.push((index, out));
            }
        }
        ejected
    }

    pub(super) fn config(&self) -> &OutlierConfig {
        &self.config
    }

    pub(super) fn slot(&self) -> Option<EjectionSlot> {
        self.slots.take(self.config.max_ejected)
    }
}

fn by_success_rate(
    rule: SuccessRate,
    counts: &[(usize, SlotCounts)],
) -> impl Iterator<Item = (usize, SlotCounts)> {
    let hosts = counts.len().max(1) as f64;
    let mean = counts.iter().map(|(_, counts)| counts.failing()).sum::<f64>() / hosts;
    let variance = counts.iter().map(|(_, counts)| (counts.failing() - mean).powi(2)).sum::<f64>() / hosts;
    // In terms of failures: their mean and deviations mirror those of successes.
    let above = mean + (variance.sqrt() * rule.deviations).max(rule.distance);
    let enough = counts.len() >= rule.hosts;
    counts.iter().copied().filter(move |(_, counts)| enough && counts.failing() > above)
}

fn by_failure_share(
    rule: FailureShare,
    counts: &[(usize, SlotCounts)],
) -> impl Iterator<Item = (usize, SlotCounts)> {
    let enough = counts.len() >= rule.hosts;
    counts.iter().copied().filter(move |(_, counts)| enough && counts.failing() > rule.above)
}

#[cfg(test)]
mod tests;
