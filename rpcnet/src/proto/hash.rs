//! FNV-1a with 64 bits: method ids and schema fingerprints, computed at compile time, and the points of hash rings.
//!
//! Source: <https://datatracker.ietf.org/doc/html/rfc9923>. It is no defence against somebody who looks for
//! collisions, and need not be: names come from our own users, and a collision is refused at registration.

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

/// The hash of any bytes.
pub(crate) const fn hash_bytes(bytes: &[u8]) -> u64 {
    fnv1a(OFFSET, bytes)
}

/// The fingerprint of a method's signature as it was written.
pub(crate) const fn fingerprint(signature: &str) -> u64 {
    hash_bytes(signature.as_bytes())
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
}
