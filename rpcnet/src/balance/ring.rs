//! The hash ring: where keys and endpoints meet.
//!
//! Every endpoint has as many points on the circle of all 64-bit numbers, and a key belongs to the first point at or after its
//! own. An endpoint that comes takes over what lies before its points, and nothing else moves. With p points each, an endpoint's share
//! is one of n, give or take 1/√p of it (the sum of p gaps that are distributed nearly exponentially): 6 % at 256.
//!
//! Source: Karger et al., "Consistent Hashing and Random Trees", 1997.

use super::hash;

/// Points in order, each with the index of the endpoint that it belongs to.
#[derive(Debug, Clone, Default)]
pub(super) struct Ring {
    points: Vec<u64>,
    owners: Vec<u32>,
    /// Where the points begin whose first bits are the index into this: about one each, so that none is searched for.
    starts: Vec<u32>,
    shift: u32,
}

impl Ring {
    /// So many points for each of these, whose index is their place.
    pub(super) fn new<'a>(ids: impl Iterator<Item = &'a str>, points: usize) -> Self {
        let mut all: Vec<(u64, u32)> = Vec::new();
        for (index, id) in ids.enumerate() {
            let index =
                u32::try_from(index).expect("endpoints that fit into memory, with points each, are fewer");
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

    /// The owners of all points from a key's on, once round. An endpoint comes as often as it has points.
    pub(super) fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        // Keys may be numbers in sequence.
        let (after, before) = match self.points.is_empty() {
            true => (&[][..], &[][..]),
            false => {
                let (before, after) = self.owners.split_at(self.position(hash::mix(key)));
                (after, before)
            }
        };
        after.iter().chain(before).map(|owner| *owner as usize)
    }

    /// The first point that is not before `place`.
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
}
