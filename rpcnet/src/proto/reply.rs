//! The opening frame of a reply; for a call that has one answer it is the whole reply.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    Cursor, DecodeError, MAX_HEADER, VERSION, check_version, put_block, request::wire_micros, varint,
};
use crate::{Code, Status, metadata::Metadata};

const APPLICATION: u8 = 1;
const NOT_EXECUTED: u8 = 1 << 1;
const HAS_ITEMS: u8 = 1 << 2;
const HAS_METADATA: u8 = 1 << 3;
const HAS_EXTENSION: u8 = 1 << 4;
const HAS_LOAD: u8 = 1 << 5;
const HAS_TRAILERS: u8 = 1 << 6;

/// The kind of a reply frame's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyKind {
    /// The value.
    Value,
    /// Nothing yet: items follow.
    Items,
    /// The error that the method declares.
    Application,
    /// A status; with `executed` false its handler was never started.
    Status { code: Code, executed: bool },
}

/// The header of a reply frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplyHeader {
    pub(crate) kind: ReplyKind,
    /// The load of the server in its own measure; clients may prefer a lower one.
    pub(crate) load: Option<u64>,
    pub(crate) metadata: Metadata,
    /// The trailers of the call; where items follow, their end carries them instead.
    pub(crate) trailers: Metadata,
    pub(crate) body_length: u64,
}

impl ReplyHeader {
    pub(crate) fn new(kind: ReplyKind, body_length: usize) -> Self {
        Self {
            kind,
            load: None,
            metadata: Metadata::default(),
            trailers: Metadata::default(),
            body_length: body_length as u64,
        }
    }

    /// No more bytes than this are needed for it.
    pub(crate) fn size_hint(&self) -> usize {
        // Version, flags, code, three lengths, the load; then each pair with its two lengths.
        let pairs = self.metadata.len() + self.trailers.len();
        3 + 4 * 8 + self.metadata.size() + self.trailers.size() + 8 * pairs
    }

    pub(crate) fn encode(&self, buffer: &mut impl BufMut) {
        let (mut flags, code) = match self.kind {
            ReplyKind::Value => (0, Code::Ok),
            ReplyKind::Items => (HAS_ITEMS, Code::Ok),
            ReplyKind::Application => (APPLICATION, Code::Unknown),
            ReplyKind::Status { code, executed } => (if executed { 0 } else { NOT_EXECUTED }, code),
        };
        if self.load.is_some() {
            flags |= HAS_LOAD;
        }
        if !self.metadata.is_empty() {
            flags |= HAS_METADATA;
        }
        if !self.trailers.is_empty() {
            flags |= HAS_TRAILERS;
        }
        buffer.put_u8(VERSION);
        buffer.put_u8(flags);
        buffer.put_u8(code as u8);
        if let Some(load) = self.load {
            varint::put(buffer, load);
        }
        for pairs in [&self.metadata, &self.trailers] {
            if !pairs.is_empty() {
                put_block(buffer, pairs);
            }
        }
        varint::put(buffer, self.body_length);
    }

    /// The header at the start of `input`, and its length.
    pub(crate) fn decode(input: &Bytes) -> Result<Option<(Self, usize)>, DecodeError> {
        Self::decode_at(input, 0)
    }

