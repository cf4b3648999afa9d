//! Weather for UDP datagrams: the fate of each, and the delivery of the late ones.
//!
//! [`Weather`] and [`Link`] are pure: they take the time and random numbers as arguments. [`Courier`] delivers.

mod courier;
mod socket;

use std::{fmt, time::Duration};

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

pub use self::{
    courier::{Courier, Parcel},
    socket::{LARGEST, bind},
};

/// The additional delay of a reordered packet: enough for the packets after it to overtake it, too little for QUIC to
/// call it lost by time.
const HELD_BACK: Duration = Duration::from_millis(3);

/// The longest time that a packet waits for a narrow link. Beyond, the link's queue is full and the packet is lost.
const QUEUE: Duration = Duration::from_millis(250);

/// The conditions on a path, one way.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weather {
    /// The share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// The delay of all packets.
    pub delay: Duration,
    /// The largest additional delay of a packet; evenly spread. With jitter, packets overtake others.
    pub jitter: Duration,
    /// The share of packets that arrive twice, 0 to 1.
    pub duplicated: f64,
    /// The share of packets that are held back for 3 ms, so that later ones overtake them, 0 to 1.
    pub reordered: f64,
    /// Bytes that pass a second; `None` for no limit. Packets that would wait for more than 250 ms are lost.
    pub bandwidth: Option<u32>,
}

impl Weather {
    /// Conditions in which nothing arrives.
    pub const CUT: Self = Self { loss: 1.0, ..Self::FAIR };
    /// Conditions in which all packets arrive at once.
    pub const FAIR: Self = Self {
        loss: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        duplicated: 0.0,
        reordered: 0.0,
        bandwidth: None,
    };

    /// The conditions on a path that passes through both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let either = |one: f64, other: f64| 1.0 - (1.0 - one) * (1.0 - other);
        Self {
            loss: either(self.loss, other.loss),
            delay: self.delay + other.delay,
            jitter: self.jitter + other.jitter,
            duplicated: either(self.duplicated, other.duplicated),
            reordered: either(self.reordered, other.reordered),
            bandwidth: self.bandwidth.into_iter().chain(other.bandwidth).min(),
        }
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (delay, jitter) = (self.delay.as_millis(), self.jitter.as_millis());
        write!(f, "{:.0} % lost, {delay} to {} ms late", self.loss * 100.0, delay + jitter)?;
        if self.duplicated > 0.0 {
            write!(f, ", {:.0} % duplicated", self.duplicated * 100.0)?;
        }
        if self.reordered > 0.0 {
            write!(f, ", {:.0} % reordered", self.reordered * 100.0)?;
        }
        if let Some(bandwidth) = self.bandwidth {
            write!(f, ", {bandwidth} bytes a second")?;
        }
        Ok(())
    }
}

/// One direction of a path: knows until when it is busy with earlier packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    busy: Option<Instant>,
}

impl Link {
    /// Takes a packet of this size in bytes. Returns how late each of its copies arrives: none where it is lost.
    pub fn pass<R: Rng>(
        &mut self,
        weather: &Weather,
        now: Instant,
        size: usize,
        rng: &mut R,
    ) -> impl Iterator<Item = Duration> + use<R> {
        let copies = self.copies(weather, now, size, rng).unwrap_or_default();
        copies.into_iter().flatten()
    }

    fn copies(
        &mut self,
        weather: &Weather,
        now: Instant,
        size: usize,
        rng: &mut impl Rng,
    ) -> Option<[Option<Duration>; 2]> {
        let mut happens = |share: f64| share > 0.0 && rng.random_bool(share.clamp(0.0, 1.0));
        if happens(weather.loss) {
            return None;
        }
        let (twice, held_back) = (happens(weather.duplicated), happens(weather.reordered));
        let mut late = weather.delay + self.queued(weather.bandwidth, now, size)?;
        if held_back {
            late += HELD_BACK;
        }
        let mut one = || late + weather.jitter.mul_f64(rng.random_range(0.0..1.0));
        Some([Some(one()), twice.then(one)])
    }

    /// Returns how long the packet takes to get through the link; `None` where the queue is full.
    fn queued(&mut self, bandwidth: Option<u32>, now: Instant, size: usize) -> Option<Duration> {
        let Some(bandwidth) = bandwidth else { return Some(Duration::ZERO) };
        let begins = self.busy.unwrap_or(now).max(now);
        if begins - now > QUEUE {
            return None;
        }
        let ends = begins + Duration::from_secs_f64(size as f64 / f64::from(bandwidth.max(1)));
        self.busy = Some(ends);
        Some(ends - now)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends so many packets of 1000 bytes at one moment; returns how late each copy arrives.
    fn send(weather: Weather, packets: usize) -> Vec<Duration> {
        let (mut rng, mut link, now) = (SmallRng::seed_from_u64(1), Link::default(), Instant::now());
        (0..packets).flat_map(|_| link.pass(&weather, now, 1000, &mut rng)).collect()
    }

    #[test]
    fn packets_are_lost_and_late_as_often_as_it_says() {
        let weather = Weather { loss: 0.5, delay: 10 * MS, ..Weather::FAIR };
        let late = send(weather.and(Weather { loss: 0.5, jitter: 5 * MS, ..Weather::FAIR }), 10_000);
        assert!((2_300..2_700).contains(&late.len()), "{}", late.len());
        assert!(late.iter().all(|late| (10 * MS..15 * MS).contains(late)));
        assert!(!late.is_sorted(), "some overtake others");
    }

    #[test]
    fn nothing_passes_a_cut_and_everything_passes_at_once_in_fair_weather() {
        assert_eq!(send(Weather::FAIR, 1000), [Duration::ZERO; 1000]);
        assert_eq!(send(Weather::CUT, 1000), [Duration::ZERO; 0]);
        assert_eq!(send(Weather::FAIR.and(Weather::CUT), 1000), [Duration::ZERO; 0]);
        assert_eq!(Weather::default(), Weather::FAIR);
    }

    #[test]
    fn packets_are_duplicated_as_often_as_it_says() {
        let copies = send(Weather { duplicated: 0.1, ..Weather::FAIR }, 10_000).len();
        assert!((10_800..11_200).contains(&copies), "{copies}");
    }

    #[test]
    fn packets_are_held_back_as_often_as_it_says() {
        let late = send(Weather { reordered: 0.1, delay: MS, ..Weather::FAIR }, 10_000);
        let held_back = late.iter().filter(|late| **late == MS + HELD_BACK).count();
        assert!((800..1_200).contains(&held_back), "{held_back}");
        assert_eq!(late.iter().filter(|late| **late == MS).count(), 10_000 - held_back);
    }

    #[test]
    fn a_narrow_link_delays_packets_until_its_queue_is_full() {
        let narrow = Weather { bandwidth: Some(100_000), ..Weather::FAIR };
        let late = send(narrow.and(Weather { bandwidth: Some(200_000), ..Weather::FAIR }), 1000);
        // A packet takes 10 ms; the last one that is taken in waits for 250 ms and takes 10 ms itself.
        let expected: Vec<_> = (1..=26).map(|packet| packet * 10 * MS).collect();
        assert_eq!(late, expected);

        let (mut rng, mut link, now) = (SmallRng::seed_from_u64(1), Link::default(), Instant::now());
        let first: Vec<_> = link.pass(&narrow, now, 1000, &mut rng).collect();
        let idle_since = now + 1000 * MS;
        let second: Vec<_> = link.pass(&narrow, idle_since, 1000, &mut rng).collect();
        assert_eq!([first, second], [[10 * MS], [10 * MS]], "an idle link has no queue");
    }
}
