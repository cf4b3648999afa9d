//! One direction of a path: some datagrams are lost, and the others leave after a fixed time, in order.

use std::{
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};

/// A datagram, with the time at which it is due.
type Departure = (Instant, Box<[u8]>);

/// The entry of a path.
#[derive(Debug)]
pub(super) struct Arrivals {
    loss: f64,
    delay: Duration,
    rng: StdRng,
    under_way: SyncSender<Departure>,
}

/// The exit of a path.
#[derive(Debug)]
pub(super) struct Departures {
    under_way: Receiver<Departure>,
}

/// Makes a path. `loss` is a share, 0 to 1. `capacity` is the number of datagrams under way.
pub(super) fn path(loss: f64, delay: Duration, capacity: usize, rng: StdRng) -> (Arrivals, Departures) {
    let (sender, under_way) = sync_channel(capacity);
    (Arrivals { loss, delay, rng, under_way: sender }, Departures { under_way })
}

impl Arrivals {
    /// Takes a datagram in. It is dropped by the dice, or if too many are under way. Returns `false` if the other end
    /// has gone.
    pub(super) fn enter(&mut self, now: Instant, datagram: &[u8]) -> bool {
        if self.rng.random_bool(self.loss) {
            return true;
        }
        let sent = self.under_way.try_send((now + self.delay, datagram.into()));
        !matches!(sent, Err(TrySendError::Disconnected(_)))
    }
}

impl Departures {
    /// Forwards each datagram when it is due, until the other end has gone and no datagram is under way.
    #[expect(clippy::disallowed_methods, reason = "on a thread of its own, which has nothing else to do")]
    pub(super) fn forward(&mut self, mut send: impl FnMut(&[u8])) {
        for (due, datagram) in &self.under_way {
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                thread::sleep(left);
            }
            send(&datagram);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn datagrams_leave_in_order_and_no_sooner_than_they_are_due() {
        let delay = Duration::from_millis(10);
        let (mut arrivals, mut departures) = path(0.0, delay, 8, rng());
        let start = now();
        for datagram in [b"a", b"b"] {
            assert!(arrivals.enter(start, datagram));
        }
        drop(arrivals);
        let mut left = Vec::new();
        departures.forward(|datagram| left.push((datagram.to_vec(), now())));
        assert_eq!(left.iter().map(|(datagram, _)| &datagram[..]).collect::<Vec<_>>(), [b"a", b"b"]);
        assert!(left.iter().all(|(_, at)| *at >= start + delay));
    }

    #[test]
    fn about_so_many_are_lost_and_the_same_ones_again() {
        let passed = || {
            let (mut arrivals, departures) = path(0.01, Duration::ZERO, 100_000, rng());
            for number in 0..100_000u32 {
                arrivals.enter(now(), &number.to_be_bytes());
            }
            drop(arrivals);
            departures.under_way.iter().map(|(_, datagram)| datagram).collect::<Vec<_>>()
        };
        assert!((98_900..99_100).contains(&passed().len()), "{}", passed().len());
        assert_eq!(passed(), passed());
    }

    #[test]
    fn beyond_the_capacity_datagrams_are_dropped() {
        let (mut arrivals, departures) = path(0.0, Duration::ZERO, 3, rng());
        assert!((0..5).all(|_| arrivals.enter(now(), b"")));
        assert_eq!(departures.under_way.try_iter().count(), 3);
        drop(departures);
        assert!(!arrivals.enter(now(), b""));
    }
}
