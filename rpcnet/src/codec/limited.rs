//! A deserializer that a small frame can't make work much.
//!
//! serde reads what a type asks for as long as a frame has bytes, and some types ask for none: an element of
//! `Vec<()>` costs nothing on the wire, and a type that contains itself goes one call deeper for each byte. What is
//! bounded here:
//!
//! - **Depth**: levels of structs, enums, options, sequences, maps and tuples. A level of large values counts as several,
//!   for it is the stack that is bounded.
//! - **Elements** of all sequences and maps together, by the frame's length and a constant. They are paid for when a
//!   length is read. An element that has bytes can't exceed this, for each has a first byte of its own.
//! - **Memory** of elements, structs, tuples, options and enums whose value is large: one byte may decode to a `None` of
//!   kilobytes, and none at all to a boxed struct of which serde skips the fields. Small ones are bounded by the other two.
//!
//! Lengths of strings and bytes are compared with what is left of the frame before anything is allocated. The size
//! hint of a sequence is never more than the bytes that are left.

mod access;
mod frame;

use bincode::{
    config::Configuration,
    de::{Decode, Decoder as _, DecoderImpl, read::BorrowReader},
};
use serde::de::{Deserializer, Visitor};

use self::{
    access::{LimitedElements, LimitedFields},
    frame::Frame,
};
use super::{
    CONFIGURATION,
    error::{CodecError, Reason},
};

/// Levels of nesting. A thread of tokio has 2 MiB of stack; a test sees to it that a debug build needs half of that.
pub(super) const DEPTH: u32 = 128;
/// The most elements of all sequences and maps together beyond the frame's length in bytes.
pub(super) const FREE_ELEMENTS: usize = 64 << 10;
/// A value of this size or less is not counted: a byte of the frame may well become this.
const SMALL_VALUE: usize = 64;
/// Memory for large values: this for each byte of the frame, and [`FREE_MEMORY`].
const MEMORY_PER_BYTE: usize = 64;
pub(super) const FREE_MEMORY: usize = 16 << 20;

/// The levels that one value of this type counts for: one, and one more for each 512 bytes of the value, up to eight.
/// Not more, or a large matrix within a few structs would never be decoded.
pub(super) const fn levels<T>() -> u32 {
    let more = size_of::<T>() >> 9;
    if more < 7 { 1 + more as u32 } else { 8 }
}

/// Reads values from a frame, one behind the other, under the limits of this module.
pub(super) struct Decoder<'de> {
    source: DecoderImpl<Frame<'de>, Configuration, ()>,
    levels: u32,
    elements: usize,
    memory: usize,
    length: usize,
}

impl<'de> Decoder<'de> {
    pub(super) fn new(frame: &'de [u8]) -> Self {
        Self {
            source: DecoderImpl::new(Frame(frame), CONFIGURATION, ()),
            levels: DEPTH,
            elements: frame.len().saturating_add(FREE_ELEMENTS),
            memory: memory_limit(frame.len()),
            length: frame.len(),
        }
    }

    /// A length and as many bytes.
    pub(super) fn bytes(&mut self) -> Result<&'de [u8], CodecError> {
        let length = u64::decode(&mut self.source)?;
        let left = self.left();
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(self.source.reader().take_bytes(length)?),
            _ => {
                let missing = length - left as u64;
                Err(Reason::Ended { missing: usize::try_from(missing).unwrap_or(usize::MAX) }.into())
            }
        }
    }

    /// That nothing is left.
    pub(super) fn finish(mut self) -> Result<(), CodecError> {
        match self.left() {
            0 => Ok(()),
            count => Err(Reason::LeftOver { count }.into()),
        }
    }

    fn left(&mut self) -> usize {
        self.source.reader().0.len()
    }

    /// Reads the length of a sequence or map, and goes a level down to read its elements, which are thereby paid for.
    fn elements<T>(
        &mut self,
        read: impl FnOnce(LimitedElements<'_, 'de>) -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        let length = u64::decode(&mut self.source)?;
        // A length that is no `usize` exceeds the limit, too.
        let left = usize::try_from(length).unwrap_or(usize::MAX);
        match self.elements.checked_sub(left) {
            Some(others) => self.elements = others,
            None => return Err(Reason::TooManyElements { length, limit: self.elements }.into()),
        }
        let most = self.left();
        self.nested(|decoder| read(LimitedElements { decoder, left, most }))
    }

    /// Pays for a value of this type, if it is large.
    #[inline]
    fn pay<T>(&mut self) -> Result<(), CodecError> {
        if const { size_of::<T>() > SMALL_VALUE } {
            match self.memory.checked_sub(size_of::<T>()) {
                Some(left) => self.memory = left,
                None => return Err(Reason::TooMuchMemory { limit: memory_limit(self.length) }.into()),
            }
        }
        Ok(())
    }

    /// Goes a level down to read a value of type `T`.
    #[inline]
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, CodecError>) -> Result<T, CodecError> {
        let levels = const { levels::<T>() };
        match self.levels.checked_sub(levels) {
            Some(left) => self.levels = left,
            None => return Err(Reason::TooDeep { limit: DEPTH }.into()),
        }
        let value = read(self);
        self.levels += levels;
        value
    }

    #[inline]
    fn fields<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_seq(LimitedFields { decoder: self, left })
    }
}

fn memory_limit(length: usize) -> usize {
    length.saturating_mul(MEMORY_PER_BYTE).saturating_add(FREE_MEMORY)
}

macro_rules! primitive {
    ($($deserialize:ident $visit:ident)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            visitor.$visit(Decode::decode(&mut self.source)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = CodecError;

    primitive! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
        deserialize_char visit_char
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(error) => Err(Reason::Invalid(error.to_string()).into()),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.pay::<V::Value>()?;
        match u8::decode(&mut self.source)? {
            0 => visitor.visit_none(),
            1 => self.nested(|decoder| visitor.visit_some(decoder)),
            other => Err(Reason::Invalid(format!("{other} is neither none nor some")).into()),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.pay::<V::Value>()?;
        self.nested(|decoder| visitor.visit_newtype_struct(decoder))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.elements(|elements| visitor.visit_seq(elements))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.pay::<V::Value>()?;
        self.nested(|decoder| decoder.fields(length, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.pay::<V::Value>()?;
        self.nested(|decoder| decoder.fields(length, visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.elements(|elements| visitor.visit_map(elements))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.pay::<V::Value>()?;
        self.nested(|decoder| decoder.fields(fields.len(), visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.pay::<V::Value>()?;
        self.nested(|decoder| visitor.visit_enum(decoder))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, CodecError> {
        Err(Reason::NotSelfDescribing("a value of any type").into())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, CodecError> {
        Err(Reason::NotSelfDescribing("an identifier").into())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, CodecError> {
        Err(Reason::NotSelfDescribing("skipping a value").into())
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
