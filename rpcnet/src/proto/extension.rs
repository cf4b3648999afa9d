//! The extension of a header: what later minor versions have added. Entries, each a varint kind, a varint length and so
//! many bytes; kinds that are not known are skipped.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use super::{DecodeError, Routing, varint};

/// How many items of the stream the caller has had: a varint.
const RESUME_AFTER: u64 = 1;
/// What whoever forwards the call has to know of it.
const ROUTING: u64 = 2;

/// What stands in a request's extension.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) resume_after: u64,
    pub(super) routing: Option<Arc<Routing>>,
}

impl Extension {
    /// Writes it as a block with its length before it.
    pub(super) fn encode(&self, buffer: &mut impl BufMut) {
        let resume_after = (self.resume_after > 0).then(|| varint::length(self.resume_after));
        let routing = self.routing.as_ref().map(|routing| (routing, routing.length()));
        // Kinds are short.
        let entry = |length: usize| 1 + varint::length(length as u64) + length;
        let length = resume_after.map_or(0, entry) + routing.map_or(0, |(_, length)| entry(length));
        varint::put(buffer, length as u64);
        if let Some(length) = resume_after {
            varint::put(buffer, RESUME_AFTER);
            varint::put(buffer, length as u64);
            varint::put(buffer, self.resume_after);
        }
        if let Some((routing, length)) = routing {
            varint::put(buffer, ROUTING);
            varint::put(buffer, length as u64);
            routing.encode(buffer);
        }
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
            match kind {
                RESUME_AFTER => {
                    this.resume_after = varint::take(&mut value)?.ok_or(DecodeError::Extension)?;
                    if value.has_remaining() {
                        return Err(DecodeError::Extension);
                    }
                }
                ROUTING => {
                    let routing = Routing::decode(&value).ok_or(DecodeError::Extension)?;
                    this.routing = Some(Arc::new(routing));
                }
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
        let block = Bytes::from_static(b"\x05\x03abc\x01\x01\x07\x40\x40\x00");
        assert_eq!(Extension::decode(block), Ok(Extension { resume_after: 7, routing: None }));
        assert_eq!(Extension::decode(Bytes::new()), Ok(Extension::default()));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for block in [
            &b"\x01"[..],
            b"\x40",
            b"\x01\x01",
            b"\x05\x03ab",
            b"\x01\x00",
            b"\x01\x02\x07\x00",
            b"\x02\x01\x00",
            b"\x02\x03\x04\x00\x00",
        ] {
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

        #[test]
        fn it_survives_the_wire(resume_after in 0u64..1 << 40, priority in proptest::option::of(-128i8..=127)) {
            let routing = priority.map(|priority| Arc::new(Routing { priority, ..Routing::default() }));
            let extension = Extension { resume_after, routing };
            let mut buffer = bytes::BytesMut::new();
            extension.encode(&mut buffer);
            let length = varint::take(&mut buffer).expect("valid").expect("whole");
            assert_eq!(length, buffer.len() as u64);
            assert_eq!(Extension::decode(buffer.freeze()), Ok(extension));
        }
    }
}
