//! Hashes that are the same in every process, on every platform and in every version. Clients that share a ring must
//! agree on it, and an updated client must find its keys where they were.
//!
//! The hash is FNV-1a, whose high bits hardly depend on the last bytes, followed by the finalizer of SplitMix64, which
//! makes every bit depend on every other. It does not resist attacks: a client that chooses its keys can choose their
//! endpoints.
//!
//! Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014 (variant 13 of Stafford's mixers).

use crate::hash::hash_bytes;

/// The step of SplitMix64: 2⁶⁴ over the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the hash of a routing key, for [`Picker::pick`](super::Picker::pick). It is the same in all versions.
pub const fn hash_key(key: &[u8]) -> u64 {
    mix(hash_bytes(key))
}

/// A permutation of the 64-bit numbers that maps similar numbers to dissimilar ones.
pub(super) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The points of one endpoint on the ring: SplitMix64, seeded with the hash of its id.
pub(super) fn points(id: &str) -> impl Iterator<Item = u64> {
    let seed = hash_key(id.as_bytes());
    (1..).map(move |step: u64| mix(seed.wrapping_add(step.wrapping_mul(GAMMA))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_is_as_published() {
        // The first outputs of SplitMix64 with seed 0.
        let first: Vec<u64> = (1..4_u64).map(|step| mix(step.wrapping_mul(GAMMA))).collect();
        assert_eq!(first, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn hashes_stay_as_they_are() {
        let seen = [hash_key(b""), hash_key(b"user-42"), points("worker-7").next().unwrap()];
        assert_eq!(seen, [0xf52a_15e9_a9b5_e89b, 0x7a15_96f0_e94b_5793, 0x3409_85c3_eb41_03fb]);
    }
}
