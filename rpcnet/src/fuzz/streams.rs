//! Checks of stream frames. The result must not depend on the pieces in which bytes arrive.

use bytes::{Bytes, BytesMut};

use super::choice;
use crate::proto::{
    self, ControlFrame, DecodeError, Ending, EndingKind, ItemBuffer, ItemFrame, finish_item, start_item,
};

/// Checks the frames of a stream of items. The first byte gives the largest size of an item, the next four say where
/// the stream is cut.
pub fn item_frames(input: &[u8]) {
    let (choice, input) = choice(input);
    let (pieces, stream) = input.split_at(input.len().min(4));
    let limit = 1 << (choice % 24);
    let stream = Bytes::copy_from_slice(stream);
    let whole = read_items([stream.clone()], limit);
    assert_eq!(read_items(Pieces::new(&stream, pieces), limit), whole, "cut as {pieces:?}");
    for frame in whole.0 {
        check_item(frame, limit);
    }
}

/// Reads until the end or an error. Also returns whether the input ends between two frames.
fn read_items(
    chunks: impl IntoIterator<Item = Bytes>,
    limit: usize,
) -> (Vec<ItemFrame>, Result<bool, DecodeError>) {
    let mut buffer = ItemBuffer::default();
    let mut frames = Vec::new();
    for chunk in chunks {
        buffer.push(chunk);
        loop {
            match buffer.take(limit) {
                // Only so many are kept: a frame of two bytes takes forty in memory.
                Ok(Some(frame)) if frames.len() < MOST_FRAMES => frames.push(frame),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    let between = buffer.is_empty();
    (frames, Ok(between))
}

/// The number of frames that are kept for comparison.
const MOST_FRAMES: usize = 1024;

fn check_item(frame: ItemFrame, limit: usize) {
    let mut encoded = BytesMut::new();
    match &frame {
        ItemFrame::Item(item) => {
            assert!(item.len() <= limit, "larger than the limit");
            let at = start_item(&mut encoded);
            encoded.extend_from_slice(item);
            finish_item(&mut encoded, at, 0);
        }
        ItemFrame::End(ending) => {
            check_ending(ending);
            ending.encode(&mut encoded);
        }
        ItemFrame::Other => return,
    }
    assert_eq!(read_items([encoded.freeze()], limit), (vec![frame], Ok(true)));
}

fn check_ending(ending: &Ending) {
    if let EndingKind::Status(code) = ending.kind {
        let _ = proto::decode_status(code, true, ending.body.clone());
    }
}

/// Checks the frames of the control stream. The first four bytes say where it is cut.
pub fn control(input: &[u8]) {
    let (pieces, stream) = input.split_at(input.len().min(4));
    let stream = Bytes::copy_from_slice(stream);
    let whole = read_control([stream.clone()]);
    assert_eq!(read_control(Pieces::new(&stream, pieces)), whole, "cut as {pieces:?}");
    for frame in whole.0 {
        if frame == ControlFrame::Other {
            continue;
        }
        let mut encoded = BytesMut::new();
        frame.encode(&mut encoded);
        assert_eq!(read_control([encoded.freeze()]), (vec![frame], Ok(true)));
    }
}

fn read_control(chunks: impl IntoIterator<Item = Bytes>) -> (Vec<ControlFrame>, Result<bool, DecodeError>) {
    let mut arrived = BytesMut::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        arrived.extend_from_slice(&chunk);
        loop {
            match ControlFrame::take(&mut arrived) {
                Ok(Some(frame)) if frames.len() < MOST_FRAMES => frames.push(frame),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(arrived.is_empty()))
}

/// Cuts a stream into pieces of these lengths plus one, over and over; into a single piece if there are no lengths.
pub(super) struct Pieces<'a> {
    rest: Bytes,
    lengths: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(stream: &Bytes, lengths: &'a [u8]) -> Self {
        Self { rest: stream.clone(), lengths: lengths.iter().cycle() }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        // Lengths below 128 count as they are, others a hundredfold, so that long streams are not always cut into
        // thousands of pieces.
        let length = match self.lengths.next() {
            Some(&length) if length < 128 => usize::from(length) + 1,
            Some(&length) => usize::from(length) * 100,
            None => self.rest.len(),
        };
        Some(self.rest.split_to(length.min(self.rest.len())))
    }
}
