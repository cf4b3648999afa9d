//! The header of a request.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes};

use super::{
    Cursor, DecodeError, MAX_HEADER, Routing, VERSION, check_version, extension::Extension, put_block, varint,
};
use crate::{metadata::Metadata, trace::Trace};

const HAS_METADATA: u8 = 1;
const HAS_EXTENSION: u8 = 1 << 1;
const HAS_FINGERPRINT: u8 = 1 << 2;
const HAS_ITEMS: u8 = 1 << 3;
const HAS_TRACE: u8 = 1 << 4;

/// The header of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    /// Hash of `"service/method"`.
    pub(crate) method: u64,
    /// Hash of the schema that the caller was compiled with. `None` where the caller has compared it with what the
    /// server said of itself on the control stream.
    pub(crate) fingerprint: Option<u64>,
    /// Items follow the body.
    pub(crate) items: bool,
    pub(crate) trace: Option<Trace>,
    /// The time left, so that clocks need not agree; travels in microseconds, rounded up.
    pub(crate) remaining: Option<Duration>,
    pub(crate) metadata: Metadata,
    /// The caller has had so many items of the stream that it asks for, which is to go on behind them.
    pub(crate) resume_after: u64,
    /// For whoever forwards the call. Shared with what is made of it there.
    pub(crate) routing: Option<Arc<Routing>>,
    pub(crate) body_length: u64,
}

impl RequestHeader {
    pub(crate) fn encode(&self, buffer: &mut impl BufMut) {
        buffer.put_u8(VERSION);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        buffer.put_u8(
            flag(!self.metadata.is_empty(), HAS_METADATA)
                | flag(self.resume_after > 0 || self.routing.is_some(), HAS_EXTENSION)
                | flag(self.fingerprint.is_some(), HAS_FINGERPRINT)
                | flag(self.items, HAS_ITEMS)
                | flag(self.trace.is_some(), HAS_TRACE),
        );
        buffer.put_u64(self.method);
        if let Some(fingerprint) = self.fingerprint {
            buffer.put_u64(fingerprint);
        }
        varint::put(buffer, self.remaining.map_or(0, wire_micros));
        if let Some(trace) = self.trace {
            trace.encode(buffer);
        }
        if !self.metadata.is_empty() {
            put_block(buffer, &self.metadata);
        }
        if self.resume_after > 0 || self.routing.is_some() {
            Extension::put(buffer, self.resume_after, self.routing.as_deref());
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
        let Some(&flags) = rest.get(1) else { return Ok(None) };
        let has = |flag: u8| flags & flag != 0;
        if rest.remaining() < if has(HAS_FINGERPRINT) { 18 } else { 10 } {
            return Ok(None);
        }
        rest.advance(2);
        let method = rest.get_u64();
        let fingerprint = has(HAS_FINGERPRINT).then(|| rest.get_u64());
        let Some(micros) = varint::take(rest)? else { return Ok(None) };
        let trace = if has(HAS_TRACE) {
            let Some(trace) = Trace::take(rest) else { return Ok(None) };
            Some(trace)
        } else {
            None
        };
        let metadata = if has(HAS_METADATA) {
            let Some(block) = cursor.take_block()? else { return Ok(None) };
            Metadata::decode(block)?
        } else {
            Metadata::default()
        };
        let extension = if has(HAS_EXTENSION) {
            let Some(block) = cursor.take_block()? else { return Ok(None) };
            Extension::decode(block)?
        } else {
            Extension::default()
        };
        let Some(body_length) = varint::take(&mut cursor.rest)? else { return Ok(None) };
        let remaining = (micros > 0).then(|| Duration::from_micros(micros));
        Ok(Some(Self {
            method,
            fingerprint,
            items: has(HAS_ITEMS),
            trace,
            remaining,
            metadata,
            resume_after: extension.resume_after,
            routing: extension.routing,
            body_length,
        }))
    }
}

/// Microseconds, rounded up and at least one, as zero means *none*.
pub(super) fn wire_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn header() -> RequestHeader {
        let mut metadata = Metadata::new();
        metadata.insert("x-tenant", "a").expect("valid");
        RequestHeader {
            method: 7,
            fingerprint: Some(9),
            items: true,
            trace: Some(Trace::new()),
            remaining: Some(Duration::from_secs(30)),
            metadata,
            resume_after: 70_000,
            routing: Some(Arc::new(Routing { idempotent: true, key: Some(3), ..Routing::default() })),
            body_length: 1 << 20,
        }
    }

    #[test]
    fn round_trip_and_every_cut() {
        let mut buffer = BytesMut::new();
        let header = header();
        header.encode(&mut buffer);
        let bytes = buffer.freeze();
        assert_eq!(RequestHeader::decode(&bytes), Ok(Some((header, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(RequestHeader::decode(&bytes.slice(..cut)), Ok(None));
        }
    }

    #[test]
    fn a_later_minor_version_is_understood_and_its_extension_skipped() {
        let mut buffer = BytesMut::new();
        RequestHeader { metadata: Metadata::new(), resume_after: 0, routing: None, ..header() }
            .encode(&mut buffer);
        let body_length = buffer.split_off(buffer.len() - 4);
        buffer[0] = VERSION | 0x03;
        buffer[1] |= HAS_EXTENSION;
        buffer.put_slice(b"\x07\x05\x05hello");
        buffer.put_slice(&body_length);
        let (decoded, _) = RequestHeader::decode(&buffer.freeze()).expect("valid").expect("complete");
        assert_eq!(decoded.body_length, 1 << 20);
    }

    #[test]
    fn another_major_version_is_refused_at_its_first_byte() {
        assert_eq!(RequestHeader::decode(&Bytes::from_static(&[0x20])), Err(DecodeError::Version(0x20)));
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(mut bytes: Vec<u8>) {
            let _ = RequestHeader::decode(&bytes.clone().into());
            bytes.insert(0, VERSION);
            let _ = RequestHeader::decode(&bytes.into());
        }
    }
}
