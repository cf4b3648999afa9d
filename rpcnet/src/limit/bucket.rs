//! A rate limit with bursts.

use std::time::Instant;

/// A token bucket (RFC 2697 without the second colour): a rate per second, and a burst.
///
/// A session has one for the streams that its peer resets or stops before they are answered, created by
/// `Limits::resets`. Each such stream takes a token. The first one that finds none closes the
/// connection. Without this limit, a peer could open and cancel calls as fast as it can write. Each would start a
/// handler, and none would count against the peer's streams ("rapid reset", CVE-2023-44487).
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// Creates a full bucket.
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { rate: f64::from(rate), burst, tokens: burst, at: now }
    }

    /// Takes a token. Returns false if there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + refill).min(self.burst);
        self.at = self.at.max(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = start();
        let mut bucket = TokenBucket::new(200, 1000, start);
        assert_eq!((0..5000).filter(|_| bucket.take(start)).count(), 1000);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..5000).filter(|_| bucket.take(later)).count(), 100);
        assert!(!bucket.take(start), "time that goes back gives nothing");
        assert!(bucket.take(later + Duration::from_secs(1)));
    }

    proptest! {
        /// With any pattern, never more than the burst and the refill since.
        #[test]
        fn never_more_than_rate_and_burst(
            rate in 1u32..1000,
            burst in 1u32..1000,
            pauses in prop::collection::vec(0u64..20_000, 0..500),
        ) {
            let start = start();
            let (mut now, mut taken) = (start, 0.0);
            let mut bucket = TokenBucket::new(rate, burst, start);
            for pause in pauses {
                now += Duration::from_micros(pause);
                taken += f64::from(u8::from(bucket.take(now)));
                let most = f64::from(burst) + (now - start).as_secs_f64() * f64::from(rate);
                prop_assert!(taken <= most + 1e-6, "{taken} of {most}");
            }
        }
    }
}
