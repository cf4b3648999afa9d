//! Values between JSON and bytes, by way of their own types: so that names, kinds and numbers are checked as they are
//! in a program.
//!
//! JSON has no limit of its own on what it becomes in memory: five bytes (`null,`) may be an element of kilobytes. So a
//! text is looked through before it is read. What may be large for its length is counted, which is all but numbers:
//! those take at most eight times their length. Depth is bounded by serde_json, by 128 levels.

use std::{fmt, io};

use bytes::{Bytes, BytesMut};
use serde::{
    Serialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{CodecError, decode_value, encode_item, error::bounded};

/// Values of one text that are no numbers.
pub(crate) const VALUES: usize = 64 << 10;

/// A value could not be read from JSON, or not be written as JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is no JSON, or not of this type; or a value has no form in JSON.
    #[error("{0}")]
    Invalid(String),
    /// The text for the arguments is no array.
    #[error("arguments stand in an array, such as [1, \"two\"]")]
    NoArray,
    /// There are more or fewer arguments than the method has.
    #[error("{expected} arguments are expected, not {found}")]
    Count {
        /// The number of arguments that the method has.
        expected: usize,
        /// The number of elements in the text.
        found: usize,
    },
    /// The text would be longer than a message may be.
    #[error("more than {0} bytes of JSON")]
    TooLong(usize),
    /// The bytes are not of this type, or the value can't be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The method declares no such error.
    #[error("the method declares no error of its own")]
    Undeclared,
}

impl From<serde_json::Error> for JsonError {
    /// The message may hold a text of the peer's, and is cut; where it was found is kept.
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        Self::Invalid(match text.strip_suffix(&place) {
            Some(message) => bounded(message) + &place,
            None => bounded(text),
        })
    }
}

/// Reads a value.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    look_through(text)?;
    Ok(serde_json::from_str(text)?)
}

/// Reads a tuple of so many values from an array.
pub(crate) fn read_arguments<T: DeserializeOwned>(text: &str, expected: usize) -> Result<T, JsonError> {
    let found = look_through(text)?.ok_or(JsonError::NoArray)?;
    if found != expected {
        return Err(JsonError::Count { expected, found });
    }
    Ok(serde_json::from_str(text)?)
}

/// Reads an item and encodes it behind what `buffer` holds; where it is a large run of bytes, what is returned follows.
pub(crate) fn read_item<T: Serialize + DeserializeOwned + 'static>(
    text: &str,
    buffer: &mut BytesMut,
) -> Result<Option<Bytes>, JsonError> {
    Ok(encode_item(&read::<T>(text)?, buffer)?)
}

/// Decodes a value and writes it as JSON of at most so many bytes.
pub(crate) fn transcode<T: Serialize + DeserializeOwned + 'static>(
    frame: &Bytes,
    limit: usize,
) -> Result<String, JsonError> {
    let value: T = decode_value(frame)?;
    let mut text = JsonText { bytes: Vec::new(), limit, exceeded: false };
    match serde_json::to_writer(&mut text, &value) {
        Ok(()) => Ok(String::from_utf8(text.bytes).expect("serde_json writes UTF-8")),
        Err(_) if text.exceeded => Err(JsonError::TooLong(limit)),
        Err(error) => Err(error.into()),
    }
}

/// Checks that a text may be read; returns the number of elements of an array.
fn look_through(text: &str) -> Result<Option<usize>, JsonError> {
    let mut left = VALUES;
    let mut source = serde_json::Deserializer::from_str(text);
    let elements = Look(&mut left).deserialize(&mut source)?;
    source.end()?;
    Ok(elements)
}

/// Counts down what a text has.
struct Look<'a>(&'a mut usize);

impl Look<'_> {
    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        *self.0 = self.0.checked_sub(1).ok_or_else(|| E::custom(format!("more than {VALUES} values")))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Option<usize>, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<usize>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<usize>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<usize>, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(mut self, _: bool) -> Result<Option<usize>, E> {
        self.count().map(|()| None)
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<Option<usize>, E> {
        self.count().map(|()| None)
    }

    fn visit_str<E: serde::de::Error>(mut self, _: &str) -> Result<Option<usize>, E> {
        self.count().map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Option<usize>, A::Error> {
        self.count()?;
        let mut count = 0;
        while elements.next_element_seed(Look(self.0))?.is_some() {
            count += 1;
        }
        Ok(Some(count))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Option<usize>, A::Error> {
        self.count()?;
        while entries.next_key::<IgnoredAny>()?.is_some() {
            entries.next_value_seed(Look(self.0))?;
        }
        Ok(None)
    }
}

/// A text that does not grow beyond a limit.
struct JsonText {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl io::Write for JsonText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
