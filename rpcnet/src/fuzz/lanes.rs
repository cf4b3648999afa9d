//! Checks of lane frames. The result must not depend on the pieces in which bytes arrive.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};

use super::{choice, streams::Pieces};
use crate::proto::{
    DecodeError, LaneBuffer, LaneFrame, LaneHeader, LaneInput, LaneKind, MAX_LANE_MESSAGE, ReplyHeader,
    RequestHeader,
};

/// The number of frames that are kept for comparison.
const MOST_FRAMES: usize = 1024;

/// Checks the frames of a lane. An even first byte makes them requests, an odd one replies. The next four bytes say
/// where the lane is cut.
pub fn lane_frames(input: &[u8]) {
    let (choice, input) = choice(input);
    let (pieces, stream) = input.split_at(input.len().min(4));
    if choice.is_multiple_of(2) {
        check(stream, pieces, RequestHeader::encode);
    } else {
        check(stream, pieces, ReplyHeader::encode);
    }
}

fn check<H: LaneHeader + Debug + PartialEq>(
    stream: &[u8],
    pieces: &[u8],
    encode: impl Fn(&H, &mut BytesMut),
) {
    let stream = Bytes::copy_from_slice(stream);
    let whole = read::<H>([stream.clone()]);
    assert_eq!(read(Pieces::new(&stream, pieces)), whole, "cut as {pieces:?}");
    for (id, frame) in whole.0 {
        let mut encoded = BytesMut::new();
        match &frame {
            LaneInput::Message(header, body) => {
                assert!(body.len() <= MAX_LANE_MESSAGE, "larger than the limit");
                assert_eq!(body.len() as u64, header.body_length());
                LaneFrame { kind: LaneKind::Message, id }.encode(&mut encoded);
                encode(header, &mut encoded);
                encoded.extend_from_slice(body);
            }
            LaneInput::Cancel => LaneFrame { kind: LaneKind::Cancel, id }.encode(&mut encoded),
            LaneInput::Refused => LaneFrame { kind: LaneKind::Refused, id }.encode(&mut encoded),
        }
        assert_eq!(read([encoded.freeze()]), (vec![(id, frame)], Ok(())));
    }
}

type Frames<H> = (Vec<(u64, LaneInput<H>)>, Result<(), DecodeError>);

/// Reads until the end or an error.
fn read<H: LaneHeader>(chunks: impl IntoIterator<Item = Bytes>) -> Frames<H> {
    let mut buffer = LaneBuffer::default();
    let mut frames = Vec::new();
    for chunk in chunks {
        buffer.add(chunk);
        loop {
            match buffer.next() {
                Ok(Some(frame)) if frames.len() < MOST_FRAMES => frames.push(frame),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(()))
}
