//! Finds the frames of a stream of items in chunks that end anywhere.

use bytes::{Buf, Bytes};

use super::{DecodeError, ItemFrame, ItemHeader};

/// The header of an item is no longer.
const LONGEST_HEADER: usize = 9;
/// Room for a short item that came in two chunks, before its length is known.
const SHORT_PARTIAL: usize = 128;
/// Room is made for so much at once, where so much is announced.
const ROOM: usize = 128 << 10;

/// Bytes of a stream of items that have arrived and were not taken yet. Frames that lie in one chunk share its memory.
#[derive(Debug, Default)]
pub(crate) struct ItemBuffer {
    /// Begins with a frame, unless `partial` holds the beginning of one.
    chunk: Bytes,
    /// A frame that came in more than one chunk, as far as it is here.
    partial: Vec<u8>,
}

impl ItemBuffer {
    pub(crate) fn new(chunk: Bytes) -> Self {
        Self { chunk, partial: Vec::new() }
    }

    /// Adds what has arrived next; [`take`](Self::take) must have found no whole frame in what was there.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "what was there was looked through");
        self.chunk = chunk;
    }

    /// Returns whether a stream that ends here ends between two frames.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunk.is_empty() && self.partial.is_empty()
    }

    /// Hands on the next frame where it is an item shorter than `below`, and is here whole and in one chunk. Most are.
    #[inline]
    pub(crate) fn lend_short(&mut self, below: usize, take: &mut dyn FnMut(&[u8])) -> bool {
        if !self.partial.is_empty() {
            return false;
        }
        let short = ItemHeader::short_item(&self.chunk);
        let Some((size, item)) = short.filter(|(_, item)| item.len() < below) else { return false };
        take(item);
        let length = size + item.len();
        self.chunk.advance(length);
        true
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
                // Bytes that were taken to find the header may be the beginning of the next frame.
                let mut frame = std::mem::take(&mut self.partial);
                if frame.len() > whole {
                    self.give_back(frame.split_off(whole));
                }
                return Ok(Some(header.frame(Bytes::from(frame).slice(header.size..))?));
            }
            if self.chunk.is_empty() {
                return Ok(None);
            }
            let wanted = (whole - self.partial.len()).min(self.chunk.len());
            append(&mut self.partial, &self.chunk.split_to(wanted), whole.max(SHORT_PARTIAL));
        }
    }

    fn give_back(&mut self, beginning: Vec<u8>) {
        let mut chunk = beginning;
        chunk.extend_from_slice(&self.chunk);
        self.chunk = chunk.into();
    }
}

/// For how much room is made where so much has `arrived` of `whole` bytes: for 128 KiB, or four times what is here, and
/// never for more than the whole: the length is but a claim.
pub(crate) fn room(arrived: usize, whole: usize) -> usize {
    whole.min(arrived.saturating_mul(4).max(ROOM))
}

/// Appends what has arrived of `whole` bytes, where there is [`room`] for it.
pub(crate) fn append(body: &mut Vec<u8>, chunk: &[u8], whole: usize) {
    let length = body.len() + chunk.len();
    if body.capacity() < length {
        body.reserve_exact(room(length, whole).max(length) - body.len());
    }
    body.extend_from_slice(chunk);
}

fn checked(input: &[u8], limit: usize) -> Result<Option<ItemHeader>, DecodeError> {
    let header = ItemHeader::decode(input)?;
    match header {
        Some(header) if header.length > header.limit(limit) => Err(DecodeError::ItemTooLarge(header.length)),
        header => Ok(header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn room_is_made_for_what_has_arrived_and_never_beyond_the_whole(
            chunks in proptest::collection::vec(1usize..200_000, 1..20),
            beyond in 0usize..1 << 24,
        ) {
            let whole = chunks.iter().sum::<usize>() + beyond;
            let mut body = Vec::new();
            for chunk in chunks {
                append(&mut body, &vec![7; chunk], whole);
                assert!(body.capacity() <= whole.min((body.len() * 4).max(ROOM)));
            }
            if beyond == 0 {
                assert_eq!(body.capacity(), body.len(), "it is not moved when it is done");
            }
        }
    }
}
