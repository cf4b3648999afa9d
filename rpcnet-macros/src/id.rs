//! Method ids as `rpcnet` computes them (`rpcnet/src/proto/hash.rs`): FNV-1a with 64 bits.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The id of a method: the hash of `"service/method"`.
pub(crate) fn method_id(service: &str, method: &str) -> u64 {
    let bytes = service.bytes().chain(*b"/").chain(method.bytes());
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(method_id("foo", "bar"), 0x571d_17d6_ef2d_ef0d);
        assert_eq!(method_id("", ""), 0xaf63_a24c_8601_89fe);
    }
}
