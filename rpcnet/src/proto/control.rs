//! The control stream: one in each direction, opened first, for what concerns the connection and no call.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{DecodeError, VERSION, check_version, varint};

/// A flag of the hello: this side takes lanes.
const LANES: u8 = 1;

const HELLO: u8 = 0;
const PING: u8 = 1;
const GOAWAY: u8 = 2;
const SCHEMA: u8 = 3;
const REST: u8 = 4;

/// A control frame may take this many bytes; there is room for what later versions add.
const MAX_LENGTH: u64 = 16 << 10;

/// The first frame of a control stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: u8,
    /// The largest body that this side takes, in bytes.
    pub(crate) max_message: u64,
    /// Lanes are understood.
    pub(crate) lanes: bool,
}

/// Of how many methods one frame tells.
pub(crate) const SCHEMA_ENTRIES: usize = MAX_LENGTH as usize / SCHEMA_ENTRY;
const SCHEMA_ENTRY: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ControlFrame {
    Hello(Hello),
    /// Asks for nothing but the transport's own acknowledgement: proof that the peer's process runs.
    Ping,
    /// Nothing new is to be sent here; what runs is finished.
    GoAway,
    /// Methods that are served here: ids with fingerprints. Frames add up, a later one wins.
    Schema(Vec<(u64, u64)>),
    /// As [`GoAway`](Self::GoAway), from a server that stays: it needs the place of a connection that is not used. The
    /// client dials again when it needs one.
    Rest,
    /// Of a later version; skipped.
    Other,
}

impl ControlFrame {
    pub(crate) fn encode(&self, buffer: &mut BytesMut) {
        match self {
            Self::Hello(hello) => {
                let mut payload = BytesMut::new();
                payload.put_u8(hello.version);
                varint::put(&mut payload, hello.max_message);
                payload.put_u8(if hello.lanes { LANES } else { 0 });
                buffer.put_u8(HELLO);
                varint::put(buffer, payload.len() as u64);
                buffer.put_slice(&payload);
            }
            Self::Ping => buffer.put_slice(&[PING, 0]),
            Self::GoAway => buffer.put_slice(&[GOAWAY, 0]),
            Self::Rest => buffer.put_slice(&[REST, 0]),
            Self::Schema(methods) => {
                buffer.put_u8(SCHEMA);
                varint::put(buffer, (methods.len() * SCHEMA_ENTRY) as u64);
                for (method, fingerprint) in methods {
                    buffer.put_u64(*method);
                    buffer.put_u64(*fingerprint);
                }
            }
            Self::Other => {}
        }
    }

    /// Takes the frame at the start of `input` off it; `None` while it has not all arrived.
    pub(crate) fn take(input: &mut BytesMut) -> Result<Option<Self>, DecodeError> {
        let mut rest = &input[..];
        if rest.is_empty() {
            return Ok(None);
        }
        let kind = rest.get_u8();
        let Some(length) = varint::take(&mut rest)? else { return Ok(None) };
        if length > MAX_LENGTH {
            return Err(DecodeError::ControlTooLong(length));
        }
        let length = length as usize;
        if rest.len() < length {
            return Ok(None);
        }
        let head = input.len() - rest.len();
        let mut payload = input.split_to(head + length).freeze().slice(head..);
        Ok(Some(match kind {
            HELLO => Self::Hello(Self::hello(&mut payload)?),
            PING => Self::Ping,
            GOAWAY => Self::GoAway,
            REST => Self::Rest,
            SCHEMA => Self::schema(payload)?,
            _ => Self::Other,
        }))
    }

    fn schema(mut payload: Bytes) -> Result<Self, DecodeError> {
        if !payload.len().is_multiple_of(SCHEMA_ENTRY) {
            return Err(DecodeError::Truncated);
        }
        let entries = payload.len() / SCHEMA_ENTRY;
        Ok(Self::Schema((0..entries).map(|_| (payload.get_u64(), payload.get_u64())).collect()))
    }

    fn hello(payload: &mut Bytes) -> Result<Hello, DecodeError> {
        if payload.is_empty() {
            return Err(DecodeError::Truncated);
        }
        let version = payload.get_u8();
        check_version(version)?;
        let max_message = varint::take(payload)?.ok_or(DecodeError::Truncated)?;
        // An earlier minor version ends here.
        let features = if payload.is_empty() { 0 } else { payload.get_u8() };
        Ok(Hello { version, max_message, lanes: features & LANES != 0 })
    }
}

impl Hello {
    pub(crate) fn new(max_message: u64, lanes: bool) -> Self {
        Self { version: VERSION, max_message, lanes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_off_one_by_one_at_any_cut() {
        let frames = [
            ControlFrame::Hello(Hello::new(4 << 20, true)),
            ControlFrame::Ping,
            ControlFrame::Schema(vec![(1, 2), (3, 4)]),
            ControlFrame::GoAway,
            ControlFrame::Rest,
        ];
        let mut bytes = BytesMut::new();
        for frame in &frames {
            frame.encode(&mut bytes);
        }
        let mut arrived = BytesMut::new();
        let mut seen = Vec::new();
        for byte in bytes {
            arrived.put_u8(byte);
            while let Some(frame) = ControlFrame::take(&mut arrived).expect("valid") {
                seen.push(frame);
            }
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn unknown_frames_are_skipped_and_long_ones_refused() {
        let mut input = BytesMut::from(&b"\x7f\x03abc\x01\x00"[..]);
        assert_eq!(ControlFrame::take(&mut input), Ok(Some(ControlFrame::Other)));
        assert_eq!(ControlFrame::take(&mut input), Ok(Some(ControlFrame::Ping)));
        let mut input = BytesMut::from(&b"\x00\xbf\xff\xff\xff"[..]);
        assert!(matches!(ControlFrame::take(&mut input), Err(DecodeError::ControlTooLong(_))));
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = ControlFrame::take(&mut input) {}
        }
    }
}
