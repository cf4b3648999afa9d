//! What becomes of packets on their way: without clock, sockets or random numbers of its own.

use std::{fmt, time::Duration};

use rand::{Rng, RngExt as _};

/// How it is on a path.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Weather {
    /// The share of packets that are lost, 0 to 1.
    pub(crate) loss: f64,
    /// How late they come.
    pub(crate) delay: Duration,
    /// By how much more some come later than others: those overtake them.
    pub(crate) jitter: Duration,
}

impl Weather {
    /// Nothing comes through.
    pub(crate) const CUT: Self = Self { loss: 1.0, delay: Duration::ZERO, jitter: Duration::ZERO };

    /// What it is like to pass through both.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            loss: 1.0 - (1.0 - self.loss) * (1.0 - other.loss),
            delay: self.delay + other.delay,
            jitter: self.jitter + other.jitter,
        }
    }

    /// How late a packet comes; `None` if it does not.
    pub(crate) fn fate(&self, rng: &mut impl Rng) -> Option<Duration> {
        if self.loss > 0.0 && rng.random_bool(self.loss.clamp(0.0, 1.0)) {
            return None;
        }
        Some(self.delay + self.jitter.mul_f64(rng.random_range(0.0..1.0)))
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (delay, jitter) = (self.delay.as_millis(), self.jitter.as_millis());
        write!(f, "{:.0} % lost, {delay} to {} ms late", self.loss * 100.0, delay + jitter)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn packets_are_lost_and_late_as_often_as_it_says() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (delay, jitter) = (Duration::from_millis(10), Duration::from_millis(5));
        let weather = Weather { loss: 0.5, delay, jitter: Duration::ZERO };
        let weather = weather.and(Weather { loss: 0.5, delay: Duration::ZERO, jitter });
        let fates: Vec<_> = (0..10_000).filter_map(|_| weather.fate(&mut rng)).collect();
        assert!((2_300..2_700).contains(&fates.len()), "{}", fates.len());
        assert!(fates.iter().all(|late| (delay..delay + jitter).contains(late)));
        assert!(!fates.is_sorted(), "some overtake others");
    }

    #[test]
    fn through_a_cut_comes_nothing_and_through_good_weather_all_at_once() {
        let mut rng = SmallRng::seed_from_u64(1);
        let good = Weather::default();
        assert!((0..1000).all(|_| good.fate(&mut rng) == Some(Duration::ZERO)));
        assert!((0..1000).all(|_| good.and(Weather::CUT).fate(&mut rng).is_none()));
    }
}
