//! Checks of headers and other values that are decoded from one piece.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};

use super::{choice, cuts};
use crate::{
    Code, Metadata,
    metadata::MAX_PAIRS,
    proto::{self, DecodeError, MAX_HEADER, ReplyHeader, RequestHeader},
};

/// Checks the header of a request.
pub fn request_header(input: &[u8]) {
    header(input, RequestHeader::decode, RequestHeader::encode);
}

/// Checks the header of a reply, and the body behind it if it is a status.
pub fn reply_header(input: &[u8]) {
    header(input, ReplyHeader::decode, ReplyHeader::encode);
    let input = Bytes::copy_from_slice(input);
    if let Ok(Some((ReplyHeader { kind: proto::ReplyKind::Status { code, executed }, .. }, length))) =
        ReplyHeader::decode(&input)
    {
        assert_ne!(code, Code::Ok, "a status reply with the code Ok");
        let _ = proto::decode_status(code, executed, input.slice(length..));
    }
}

fn header<H: Debug + PartialEq>(
    input: &[u8],
    decode: impl Fn(&Bytes) -> Result<Option<(H, usize)>, DecodeError>,
    encode: impl Fn(&H, &mut BytesMut),
) {
    let input = Bytes::copy_from_slice(input);
    match decode(&input) {
        Ok(Some((header, length))) => {
            assert!(length <= input.len().min(MAX_HEADER), "longer than the input, or than allowed");
            for cut in cuts(length) {
                assert_eq!(decode(&input.slice(..cut)), Ok(None), "of {length} bytes the first {cut}");
            }
            let mut encoded = BytesMut::new();
            encode(&header, &mut encoded);
            assert!(encoded.len() <= length, "our encoding is longer than this one");
            let encoded = encoded.freeze();
            assert_eq!(decode(&encoded), Ok(Some((header, encoded.len()))), "from {encoded:?}");
        }
        Ok(None) => assert!(input.len() <= MAX_HEADER, "waits for more bytes than a header may have"),
        Err(_) => {
            let more = Bytes::from([&input[..], b"more"].concat());
            assert!(decode(&more).is_err(), "more bytes have turned an error into a success");
        }
    }
}

/// Checks the body of a status.
pub fn status(input: &[u8]) {
    let (choice, body) = choice(input);
    let code = Code::from_u8(choice & 0x7f);
    let executed = choice & 0x80 != 0;
    let Ok(status) = proto::decode_status(code, executed, Bytes::copy_from_slice(body)) else { return };
    assert_eq!((status.code(), status.maybe_executed()), (code, executed));
    let again = proto::decode_status(code, executed, proto::encode_status(&status)).expect("just encoded");
    assert!(status.message().starts_with(again.message()));
    // A long message is cut between two characters of at most four bytes.
    let whole = status.message().len().min(proto::MAX_STATUS_MESSAGE);
    assert!(again.message().len() + 4 > whole);
    assert!(status.message().len() > proto::MAX_STATUS_MESSAGE || again.message() == status.message());
    assert_eq!(again.details(), status.details());
    assert_eq!(again.retry_after(), status.retry_after());
    let _ = (status.to_string(), format!("{status:?}"));
}

/// Checks a block of metadata.
pub fn metadata(input: &[u8]) {
    let Ok(metadata) = Metadata::decode(Bytes::copy_from_slice(input)) else { return };
    assert!(metadata.len() <= MAX_PAIRS);
    assert!(metadata.size() <= input.len());
    let mut encoded = BytesMut::new();
    metadata.encode(&mut encoded);
    assert!(encoded.len() <= input.len(), "our encoding is longer than this one");
    assert_eq!(Metadata::decode(encoded.freeze()), Ok(metadata.clone()));
    let mut inserted = Metadata::new();
    for (name, value) in metadata.iter() {
        assert!(metadata.get(name).is_some() && metadata.get_all(name).any(|known| known == value));
        match inserted.insert(name, value) {
            // `insert` bounds the bytes that this side sends. The header bounds those that arrive.
            Ok(()) | Err(crate::MetadataError::Size) => {}
            Err(error) => panic!("{name:?} was taken from the wire: {error}"),
        }
    }
    inserted.append(metadata);
    assert!(inserted.len() <= MAX_PAIRS);
}
