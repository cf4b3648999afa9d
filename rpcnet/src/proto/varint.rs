//! QUIC's variable-length integers (RFC 9000, section 16): 1, 2, 4 or 8 bytes for up to 62 bits.

use bytes::{Buf, BufMut};

use super::DecodeError;

/// The largest value that can be written.
pub(crate) const MAX: u64 = (1 << 62) - 1;

/// Writes a value; one above [`MAX`] is written as `MAX`.
pub(crate) fn put(buffer: &mut impl BufMut, value: u64) {
    match value.min(MAX) {
        value @ 0..0x40 => buffer.put_u8(value as u8),
        value @ 0x40..0x4000 => buffer.put_u16(0b01 << 14 | value as u16),
        value @ 0x4000..0x4000_0000 => buffer.put_u32(0b10 << 30 | value as u32),
        value => buffer.put_u64(0b11 << 62 | value),
    }
}

/// Returns the number of bytes that a value takes.
pub(crate) fn length(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Takes a value; `None` while it has not all arrived. Never an error today: every first byte is a length.
pub(crate) fn take(buffer: &mut impl Buf) -> Result<Option<u64>, DecodeError> {
    let Some(&first) = buffer.chunk().first() else { return Ok(None) };
    let length = 1usize << (first >> 6);
    if buffer.remaining() < length {
        return Ok(None);
    }
    Ok(Some(match length {
        1 => u64::from(buffer.get_u8()),
        2 => u64::from(buffer.get_u16() & 0x3fff),
        4 => u64::from(buffer.get_u32() & 0x3fff_ffff),
        _ => buffer.get_u64() & MAX,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn round_trip(value in 0..=MAX) {
            let mut buffer = Vec::new();
            put(&mut buffer, value);
            assert_eq!(length(value), buffer.len());
            for cut in 0..buffer.len() {
                assert_eq!(take(&mut &buffer[..cut]), Ok(None));
            }
            assert_eq!(take(&mut &buffer[..]), Ok(Some(value)));
        }
    }

    #[test]
    fn examples_of_the_rfc() {
        let cases: [(&[u8], u64); 4] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(take(&mut &bytes[..]), Ok(Some(value)));
        }
    }
}
