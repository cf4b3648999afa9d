//! One direction of a path: some datagrams are lost, the others leave after a fixed time, in order. Sans-io.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{RngExt, rngs::StdRng};

#[derive(Debug)]
pub(super) struct Path {
    loss: f64,
    delay: Duration,
    capacity: usize,
    rng: StdRng,
    /// In the order in which they are due, as all are as late.
    under_way: VecDeque<(Instant, Bytes)>,
}

impl Path {
    /// `loss` is a share, 0 to 1; `capacity` counts datagrams under way.
    pub(super) fn new(loss: f64, delay: Duration, capacity: usize, rng: StdRng) -> Self {
        Self { loss, delay, capacity, rng, under_way: VecDeque::new() }
    }

    /// A datagram comes in. It is dropped where the dice say so, or too many are under way.
    pub(super) fn enter(&mut self, now: Instant, datagram: Bytes) {
        if !self.rng.random_bool(self.loss) && self.under_way.len() < self.capacity {
            self.under_way.push_back((now + self.delay, datagram));
        }
    }

    /// The next datagram that is due by now.
    pub(super) fn leave(&mut self, now: Instant) -> Option<Bytes> {
        if self.due()? > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, datagram)| datagram)
    }

    /// When the next one is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.under_way.front().map(|&(due, _)| due)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn path(loss: f64, capacity: usize) -> (Path, Instant) {
        let path = Path::new(loss, Duration::from_millis(10), capacity, StdRng::seed_from_u64(7));
        (path, tokio::time::Instant::now().into_std())
    }

    #[test]
    fn datagrams_leave_in_order_and_no_sooner_than_they_are_due() {
        let (mut path, start) = path(0.0, 8);
        let at = |millis| start + Duration::from_millis(millis);
        path.enter(at(0), Bytes::from_static(b"a"));
        path.enter(at(4), Bytes::from_static(b"b"));
        assert_eq!(path.due(), Some(at(10)));
        assert_eq!(path.leave(at(9)), None);
        assert_eq!(path.leave(at(10)).as_deref(), Some(&b"a"[..]));
        assert_eq!(path.leave(at(10)), None);
        assert_eq!(path.leave(at(20)).as_deref(), Some(&b"b"[..]));
        assert_eq!(path.due(), None);
    }

    #[test]
    fn about_so_many_are_lost_and_the_same_ones_again() {
        let lost = || {
            let (mut path, start) = path(0.01, 1);
            (0..100_000)
                .filter(|_| {
                    path.enter(start, Bytes::new());
                    path.leave(start + Duration::from_secs(1)).is_none()
                })
                .collect::<Vec<u32>>()
        };
        assert!((900..1100).contains(&lost().len()), "{}", lost().len());
        assert_eq!(lost(), lost());
    }

    #[test]
    fn beyond_the_capacity_datagrams_are_dropped() {
        let (mut path, start) = path(0.0, 3);
        for _ in 0..5 {
            path.enter(start, Bytes::new());
        }
        let later = start + Duration::from_secs(1);
        assert_eq!(std::iter::from_fn(|| path.leave(later)).count(), 3);
    }
}
