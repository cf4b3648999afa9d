//! All latencies of a round, in four bytes each: at a million calls a second they should not fill the client's memory.

use std::time::Duration;

use rpcnet_benches::percentile;

use crate::order::Latency;

/// The nanoseconds of a step. The longest latency that fits is 42 s.
const STEP: u128 = 10;

#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_nanos() / STEP).unwrap_or(u32::MAX));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Returns `None` without latencies.
    pub(crate) fn summary(mut self) -> Option<Latency> {
        let mut at = |share| {
            let steps = percentile(&mut self.0, share)?;
            Some(f64::from(steps) * STEP as f64 / 1e3)
        };
        Some(Latency { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)?, p999: at(0.999)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_told_in_microseconds() {
        let mut latencies = Latencies::default();
        let mut others = Latencies::default();
        for micros in 1..=500 {
            latencies.push(Duration::from_micros(micros));
            others.push(Duration::from_micros(500 + micros));
        }
        latencies.append(others);
        assert_eq!(latencies.len(), 1000);
        let summary = latencies.summary().expect("there are some");
        assert_eq!(summary, Latency { p50: 500.0, p95: 950.0, p99: 990.0, p999: 999.0 });
        assert_eq!(Latencies::default().summary(), None);
    }

    #[test]
    fn what_takes_too_long_stays_the_longest() {
        let mut latencies = Latencies::default();
        latencies.push(Duration::from_secs(3600));
        assert!(latencies.summary().expect("there is one").p50 > 42e6);
    }
}
