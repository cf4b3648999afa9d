//! What is read as it arrives: in which pieces must make no difference.

use bytes::{Bytes, BytesMut};

use super::choice;
use crate::proto::{
    self, ControlFrame, DecodeError, Ending, EndingKind, ItemBuffer, ItemFrame, finish_item, start_item,
};

/// Frames of a stream of items. The first byte tells how large an item may be, the next four where the stream is cut.
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

/// Reads until the end or an error; whether it ends between two frames.
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
                // As many as are looked at: a frame has two bytes, and is forty here.
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

/// Frames of the control stream. The first four bytes tell where it is cut.
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

/// A stream in pieces of these lengths plus one, again and again; in one piece without any.
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
        // Up to 255 as it is, or a hundred times: long streams are not always cut into thousands of pieces.
        let length = match self.lengths.next() {
            Some(&length) if length < 128 => usize::from(length) + 1,
            Some(&length) => usize::from(length) * 100,
            None => self.rest.len(),
        };
        Some(self.rest.split_to(length.min(self.rest.len())))
    }
}
