//! Pairs of names and values that travel beside a call.

use std::fmt;

use bytes::Bytes;

/// At most this many pairs a call.
pub(crate) const MAX_PAIRS: usize = 128;

/// At most this many bytes in names and values together. A header holds two such sets and more.
pub(crate) const MAX_BYTES: usize = 30 << 10;

/// Pairs of names and values that travel beside a call, in the order in which they were added.
///
/// Names are lower-case ASCII (`a-z 0-9 - _ .`) of at most 256 bytes, values any UTF-8 text. A name may stand more than
/// once. There are at most 128 pairs, with 30 KiB in all.
///
/// ```
/// use rpcnet::Metadata;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut metadata = Metadata::new();
/// metadata.insert("tenant", "acme")?;
/// metadata.insert("label", "blue")?;
/// metadata.insert("label", "large")?;
/// assert_eq!(metadata.get("tenant"), Some("acme"));
/// assert_eq!(metadata.get_all("label").collect::<Vec<_>>(), ["blue", "large"]);
/// assert!(metadata.insert("Upper Case", "refused").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(Text, Text)>,
}

/// Why a pair was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The name has a character that is not allowed, or is empty.
    #[error("{0:?} is no metadata name: use a-z, 0-9, '-', '_' and '.'")]
    Name(String),
    /// There are as many pairs as a call may carry.
    #[error("more than {MAX_PAIRS} metadata pairs")]
    Count,
    /// Names and values together are longer than a call may carry.
    #[error("more than {MAX_BYTES} bytes of metadata: send them as an argument")]
    Size,
}

impl Metadata {
    /// Without any pair.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value.as_str())
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Adds a pair.
    ///
    /// # Errors
    ///
    /// A name with a character that is not allowed, and a pair too many; the metadata is as it was.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) -> Result<(), MetadataError> {
        let name = name.into();
        if !is_name(name.as_bytes()) {
            return Err(MetadataError::Name(name));
        }
        if self.pairs.len() >= MAX_PAIRS {
            return Err(MetadataError::Count);
        }
        let value = value.into();
        if self.size() + name.len() + value.len() > MAX_BYTES {
            return Err(MetadataError::Size);
        }
        self.pairs.push((Text(name.into()), Text(value.into())));
        Ok(())
    }

    /// The bytes of all names and values.
    pub(crate) fn size(&self) -> usize {
        self.pairs.iter().map(|(name, value)| name.0.len() + value.0.len()).sum()
    }

    /// Adds the pairs of another, as far as there is room.
    pub(crate) fn append(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let mut size = self.size();
        for pair in other.pairs {
            size += pair.0.0.len() + pair.1.0.len();
            if self.pairs.len() >= MAX_PAIRS || size > MAX_BYTES {
                return;
            }
            self.pairs.push(pair);
        }
    }

    /// Takes all values of this name out; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.pairs.len();
        self.pairs.retain(|(key, _)| key.as_str() != name);
        self.pairs.len() < before
    }

    /// All values of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The names and values as bytes, in order.
    pub(crate) fn raw_pairs(&self) -> impl Iterator<Item = [&[u8]; 2]> {
        self.pairs.iter().map(|(name, value)| [&name.0[..], &value.0[..]])
    }

    /// Adds a pair that shares memory with others, as it came from a peer. Returns `None` and adds nothing if the name
    /// is not allowed or the value is no UTF-8 text.
    pub(crate) fn push_raw(&mut self, name: Bytes, value: Bytes) -> Option<()> {
        if !is_name(&name) || std::str::from_utf8(&value).is_err() {
            return None;
        }
        self.pairs.push((Text(name), Text(value)));
        Some(())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

/// UTF-8 text in shared memory; checked when it was made.
#[derive(Clone, PartialEq, Eq)]
struct Text(Bytes);

impl Text {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let mut metadata = Metadata::new();
        assert!(matches!(metadata.insert("X-Tenant", "a"), Err(MetadataError::Name(_))));
        assert!(matches!(metadata.insert("", "a"), Err(MetadataError::Name(_))));
        assert_eq!(metadata.insert("a", "x".repeat(MAX_BYTES)), Err(MetadataError::Size));
    }
}
