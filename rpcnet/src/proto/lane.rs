//! Lanes: streams that carry many small calls, as frames one behind the other.
//!
//! A lane begins with two bytes, as a call's own stream does, of which the second has the flag [`LANE`]. Then frames
//! follow, each direction its own. They carry the same headers as a stream of one call, behind the call's id.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DecodeError, ReplyHeader, RequestHeader, VERSION, check_version, varint};

/// In the place of a request's flags: what follows is a lane.
const LANE: u8 = 1 << 7;

/// The first bytes of a lane.
pub(crate) const PREFACE: [u8; 2] = [VERSION, LANE];

/// Returns whether a stream that begins so is a lane.
pub(crate) fn is_lane(beginning: [u8; 2]) -> Result<bool, DecodeError> {
    check_version(beginning[0])?;
    Ok(beginning[1] & LANE != 0)
}

/// A message on a lane has at most so many bytes, header included: what is behind it waits for it. Measured, a lane is
/// ahead of a stream a call up to here, and no better beyond.
pub(crate) const MAX_LANE_MESSAGE: usize = 32 << 10;

/// No frame with a header of numbers only is longer.
const SHORT: usize = 96;

const MESSAGE: u8 = 0;
const CANCEL: u8 = 1;
const REFUSED: u8 = 2;

/// The kind and the id before each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneFrame {
    pub(crate) kind: LaneKind,
    /// The call's id: chosen by the caller, and not used again while the call is at work.
    pub(crate) id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneKind {
    /// A request or a reply follows, header and body.
    Message,
    /// The caller gives the call up. Nothing follows.
    Cancel,
    /// The call was not taken: the server drains. Nothing follows.
    Refused,
}

impl LaneFrame {
    pub(crate) fn encode(self, buffer: &mut impl BufMut) {
        buffer.put_u8(match self.kind {
            LaneKind::Message => MESSAGE,
            LaneKind::Cancel => CANCEL,
            LaneKind::Refused => REFUSED,
        });
        varint::put(buffer, self.id);
    }

    /// The frame's beginning at the start of `input`, and its length; `None` while it has not all arrived.
    pub(crate) fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((&kind, mut rest)) = input.split_first() else { return Ok(None) };
        let kind = match kind {
            MESSAGE => LaneKind::Message,
            CANCEL => LaneKind::Cancel,
            REFUSED => LaneKind::Refused,
            other => return Err(DecodeError::LaneFrame(other)),
        };
        let Some(id) = varint::take(&mut rest)? else { return Ok(None) };
        Ok(Some((Self { kind, id }, input.len() - rest.len())))
    }
}

/// The header of a message on a lane: of a request in one direction, of a reply in the other.
pub(crate) trait LaneHeader: Sized {
    /// The header that begins at `start`, and its length; `None` while it has not all arrived.
    fn decode_at(input: &Bytes, start: usize) -> Result<Option<(Self, usize)>, DecodeError>;
    fn encode(&self, buffer: &mut impl BufMut);
    fn body_length(&self) -> u64;
    /// Returns whether it is of a few numbers only.
    fn is_short(&self) -> bool;
}

impl LaneHeader for RequestHeader {
    fn decode_at(input: &Bytes, start: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        Self::decode_at(input, start)
    }

    fn encode(&self, buffer: &mut impl BufMut) {
        self.encode(buffer);
    }

    fn body_length(&self) -> u64 {
        self.body_length
    }

    fn is_short(&self) -> bool {
        self.metadata.is_empty()
            && self.resume_after == 0
            && self.routing.as_ref().is_none_or(|routing| routing.selector.is_none())
    }
}

impl LaneHeader for ReplyHeader {
    fn decode_at(input: &Bytes, start: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        Self::decode_at(input, start)
    }

    fn encode(&self, buffer: &mut impl BufMut) {
        self.encode(buffer);
    }

    fn body_length(&self) -> u64 {
        self.body_length
    }

    fn is_short(&self) -> bool {
        self.metadata.is_empty() && self.trailers.is_empty()
    }
}

/// Writes a message: its frame, header and body.
pub(crate) fn put_message<H: LaneHeader>(buffer: &mut BytesMut, id: u64, header: &H, body: &[Bytes]) {
    let frame = LaneFrame { kind: LaneKind::Message, id };
    if header.is_short() {
        // At once, not number by number, each of which would ask whether there is room.
        let mut beginning = [0; SHORT];
        let mut rest = &mut beginning[..];
        frame.encode(&mut rest);
        header.encode(&mut rest);
        let length = SHORT - rest.len();
        buffer.extend_from_slice(&beginning[..length]);
    } else {
        frame.encode(buffer);
        header.encode(buffer);
    }
    body.iter().for_each(|chunk| buffer.extend_from_slice(chunk));
}

/// A whole frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LaneInput<H> {
    Message(H, Bytes),
    Cancel,
    Refused,
}

