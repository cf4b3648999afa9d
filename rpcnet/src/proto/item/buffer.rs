//! Finds the frames of a stream of items in chunks that end anywhere.

use bytes::{Buf, Bytes, BytesMut};

use super::{DecodeError, ItemFrame, ItemHeader};

/// The header of an item is no longer.
const LONGEST_HEADER: usize = 9;

/// What has arrived of a stream of items and was not taken yet. Frames that lie in one chunk share its memory.
#[derive(Debug, Default)]
pub(crate) struct ItemBuffer {
    /// Begins with a frame, unless `partial` holds the beginning of one.
    chunk: Bytes,
    /// A frame that came in more than one chunk, as far as it is here.
    partial: BytesMut,
}

impl ItemBuffer {
    pub(crate) fn new(chunk: Bytes) -> Self {
        Self { chunk, partial: BytesMut::new() }
    }

    /// Adds what has arrived next; [`take`](Self::take) must have found no whole frame in what was there.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "what was there was looked through");
        self.chunk = chunk;
    }

    /// Whether a stream that ends here ends between two frames.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunk.is_empty() && self.partial.is_empty()
    }

    /// Takes a frame, if it is whole. Of one that is larger than `limit` nothing is collected.
    pub(crate) fn take(&mut self, limit: usize) -> Result<Option<ItemFrame>, DecodeError> {
        if self.partial.is_empty() {
            if let Some(header) = checked(&self.chunk, limit)?
                && self.chunk.len() - header.size >= header.length as usize
            {
                self.chunk.advance(header.size);
                return Ok(Some(header.frame(self.chunk.split_to(header.length as usize))?));
            }
            if self.chunk.is_empty() {
                return Ok(None);
            }
        }
        loop {
            let header = checked(&self.partial, limit)?;
            let whole = header.map_or(LONGEST_HEADER, |header| header.size + header.length as usize);
            if let Some(header) = header
                && self.partial.len() >= whole
            {
                // What was taken to find the header may be the beginning of what follows.
                let mut frame = std::mem::take(&mut self.partial);
                if frame.len() > whole {
                    self.give_back(frame.split_off(whole));
                }
                return Ok(Some(header.frame(frame.freeze().slice(header.size..))?));
            }
            if self.chunk.is_empty() {
                return Ok(None);
            }
            let wanted = (whole - self.partial.len()).min(self.chunk.len());
            // Grows with what arrives: the length is but a claim.
            self.partial.extend_from_slice(&self.chunk.split_to(wanted));
        }
    }

    fn give_back(&mut self, beginning: BytesMut) {
        let mut chunk = beginning;
        chunk.extend_from_slice(&self.chunk);
        self.chunk = chunk.freeze();
    }
}

fn checked(input: &[u8], limit: usize) -> Result<Option<ItemHeader>, DecodeError> {
    let header = ItemHeader::decode(input)?;
    match header {
        Some(header) if header.length > header.limit(limit) => Err(DecodeError::ItemTooLarge(header.length)),
        header => Ok(header),
    }
}
