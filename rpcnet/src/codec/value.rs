//! Values that may *be* bytes: those are written and read as one slice, and large ones are not copied at all.
//!
//! serde shows a `Vec<u8>` as a sequence of numbers, one call each, and a `Bytes` as a slice that has to be copied.
//! Which type a value has is found out by [`Any`]. On the wire all three are the same: a length and as many bytes.

use std::any::Any;

use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use super::{Body, CONFIGURATION, Output, SMALL, error::CodecError, limited::Decoder};

/// `Bytes` of this length are sent from where they are, and received where they arrived. Below it, a copy is cheaper
/// than a chunk of its own.
pub(crate) const LARGE: usize = 4 << 10;

/// At most this many times its own length is kept in memory by `Bytes` that was decoded without a copy.
const WASTE: usize = 8;

/// Encodes a value. Large `Bytes` become a chunk of their own and are not copied.
///
/// # Errors
///
/// When the value's `Serialize` says so, or asks for what the encoding does not have.
pub(crate) fn encode_value<T: Serialize + 'static>(value: &T) -> Result<Body, CodecError> {
    let mut encoder = Encoder::new();
    encoder.push(value)?;
    Ok(encoder.finish())
}

/// Decodes a value from a whole frame. Large `Bytes` share the frame's memory.
///
/// # Errors
///
/// When the frame is not exactly one such value, or exceeds the limits on depth, elements and memory.
pub(crate) fn decode_value<T: DeserializeOwned + 'static>(frame: &Bytes) -> Result<T, CodecError> {
    let mut decoder = Decoder::new(frame);
    let value = decode_next(&mut decoder, |part| shared(frame, part))?;
    decoder.finish()?;
    Ok(value)
}

/// As [`decode_value`], from a frame whose memory is not shared.
///
/// # Errors
///
/// As [`decode_value`].
pub(crate) fn decode_copied<T: DeserializeOwned + 'static>(frame: &[u8]) -> Result<T, CodecError> {
    let mut decoder = Decoder::new(frame);
    let value = decode_next(&mut decoder, Bytes::copy_from_slice)?;
    decoder.finish()?;
    Ok(value)
}

/// Encodes a value behind what `buffer` holds, to be sent with others. Of large `Bytes` only the length is appended;
/// they are returned, and have to be sent right behind the buffer.
///
/// # Errors
///
/// As [`encode_value`]. The buffer is what it was.
pub(crate) fn encode_item<T: Serialize + 'static>(
    value: &T,
    buffer: &mut BytesMut,
) -> Result<Option<Bytes>, CodecError> {
    let any: &dyn Any = value;
    if let Some(bytes) = any.downcast_ref::<Bytes>() {
        encode_length(bytes.len(), buffer)?;
        if bytes.len() >= LARGE {
            return Ok(Some(bytes.clone()));
        }
        buffer.extend_from_slice(bytes);
    } else if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        // The vector is the larger part of what is to come, and often all.
        buffer.reserve(bytes.len() + size_of::<u64>() + 1);
        encode_length(bytes.len(), buffer)?;
        buffer.extend_from_slice(bytes);
    } else {
        super::encode_into(value, buffer)?;
    }
    Ok(None)
}

fn encode_length(length: usize, buffer: &mut BytesMut) -> Result<(), CodecError> {
    Ok(bincode::encode_into_writer(length as u64, Output(buffer), CONFIGURATION)?)
}

/// Collects values into a body.
pub(super) struct Encoder {
    /// The chunks before the buffer.
    chunks: Vec<Bytes>,
    buffer: BytesMut,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), buffer: BytesMut::with_capacity(SMALL) }
    }

    pub(super) fn push<T: Serialize + 'static>(&mut self, value: &T) -> Result<(), CodecError> {
        if let Some(bytes) = encode_item(value, &mut self.buffer)? {
            self.chunks.extend([self.buffer.split().freeze(), bytes]);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Body {
        if self.chunks.is_empty() {
            return self.buffer.freeze().into();
        }
        self.chunks.push(self.buffer.freeze());
        Body::of_chunks(self.chunks)
    }
}

/// Decodes the next value of a frame; `keep` makes `Bytes` of a part of it.
pub(super) fn decode_next<'de, T: DeserializeOwned + 'static>(
    decoder: &mut Decoder<'de>,
    keep: impl FnOnce(&'de [u8]) -> Bytes,
) -> Result<T, CodecError> {
    // The slot is what tells the type: there is no value yet that could be asked.
    let mut slot = None::<T>;
    let any: &mut dyn Any = &mut slot;
    if let Some(bytes) = any.downcast_mut::<Option<Bytes>>() {
        *bytes = Some(keep(decoder.bytes()?));
    } else if let Some(bytes) = any.downcast_mut::<Option<Vec<u8>>>() {
        *bytes = Some(decoder.bytes()?.to_vec());
    }
    match slot {
        Some(value) => Ok(value),
        None => T::deserialize(decoder),
    }
}

/// A part of the frame: without a copy, unless it would keep alive much more than itself.
pub(super) fn shared(frame: &Bytes, part: &[u8]) -> Bytes {
    if part.len() >= LARGE && part.len() >= frame.len() / WASTE {
        frame.slice_ref(part)
    } else {
        Bytes::copy_from_slice(part)
    }
}
