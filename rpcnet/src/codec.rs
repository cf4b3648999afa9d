//! How values become bytes: bincode 2 behind one file, so that it can be replaced.
//!
//! bincode's own limit is a constant and counts *decoded* widths: a container of `n` elements claims `n` times
//! the element's size before it allocates. One byte on the wire decodes to at most sixteen (a `u128`), so that a
//! limit of sixteen times the frame refuses nothing honest and bounds what a lying length can make us allocate.
//! As the limit is a constant, there are three of them, and a frame is decoded under the smallest that fits it.

use std::borrow::Cow;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

const SMALL: usize = 64 << 10;
const MEDIUM: usize = 4 << 20;
/// No frame may be larger, whatever is configured.
pub(crate) const LARGEST: usize = 256 << 20;

type Config<const LIMIT: usize> = Configuration<LittleEndian, Varint, Limit<LIMIT>>;

const fn config<const LIMIT: usize>() -> Config<LIMIT> {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// A value could not be encoded or decoded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(Cow<'static, str>);

/// Encodes a value behind what `buffer` holds.
pub(crate) fn encode_into<T: Serialize + ?Sized>(value: &T, buffer: &mut BytesMut) -> Result<(), CodecError> {
    let mut writer = buffer.writer();
    bincode::serde::encode_into_std_write(value, &mut writer, bincode::config::standard())
        .map(drop)
        .map_err(|error| CodecError(error.to_string().into()))
}

/// Encodes a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CodecError> {
    let mut buffer = BytesMut::with_capacity(128);
    encode_into(value, &mut buffer)?;
    Ok(buffer.freeze())
}

/// Decodes a value from a whole frame; bytes left over are an error.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, CodecError> {
    let decoded = match frame.len() {
        0..=SMALL => bincode::serde::decode_from_slice(frame, config::<{ 16 * SMALL }>()),
        length if length <= MEDIUM => bincode::serde::decode_from_slice(frame, config::<{ 16 * MEDIUM }>()),
        _ => bincode::serde::decode_from_slice(frame, config::<{ 16 * LARGEST }>()),
    };
    let (value, read) = decoded.map_err(|error| CodecError(error.to_string().into()))?;
    if read != frame.len() {
        return Err(CodecError(format!("{} bytes left over behind the value", frame.len() - read).into()));
    }
    Ok(value)
}

/// An encoded message.
#[derive(Clone, Default)]
pub struct Body(Bytes);
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({})", self.0.len())
    }
}
impl From<Bytes> for Body {
    fn from(b: Bytes) -> Self {
        Self(b)
    }
}
impl Body {
    /// x
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// x
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// x
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
    /// x
    pub(crate) fn into_chunks(self) -> Vec<Bytes> {
        vec![self.0]
    }
}
/// x
pub trait Arguments: Sized + Send + 'static {
    /// x
    fn encode(&self) -> Result<Body, CodecError>;
    /// x
    fn decode(frame: &Bytes) -> Result<Self, CodecError>;
}
impl<T: Serialize + DeserializeOwned + Send + 'static> Arguments for T {
    fn encode(&self) -> Result<Body, CodecError> {
        encode(self).map(Body)
    }
    fn decode(frame: &Bytes) -> Result<Self, CodecError> {
        decode(frame)
    }
}
/// x
pub fn encode_value<T: Serialize + 'static>(value: &T) -> Result<Body, CodecError> {
    encode(value).map(Body)
}
/// x
pub fn decode_value<T: DeserializeOwned + 'static>(frame: &Bytes) -> Result<T, CodecError> {
    decode(frame)
}
/// x
pub(crate) fn encode_item<T: Serialize + 'static>(
    value: &T,
    buffer: &mut BytesMut,
) -> Result<Option<Bytes>, CodecError> {
    encode_into(value, buffer).map(|()| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_values_of_narrow_encodings_fit() {
        let value = vec![0u128; 60_000];
        let frame = encode(&value).expect("encodes");
        assert_eq!(decode::<Vec<u128>>(&frame).expect("sixteen bytes for one"), value);
    }

    #[test]
    fn a_lying_length_is_refused_before_it_is_allocated() {
        let mut frame = BytesMut::new();
        encode_into(&(1u64 << 40), &mut frame).expect("encodes");
        assert!(decode::<String>(&frame).is_err());
        assert!(decode::<Vec<u64>>(&frame).is_err());
    }

    #[test]
    fn left_over_bytes_are_an_error() {
        let frame = encode(&(1u8, 2u8)).expect("encodes");
        assert!(decode::<u8>(&frame).expect_err("one byte too many").to_string().contains("left over"));
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = decode::<(String, Vec<u64>, Option<u8>)>(&bytes);
            let _ = decode::<std::collections::BTreeMap<String, Vec<u8>>>(&bytes);
        }
    }
}
