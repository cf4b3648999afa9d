//! The extension of a header: what later minor versions have added. Entries, each a varint kind, a varint length and so
//! many bytes; kinds that are not known are skipped.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DecodeError, varint};

/// How many items of the stream the caller has had: a varint.
const RESUME_AFTER: u64 = 1;

/// What stands in a request's extension.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) resume_after: u64,
}

impl Extension {
    /// Writes it as a block with its length before it.
    pub(super) fn encode(&self, buffer: &mut impl BufMut) {
        let mut value = BytesMut::new();
        varint::put(&mut value, self.resume_after);
        let mut entry = BytesMut::new();
        varint::put(&mut entry, RESUME_AFTER);
        varint::put(&mut entry, value.len() as u64);
        entry.put_slice(&value);
        varint::put(buffer, entry.len() as u64);
        buffer.put_slice(&entry);
    }

    /// That of a whole block.
    pub(super) fn decode(mut block: Bytes) -> Result<Self, DecodeError> {
        let mut this = Self::default();
        while block.has_remaining() {
            let kind = varint::take(&mut block)?.ok_or(DecodeError::Extension)?;
            let length = varint::take(&mut block)?.ok_or(DecodeError::Extension)?;
            if length > block.remaining() as u64 {
                return Err(DecodeError::Extension);
            }
            let mut value = block.split_to(length as usize);
            if kind == RESUME_AFTER {
                this.resume_after = varint::take(&mut value)?.ok_or(DecodeError::Extension)?;
                if value.has_remaining() {
                    return Err(DecodeError::Extension);
                }
            }
        }
        Ok(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_skipped() {
        let block = Bytes::from_static(b"\x02\x03abc\x01\x01\x07\x40\x40\x00");
        assert_eq!(Extension::decode(block), Ok(Extension { resume_after: 7 }));
        assert_eq!(Extension::decode(Bytes::new()), Ok(Extension::default()));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for block in [&b"\x01"[..], b"\x40", b"\x01\x01", b"\x02\x03ab", b"\x01\x00", b"\x01\x02\x07\x00"] {
            assert_eq!(
                Extension::decode(Bytes::from_static(block)),
                Err(DecodeError::Extension),
                "{block:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = Extension::decode(bytes.into());
        }
    }
}
