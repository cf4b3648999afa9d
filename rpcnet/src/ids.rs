//! Maps by numbers that are as good as random already, and chosen by nobody else.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map by ids of our own methods, or by addresses of statics. Never by what a peer sends: it could choose ids that
/// collide.
pub(crate) type IdMap<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;

/// Multiplies by an odd number whose bits are mixed (Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4).
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, id: u64) {
        let product = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The table looks at the highest bits and at the lowest.
        self.0 = product ^ product >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_spread() {
        let mut map = IdMap::default();
        for address in (0..1000u64).map(|place| 0x7f00_0000_1000 + place * 64) {
            assert_eq!(map.insert(address, address), None);
        }
        assert!(map.iter().all(|(key, value)| key == value));
        let mut buckets = [0; 64];
        for address in 0..64_000u64 {
            let mut hasher = IdHasher::default();
            hasher.write_u64(address * 64);
            buckets[(hasher.finish() % 64) as usize] += 1;
        }
        assert!(buckets.iter().all(|&count| (500..2000).contains(&count)), "{buckets:?}");
    }
}
