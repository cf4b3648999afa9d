//! Pieces of the wire format: frames that are written, and read as they arrive.

use std::{hint::black_box, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};

use super::Piece;
use crate::{
    Metadata,
    hash::method_id,
    proto::{
        ItemBuffer, LaneBuffer, LaneFrame, LaneInput, LaneKind, ReplyHeader, ReplyKind, RequestHeader,
        finish_item, start_item,
    },
    trace::Trace,
};

const BODY: &[u8] = &[7; 32];
/// The number of frames in a chunk that is read.
const TOGETHER: usize = 64;
const WHOLE: &str = "it was written whole";

/// The header of a call with a deadline and a trace.
fn request() -> RequestHeader {
    RequestHeader {
        method: method_id("bench.v1.Echo", "echo"),
        fingerprint: None,
        items: false,
        trace: Some(Trace::new()),
        remaining: Some(Duration::from_secs(30)),
        metadata: Metadata::new(),
        resume_after: 0,
        routing: None,
        body_length: BODY.len() as u64,
    }
}

fn reply() -> ReplyHeader {
    ReplyHeader::new(ReplyKind::Value, BODY.len())
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut buffer = BytesMut::new();
    encode(&mut buffer);
    buffer.freeze()
}

pub(super) fn pieces() -> Vec<Piece> {
    let (request, reply) = (request(), reply());
    let request_bytes = encoded(|buffer| request.encode(buffer));
    let reply_bytes = encoded(|buffer| reply.encode(buffer));
    vec![
        read_lane(&request),
        Piece::new("request/encode", move || {
            let mut buffer = BytesMut::with_capacity(128);
            black_box(&request).encode(&mut buffer);
            buffer.extend_from_slice(black_box(BODY));
            black_box(buffer.freeze());
        }),
        Piece::new("request/decode", move || {
            black_box(RequestHeader::decode(black_box(&request_bytes)).expect(WHOLE).expect(WHOLE));
        }),
        Piece::new("reply/encode", move || {
            let mut buffer = BytesMut::with_capacity(128);
            black_box(&reply).encode(&mut buffer);
            buffer.extend_from_slice(black_box(BODY));
            black_box(buffer.freeze());
        }),
        Piece::new("reply/decode", move || {
            black_box(ReplyHeader::decode(black_box(&reply_bytes)).expect(WHOLE).expect(WHOLE));
        }),
        write_items(),
        read_items(),
    ]
}

/// Reads a request from a lane. It is one of many in a chunk that was read from the socket earlier.
fn read_lane(request: &RequestHeader) -> Piece {
    let chunk = encoded(|buffer| {
        for id in 0..TOGETHER as u64 {
            LaneFrame { kind: LaneKind::Message, id }.encode(buffer);
            request.encode(buffer);
            buffer.put_slice(BODY);
        }
    });
    let mut arrived = LaneBuffer::default();
    Piece::new("lane/read", move || {
        let mut next = || arrived.next::<RequestHeader>().expect(WHOLE);
        let frame = next().unwrap_or_else(|| {
            arrived.add(chunk.clone());
            arrived.next().expect(WHOLE).expect(WHOLE)
        });
        let (_, LaneInput::Message(..)) = black_box(frame) else { unreachable!("requests were written") };
    })
}

/// Writes items into batches.
fn write_items() -> Piece {
    let mut batch = BytesMut::new();
    Piece::new("item/encode", move || {
        let at = start_item(&mut batch);
        batch.extend_from_slice(black_box(BODY));
        finish_item(&mut batch, at, 0);
        if batch.len() >= 16 << 10 {
            black_box(batch.split());
        }
    })
}

/// Reads items from chunks, and lends each to a decoder.
fn read_items() -> Piece {
    let chunk = encoded(|buffer| {
        for _ in 0..TOGETHER {
            let at = start_item(buffer);
            buffer.put_slice(BODY);
            finish_item(buffer, at, 0);
        }
    });
    let mut arrived = ItemBuffer::default();
    Piece::new("item/decode", move || {
        let mut take = |item: &[u8]| {
            black_box(item);
        };
        if !arrived.lend_short(usize::MAX, &mut take) {
            arrived.push(chunk.clone());
            assert!(arrived.lend_short(usize::MAX, &mut take), "{WHOLE}");
        }
    })
}