    /// The header that begins at `start`, and its length.
    pub(crate) fn decode_at(input: &Bytes, start: usize) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut cursor = Cursor::new(input, start);
        let header = Self::take(&mut cursor)?;
        let length = cursor.position() - start;
        match header {
            Some(_) if length > MAX_HEADER => Err(DecodeError::HeaderTooLong),
            Some(header) => Ok(Some((header, length))),
            None if input.len() - start > MAX_HEADER => Err(DecodeError::HeaderTooLong),
            None => Ok(None),
        }
    }

    fn take(cursor: &mut Cursor<'_>) -> Result<Option<Self>, DecodeError> {
        let rest = &mut cursor.rest;
        let Some(&version) = rest.first() else { return Ok(None) };
        check_version(version)?;
        if rest.remaining() < 3 {
            return Ok(None);
        }
        rest.advance(1);
        let flags = rest.get_u8();
        let code = Code::from_u8(rest.get_u8());
        let load = if flags & HAS_LOAD != 0 {
            let Some(load) = varint::take(rest)? else { return Ok(None) };
            Some(load)
        } else {
            None
        };
        let mut pairs = [Metadata::default(), Metadata::default()];
        for (pairs, flag) in pairs.iter_mut().zip([HAS_METADATA, HAS_TRAILERS]) {
            if flags & flag != 0 {
                let Some(block) = cursor.take_block()? else { return Ok(None) };
                *pairs = Metadata::decode(block)?;
            }
        }
        let [metadata, trailers] = pairs;
        if flags & HAS_EXTENSION != 0 && cursor.take_block()?.is_none() {
            return Ok(None);
        }
        let Some(body_length) = varint::take(&mut cursor.rest)? else { return Ok(None) };
        let kind = match code {
            _ if flags & APPLICATION != 0 => ReplyKind::Application,
            Code::Ok if flags & HAS_ITEMS != 0 => ReplyKind::Items,
            Code::Ok => ReplyKind::Value,
            code => ReplyKind::Status { code, executed: flags & NOT_EXECUTED == 0 },
        };
        Ok(Some(Self { kind, load, metadata, trailers, body_length }))
    }
}

/// Of a status' message so much is sent.
pub(crate) const MAX_STATUS_MESSAGE: usize = 16 << 10;

/// The body of a reply that is a status. Its source stays here.
pub(crate) fn encode_status(status: &Status) -> Bytes {
    let message = status.message();
    // A status must get through whatever its handler wrote into it.
    let end = (0..=MAX_STATUS_MESSAGE.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or(0);
    let message = &message.as_bytes()[..end];
    let mut body = BytesMut::with_capacity(message.len() + status.details().len() + 16);
    varint::put(&mut body, message.len() as u64);
    body.put_slice(message);
    varint::put(&mut body, status.retry_after().map_or(0, wire_micros));
    body.put_slice(status.details());
    body.freeze()
}

/// Reads what [`encode_status`] wrote.
pub(crate) fn decode_status(code: Code, executed: bool, mut body: Bytes) -> Result<Status, DecodeError> {
    let length = varint::take(&mut body)?.ok_or(DecodeError::Truncated)?;
    if length > body.remaining() as u64 {
        return Err(DecodeError::Truncated);
    }
    let message = body.split_to(length as usize);
    let message = String::from_utf8_lossy(&message).into_owned();
    let retry_after = varint::take(&mut body)?.ok_or(DecodeError::Truncated)?;
    let mut status = Status::new(code, message).with_details(body).with_maybe_executed(executed);
    if retry_after > 0 {
        status = status.with_retry_after(Duration::from_micros(retry_after));
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_cut() {
        let kinds = [
            ReplyKind::Value,
            ReplyKind::Items,
            ReplyKind::Application,
            ReplyKind::Status { code: Code::Unavailable, executed: false },
            ReplyKind::Status { code: Code::Internal, executed: true },
        ];
        for kind in kinds {
            let mut header = ReplyHeader { load: Some(300), ..ReplyHeader::new(kind, 70_000) };
            header.metadata.insert("first", "1").expect("valid");
            header.trailers.insert("last", "2").expect("valid");
            let mut buffer = BytesMut::new();
            header.encode(&mut buffer);
            let bytes = buffer.freeze();
            for cut in 0..bytes.len() {
                assert_eq!(ReplyHeader::decode(&bytes.slice(..cut)), Ok(None));
            }
            assert_eq!(ReplyHeader::decode(&bytes), Ok(Some((header, bytes.len()))));
        }
    }

    #[test]
    fn a_status_survives_the_wire() {
        let status = Status::resource_exhausted("full")
            .with_retry_after(Duration::from_millis(20))
            .with_details("more");
        let decoded = decode_status(status.code(), false, encode_status(&status)).expect("just encoded");
        assert_eq!(decoded.message(), "full");
        assert_eq!(decoded.retry_after(), Some(Duration::from_millis(20)));
        assert_eq!(&decoded.details()[..], b"more");
        assert!(!decoded.maybe_executed());
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(mut bytes: Vec<u8>) {
            let _ = decode_status(Code::Internal, true, bytes.clone().into());
            bytes.insert(0, VERSION);
            let _ = ReplyHeader::decode(&bytes.into());
        }
    }
}