/// Bytes of a lane that have arrived and were not taken yet: at most the beginning of a frame, and the last chunk.
#[derive(Debug, Default)]
pub(crate) struct LaneBuffer {
    arrived: Bytes,
    /// The length of the first frame, once its header is known. A header is read once, in however many pieces its body
    /// arrives.
    needed: usize,
}

impl LaneBuffer {
    /// Adds a chunk. Copied only where a frame goes across it.
    pub(crate) fn add(&mut self, chunk: Bytes) {
        if self.arrived.is_empty() {
            self.arrived = chunk;
            return;
        }
        // Room for all of the frame, of which the length was checked.
        let room = self.needed.max(self.arrived.len() + chunk.len());
        let mut joined = match std::mem::take(&mut self.arrived).try_into_mut() {
            Ok(mut joined) => {
                joined.reserve(room - joined.len());
                joined
            }
            Err(shared) => {
                let mut joined = BytesMut::with_capacity(room);
                joined.extend_from_slice(&shared);
                joined
            }
        };
        joined.extend_from_slice(&chunk);
        self.arrived = joined.freeze();
    }

    /// The next frame that is here whole, with the id of its call.
    pub(crate) fn next<H: LaneHeader>(&mut self) -> Result<Option<(u64, LaneInput<H>)>, DecodeError> {
        if self.arrived.len() < self.needed {
            return Ok(None);
        }
        let Some((frame, start)) = LaneFrame::decode(&self.arrived)? else { return Ok(None) };
        let (input, length) = match frame.kind {
            LaneKind::Cancel => (LaneInput::Cancel, start),
            LaneKind::Refused => (LaneInput::Refused, start),
            LaneKind::Message => {
                let Some((header, length)) = H::decode_at(&self.arrived, start)? else { return Ok(None) };
                if header.body_length() > MAX_LANE_MESSAGE as u64 {
                    return Err(DecodeError::LaneMessage(header.body_length()));
                }
                let body = start + length;
                let end = body + header.body_length() as usize;
                if self.arrived.len() < end {
                    self.needed = end;
                    return Ok(None);
                }
                (LaneInput::Message(header, self.arrived.slice(body..end)), end)
            }
        };
        self.arrived.advance(length);
        if self.arrived.is_empty() {
            // It would keep the packet in memory that it was a part of.
            self.arrived = Bytes::new();
        }
        self.needed = 0;
        Ok(Some((frame.id, input)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::proto::ReplyKind;

    #[test]
    fn frames_come_back_at_any_cut() {
        for kind in [LaneKind::Message, LaneKind::Cancel, LaneKind::Refused] {
            for id in [0, 63, 64, 1 << 20, varint::MAX] {
                let frame = LaneFrame { kind, id };
                let mut buffer = BytesMut::new();
                frame.encode(&mut buffer);
                assert_eq!(LaneFrame::decode(&buffer), Ok(Some((frame, buffer.len()))));
                for cut in 0..buffer.len() {
                    assert_eq!(LaneFrame::decode(&buffer[..cut]), Ok(None));
                }
            }
        }
    }

    fn reply(body: &[u8]) -> (ReplyHeader, Bytes) {
        (ReplyHeader::new(ReplyKind::Value, body.len()), Bytes::copy_from_slice(body))
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_in_which_pieces_bytes_arrive(
            bodies in vec(option::of(vec(any::<u8>(), 0..300)), 0..20),
            pieces in vec(1usize..200, 1..100),
        ) {
            let mut sent = BytesMut::new();
            let mut frames = Vec::new();
            for (id, body) in bodies.iter().enumerate() {
                let id = id as u64 * 40;
                let Some(body) = body else {
                    LaneFrame { kind: LaneKind::Cancel, id }.encode(&mut sent);
                    frames.push((id, LaneInput::Cancel));
                    continue;
                };
                let (header, body) = reply(body);
                LaneFrame { kind: LaneKind::Message, id }.encode(&mut sent);
                header.encode(&mut sent);
                sent.extend_from_slice(&body);
                frames.push((id, LaneInput::Message(header, body)));
            }
            let mut sent = sent.freeze();
            let mut buffer = LaneBuffer::default();
            let mut received = Vec::new();
            let mut pieces = pieces.iter().cycle();
            while !sent.is_empty() {
                let piece = (*pieces.next().expect("endless")).min(sent.len());
                buffer.add(sent.split_to(piece));
                while let Some(frame) = buffer.next::<ReplyHeader>()? {
                    received.push(frame);
                }
            }
            prop_assert_eq!(received, frames);
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_known_by_its_header() {
        let mut sent = BytesMut::new();
        LaneFrame { kind: LaneKind::Message, id: 1 }.encode(&mut sent);
        ReplyHeader::new(ReplyKind::Value, MAX_LANE_MESSAGE + 1).encode(&mut sent);
        let mut buffer = LaneBuffer::default();
        buffer.add(sent.freeze());
        let length = MAX_LANE_MESSAGE as u64 + 1;
        assert_eq!(buffer.next::<ReplyHeader>(), Err(DecodeError::LaneMessage(length)));
    }
}
