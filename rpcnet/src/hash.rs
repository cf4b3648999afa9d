//! FNV-1a with 64 bits, for method ids and schema fingerprints (computed at compile time), routing keys, and
//! the points of hash rings.
//!
//! Source: <https://datatracker.ietf.org/doc/html/rfc9923>. FNV-1a does not resist deliberate collisions, and
//! does not have to: names come from our own users, and registration refuses a collision.

use rustc_hash::FxHashMap;

/// A map by ids of our own methods, or by addresses of statics: each call looks into one. Never by what a peer sends: it
/// could choose ids that collide.
pub(crate) type IdMap<V> = FxHashMap<u64, V>;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

const fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(PRIME);
        index += 1;
    }
    hash
}

/// The id of a method: the hash of `"service/method"`.
pub(crate) const fn method_id(service: &str, method: &str) -> u64 {
    fnv1a(fnv1a(fnv1a(OFFSET, service.as_bytes()), b"/"), method.as_bytes())
}

/// The hash of a service's name.
pub(crate) const fn service_id(service: &str) -> u64 {
    fnv1a(OFFSET, service.as_bytes())
}

/// The fingerprint of a method's signature, as written in the source.
pub(crate) const fn fingerprint(signature: &str) -> u64 {
    fnv1a(OFFSET, signature.as_bytes())
}

/// The hash of any bytes.
pub(crate) const fn hash_bytes(bytes: &[u8]) -> u64 {
    fnv1a(OFFSET, bytes)
}

/// The hash of a routing key's encoding. It is the same in all processes and releases, because clients of
/// different releases must agree on where a key belongs.
///
/// FNV-1a hardly changes the upper bits for short keys, but a ring sorts by them. So the bits are mixed with
/// the finalizer of MurmurHash3 (<https://github.com/aappleby/smhasher>, public domain), which is a
/// bijection.
pub(crate) const fn key(encoded: &[u8]) -> u64 {
    let mut hash = fnv1a(OFFSET, encoded);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(method_id("foo", "bar"), fingerprint("foo/bar"));
    }

    #[test]
    fn keys_do_not_change_from_release_to_release() {
        assert_eq!(
            [key(b""), key(b"a"), key(b"user-1")],
            [0xefd0_1f60_ba99_2926, 0x82a2_a958_a9be_ce5b, 0x41a2_fca5_c684_01c5]
        );
    }

    #[test]
    fn small_numbers_are_spread() {
        let mut sixteenths = [0u32; 16];
        for number in 0..4096u16 {
            sixteenths[(key(&number.to_le_bytes()) >> 60) as usize] += 1;
        }
        assert!(sixteenths.iter().all(|count| (200..=312).contains(count)), "{sixteenths:?}");
    }
}
