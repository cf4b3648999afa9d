//! An encoded message, in the pieces that it was made of.

use std::{fmt, slice};

use bytes::{Bytes, BytesMut};

/// An encoded message, as chunks that are sent one behind the other. Cloning copies no bytes.
///
/// Most messages are one chunk. There are more where a large [`Bytes`] is a part of the message: it stays where it is.
#[derive(Clone)]
pub struct Body(Chunks);

#[derive(Clone)]
enum Chunks {
    /// The usual case, without an allocation for the list.
    One(Bytes),
    /// None of them is empty.
    Many(Vec<Bytes>),
}

impl Body {
    /// A body of these chunks; empty ones are left out.
    pub(super) fn of_chunks(mut chunks: Vec<Bytes>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        match chunks.len() {
            0 | 1 => Self(Chunks::One(chunks.pop().unwrap_or_default())),
            _ => Self(Chunks::Many(chunks)),
        }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.chunks().iter().map(Bytes::len).sum()
    }

    /// Returns whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.chunks().iter().all(Bytes::is_empty)
    }

    /// The chunks; at least one, though that may be empty.
    pub fn chunks(&self) -> &[Bytes] {
        match &self.0 {
            Chunks::One(chunk) => slice::from_ref(chunk),
            Chunks::Many(chunks) => chunks,
        }
    }

    /// The chunks, to be taken out as they are written. What is left in it is of no more use then.
    pub fn chunks_mut(&mut self) -> &mut [Bytes] {
        match &mut self.0 {
            Chunks::One(chunk) => slice::from_mut(chunk),
            Chunks::Many(chunks) => chunks,
        }
    }

    /// The chunks, to be sent behind others.
    pub fn into_chunks(self) -> impl Iterator<Item = Bytes> {
        let (one, many) = match self.0 {
            Chunks::One(chunk) => (Some(chunk), Vec::new()),
            Chunks::Many(chunks) => (None, chunks),
        };
        one.into_iter().chain(many)
    }

    /// All of it in one piece. Copies where there is more than one chunk.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Chunks::One(chunk) => chunk,
            Chunks::Many(chunks) => {
                let mut joined = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
                for chunk in &chunks {
                    joined.extend_from_slice(chunk);
                }
                joined.freeze()
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Chunks::One(bytes))
    }
}

/// The length only: a body may be large, or secret.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_in_order() {
        let body = Body::of_chunks(vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")]);
        assert_eq!(body.len(), 3);
        assert!(!body.is_empty());
        assert_eq!(body.chunks().len(), 2);
        assert_eq!(body.clone().into_chunks().collect::<Vec<_>>(), body.chunks());
        assert_eq!(format!("{body:?}"), "Body(3 bytes)");
        assert_eq!(body.into_bytes(), "abc");
    }

    #[test]
    fn one_chunk_is_not_copied() {
        let bytes = Bytes::from(vec![7; 100]);
        let address = bytes.as_ptr();
        let mut body = Body::from(bytes);
        assert_eq!(body.chunks_mut().len(), 1);
        assert_eq!(body.into_bytes().as_ptr(), address);
    }

    #[test]
    fn nothing_is_one_empty_chunk() {
        let body = Body::of_chunks(Vec::new());
        assert!(body.is_empty());
        assert_eq!(body.chunks().len(), 1);
        assert_eq!(body.into_bytes(), "");
    }
}
