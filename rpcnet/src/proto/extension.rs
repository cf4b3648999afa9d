//! The extension of a header: what later minor versions have added. Entries, each a varint kind, a varint length and so
//! many bytes; kinds that are not known are skipped.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DecodeError, Routing, varint};

/// Key of the number of items of the stream that the caller has had: a varint.
const RESUME_AFTER: u64 = 1;
/// Key of the routing, for a relay.
const ROUTING: u64 = 2;

/// The extension of a request's header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) resume_after: u64,
    pub(super) routing: Option<Arc<Routing>>,
}

impl Extension {
    /// Writes it as a block with its length before it.
    pub(super) fn put(buffer: &mut impl BufMut, resume_after: u64, routing: Option<&Routing>) {
        let mut entries = BytesMut::new();
        if resume_after > 0 {
            varint::put(&mut entries, RESUME_AFTER);
            varint::put(&mut entries, varint::length(resume_after) as u64);
            varint::put(&mut entries, resume_after);
        }
        if let Some(routing) = routing {
            varint::put(&mut entries, ROUTING);
            varint::put(&mut entries, routing.length() as u64);
            routing.encode(&mut entries);
        }
        varint::put(buffer, entries.len() as u64);
        buffer.put_slice(&entries);
    }

    /// Decodes a whole block.
    pub(super) fn decode(mut block: Bytes) -> Result<Self, DecodeError> {
        let mut this = Self::default();
        while block.has_remaining() {
            let kind = varint::take(&mut block)?.ok_or(DecodeError::Extension)?;
            let length = varint::take(&mut block)?.ok_or(DecodeError::Extension)?;
            if length > block.remaining() as u64 {
                return Err(DecodeError::Extension);
            }
            let mut value = block.split_to(length as usize);
            match kind {
                RESUME_AFTER => {
                    this.resume_after = varint::take(&mut value)?.ok_or(DecodeError::Extension)?;
                    if value.has_remaining() {
                        return Err(DecodeError::Extension);
                    }
                }
                // Routing that can't be decoded is left out: the relay refuses the call.
                ROUTING => this.routing = Routing::decode(&value).map(Arc::new),
                _ => {}
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
        let block = Bytes::from_static(b"\x03\x03abc\x01\x01\x07\x40\x40\x00");
        assert_eq!(Extension::decode(block), Ok(Extension { resume_after: 7, routing: None }));
        assert_eq!(Extension::decode(Bytes::new()), Ok(Extension::default()));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for block in [&b"\x01"[..], b"\x40", b"\x01\x01", b"\x03\x03ab", b"\x01\x00", b"\x01\x02\x07\x00"] {
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
