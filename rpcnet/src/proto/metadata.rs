//! Metadata on the wire: for each pair a length, the name, a length, the value.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DecodeError, varint};
use crate::metadata::{MAX_PAIRS, Metadata};

impl Metadata {
    pub(crate) fn encode(&self, buffer: &mut BytesMut) {
        for text in self.raw_pairs().flatten() {
            varint::put(buffer, text.len() as u64);
            buffer.put_slice(text);
        }
    }

    /// Reads what [`encode`](Self::encode) wrote; the texts share the memory of `block`.
    pub(crate) fn decode(mut block: Bytes) -> Result<Self, DecodeError> {
        let mut metadata = Self::default();
        while block.has_remaining() {
            if metadata.len() >= MAX_PAIRS {
                return Err(DecodeError::TooManyPairs);
            }
            let name = take_text(&mut block)?;
            let value = take_text(&mut block)?;
            metadata.push_raw(name, value).ok_or(DecodeError::Text)?;
        }
        Ok(metadata)
    }
}

fn take_text(block: &mut Bytes) -> Result<Bytes, DecodeError> {
    let length = varint::take(block)?.ok_or(DecodeError::Truncated)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::Truncated)?;
    if length > block.remaining() {
        return Err(DecodeError::Truncated);
    }
    Ok(block.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_wire() {
        let mut metadata = Metadata::new();
        metadata.insert("x-tenant", "a").expect("valid");
        metadata.insert("x-tenant", "ß").expect("valid");
        let mut buffer = BytesMut::new();
        metadata.encode(&mut buffer);
        assert_eq!(Metadata::decode(buffer.freeze()).expect("just encoded"), metadata);
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = Metadata::decode(bytes.into());
        }
    }
}
