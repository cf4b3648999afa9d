//! The encoding of values as bytes.
//!
//! The form is bincode 2's standard configuration: little-endian, integers of variable length. bincode is known to this
//! folder alone, so that it can be replaced. Encoding goes through its serializer. Decoding does not go through its
//! deserializer: that bounds neither depth nor elements, so there is one of our own ([`limited`]), which takes single
//! integers from bincode.

mod arguments;
mod body;
mod error;
#[cfg(feature = "reflect")]
pub(crate) mod json;
mod limited;
mod shape;
mod value;

pub use arguments::Arguments;
pub use body::Body;
pub use error::CodecError;
#[cfg(feature = "reflect")]
pub(crate) use error::bounded;
pub(crate) use shape::{Flaw, flaw, shape};
pub(crate) use value::{LARGE, decode_copied, decode_value, encode_item, encode_value};

use bincode::{
    config::{Configuration, standard},
    enc::write::Writer,
    error::EncodeError,
};
use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

/// No frame may be larger, whatever is configured.
pub(crate) const LARGEST: usize = 256 << 20;

/// Bytes that a message of a few fields fits in.
const SMALL: usize = 128;

const CONFIGURATION: Configuration = standard();

/// Encodes a value behind what `buffer` holds. After an error the buffer is what it was.
pub(crate) fn encode_into<T: Serialize + ?Sized>(value: &T, buffer: &mut BytesMut) -> Result<(), CodecError> {
    let start = buffer.len();
    bincode::serde::encode_into_writer(value, Output(buffer), CONFIGURATION).map_err(|error| {
        buffer.truncate(start);
        error.into()
    })
}

/// Encodes a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CodecError> {
    let mut buffer = BytesMut::with_capacity(SMALL);
    encode_into(value, &mut buffer)?;
    Ok(buffer.freeze())
}

/// Decodes a value from a whole frame; bytes left over are an error.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, CodecError> {
    let mut decoder = limited::Decoder::new(frame);
    let value = T::deserialize(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

/// Writes behind what a buffer holds. bincode's own writer goes through `std::io::Write`, a detour for single bytes.
struct Output<'a>(&'a mut BytesMut);

impl Writer for Output<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
