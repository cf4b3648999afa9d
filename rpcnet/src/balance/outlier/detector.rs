//! All endpoints of a set beside each other.

use std::{ops::DerefMut, sync::Arc, time::Instant};

use rand::Rng;

use super::{
    config::{FailureShare, OutlierConfig, SuccessRate},
    ejection_slots::{EjectionSlot, EjectionSlots},
    endpoint::{Cause, Ejected, Outlier},
    window::SlotCounts,
};

/// How many endpoints of a set are out, and which should be.
#[derive(Debug)]
pub struct Detector {
    config: OutlierConfig,
    seats: Arc<EjectionSlots>,
}

impl Detector {
    /// Of a set without endpoints; tell it how many there are.
    pub fn new(config: OutlierConfig) -> Self {
        Self { config, seats: Arc::default() }
    }

    /// There are so many endpoints, of which a share may be out. Best is to count those that calls could go to otherwise:
    /// those connected, say.
    pub fn has_endpoints(&self, count: usize) {
        self.seats.endpoints(count);
    }

    /// How many are out. While it is zero, all are admitted.
    pub fn ejected(&self) -> usize {
        self.seats.taken()
    }

    /// Takes out those of which more calls have failed than of others, or than may; the worst first, as not all may be out.
    /// To be called each 250 ms. Takes one lock at a time.
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
            // By one rule it may be out already, or by a call just now.
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

    pub(super) fn seat(&self) -> Option<EjectionSlot> {
        self.seats.take(self.config.max_ejected)
    }
}

fn by_success_rate(
    rule: SuccessRate,
    counts: &[(usize, SlotCounts)],
) -> impl Iterator<Item = (usize, SlotCounts)> {
    let hosts = counts.len().max(1) as f64;
    let mean = counts.iter().map(|(_, counts)| counts.failing()).sum::<f64>() / hosts;
    let variance = counts.iter().map(|(_, counts)| (counts.failing() - mean).powi(2)).sum::<f64>() / hosts;
    // Of failures: the mean and the distances are those of successes.
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
