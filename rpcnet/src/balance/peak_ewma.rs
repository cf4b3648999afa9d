//! An endpoint's latency, remembered so that it rises at once and falls slowly.
//!
//! Source: Finagle's peak EWMA (`com.twitter.finagle.loadbalancer.p2c.PeakEwma`).

use std::time::{Duration, Instant};

/// An exponentially weighted moving average of latencies that jumps up to each new peak.
#[derive(Debug, Clone)]
pub struct PeakEwma {
    nanos: f64,
    at: Instant,
    decay: f64,
}

impl PeakEwma {
    /// Starts with an assumed latency (the path's round-trip time, say); old observations lose all but 1/e of their
    /// weight within `decay`.
    pub fn new(now: Instant, assumed: Duration, decay: Duration) -> Self {
        Self { nanos: assumed.as_nanos() as f64, at: now, decay: decay.as_nanos().max(1) as f64 }
    }

    /// A call took so long.
    pub fn observe(&mut self, now: Instant, latency: Duration) {
        let latency = latency.as_nanos() as f64;
        let current = self.at(now);
        let weight = self.weight(now);
        self.nanos = if latency > current { latency } else { self.nanos * weight + latency * (1.0 - weight) };
        self.at = self.at.max(now);
    }

    /// The cost of sending one more call there: its latency times the calls that it would then hold.
    pub fn load(&self, now: Instant, pending: usize) -> f64 {
        // At least a microsecond, so that a forgotten past does not make the pending calls weigh nothing.
        self.at(now).max(1000.0) * (pending as f64 + 1.0)
    }

    /// An endpoint that is not called gets another chance as its past fades.
    fn at(&self, now: Instant) -> f64 {
        self.nanos * self.weight(now)
    }

    fn weight(&self, now: Instant) -> f64 {
        (-(now.saturating_duration_since(self.at).as_nanos() as f64) / self.decay).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a starting point; the test adds to it")]
    fn it_rises_at_once_and_falls_slowly() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut ewma = PeakEwma::new(start, ms(1), Duration::from_secs(10));
        ewma.observe(start, ms(100));
        let peak = ewma.load(start, 0);
        assert!((peak - 1e8).abs() < 1.0);
        ewma.observe(start + ms(10), ms(1));
        let after_one = ewma.load(start + ms(10), 0);
        assert!(after_one > 0.99 * peak, "{after_one}");
        assert!(ewma.load(start + ms(30_000), 0) < 0.06 * peak);
        assert!(ewma.load(start + ms(10), 3) > 3.9 * after_one);
    }
}
