//! The hash ring, which assigns keys to endpoints.
//!
//! The circle consists of all 64-bit numbers. Every endpoint has the same number of points on it. A key belongs to the
//! first point at or after its own. A new endpoint takes over the keys before its points, and no other key moves. With
//! p points, an endpoint's share is 1/n, and deviates by about 1/√p of it (the sum of p gaps that are distributed
//! nearly exponentially): 6 % at 256.
//!
//! Source: Karger et al., "Consistent Hashing and Random Trees", 1997.

use super::hash;

/// The points in order, each with the index of its endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Ring {
    points: Vec<u64>,
    owners: Vec<u32>,
    /// For each prefix of `64 - shift` bits, the position of the first point with this prefix. There is about one point
    /// for each, so a search takes a step or two.
    starts: Vec<u32>,
    shift: u32,
}

impl Ring {
    /// Creates a ring with this number of points for each id. The index of an endpoint is the position of its id.
    pub(super) fn new<'a>(ids: impl Iterator<Item = &'a str>, points: usize) -> Self {
        let mut all: Vec<(u64, u32)> = Vec::new();
        for (index, id) in ids.enumerate() {
            let index =
                u32::try_from(index).expect("fewer than 2³² endpoints fit into memory with their points");
            all.extend(hash::points(id).take(points).map(|point| (point, index)));
        }
        all.sort_unstable();
        let bits = all.len().next_power_of_two().trailing_zeros().max(1);
        let shift = u64::BITS - bits;
        let mut starts = Vec::with_capacity(1 << bits);
        let mut position = 0;
        for bucket in 0..1_u64 << bits {
            while position < all.len() && all[position].0 >> shift < bucket {
                position += 1;
            }
            starts.push(position as u32);
        }
        let (points, owners) = all.into_iter().unzip();
        Self { points, owners, starts, shift }
    }

    /// Returns the owners of all points, once round the ring from the key on. An endpoint occurs once for each of its
    /// points.
    pub(super) fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        // Keys may be consecutive numbers.
        let (after, before) = match self.points.is_empty() {
            true => (&[][..], &[][..]),
            false => {
                let (before, after) = self.owners.split_at(self.position(hash::mix(key)));
                (after, before)
            }
        };
        after.iter().chain(before).map(|owner| *owner as usize)
    }

    /// Returns the position of the first point at or after `place`.
    fn position(&self, place: u64) -> usize {
        let start = self.starts[(place >> self.shift) as usize] as usize;
        let later = self.points[start..].iter().position(|point| *point >= place);
        later.map_or(self.points.len(), |steps| start + steps)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_owner_is_that_of_the_next_point(ids in prop::collection::vec("[a-z]{0,8}", 0..20), points in 1..40_usize, keys in prop::collection::vec(any::<u64>(), 1..50)) {
            let ring = Ring::new(ids.iter().map(String::as_str), points);
            for key in keys {
                let place = hash::mix(key);
                let next = ring.points.partition_point(|point| *point < place);
                let wrapped = if next == ring.points.len() { 0 } else { next };
                prop_assert_eq!(ring.owners(key).next(), ring.owners.get(wrapped).map(|owner| *owner as usize));
                prop_assert_eq!(ring.owners(key).count(), ids.len() * points);
            }
        }
    }

    const KEYS: u64 = 100_000;

    fn ring(prefix: &str, count: usize) -> Ring {
        let ids: Vec<String> = (0..count).map(|index| format!("{prefix}{index}")).collect();
        Ring::new(ids.iter().map(String::as_str), 256)
    }

    fn shares(ring: &Ring, count: usize) -> Vec<f64> {
        let mut shares = vec![0.0; count];
        (0..KEYS).for_each(|key| shares[ring.owners(key).next().unwrap()] += count as f64 / KEYS as f64);
        shares
    }

    #[test]
    fn the_eleventh_takes_its_share_and_nothing_else_moves() {
        for prefix in ["worker-", "10.0.0.1:70", "a", ""] {
            let (before, after) = (ring(prefix, 10), ring(prefix, 11));
            let mut moved = 0;
            for key in 0..KEYS {
                let (was, is) = (before.owners(key).next(), after.owners(key).next());
                if was != is {
                    assert_eq!(is, Some(10));
                    moved += 1;
                }
            }
            let share = moved as f64 / KEYS as f64 * 11.0;
            assert!((0.8..1.2).contains(&share), "{share} of its share, {prefix}");
        }
    }

    #[test]
    fn shares_differ_as_theory_says() {
        // A share of the circle is the sum of 256 gaps: its deviation is 1/16 of it, and that of 1000 shares is known
        // to about a fiftieth of itself. The largest of a thousand normal numbers is 3.2 deviations away, seldom more
        // than 4.5.
        let shares = shares(&ring("worker-", 1000), 1000);
        let deviation = (shares.iter().map(|share| (share - 1.0).powi(2)).sum::<f64>() / 1000.0).sqrt();
        // 100 keys for each endpoint add a deviation of 1/10.
        let expected = (1.0_f64 / 256.0 + 1.0 / 100.0).sqrt();
        assert!((deviation / expected - 1.0).abs() < 0.1, "{deviation}, not {expected}");
        let fullest = shares.iter().copied().fold(0.0, f64::max);
        assert!(fullest < 1.0 + 4.5 * expected, "{fullest}");
    }

    #[test]
    fn the_order_of_endpoints_does_not_matter() {
        let ids = ["a", "b", "c", "d"];
        let (forth, back) = (Ring::new(ids.into_iter(), 64), Ring::new(ids.into_iter().rev(), 64));
        for key in 0..1000 {
            assert_eq!(forth.owners(key).next(), back.owners(key).next().map(|index| 3 - index));
        }
    }
}
