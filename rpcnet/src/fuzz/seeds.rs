//! Inputs with which fuzzing starts: outputs of our own encoders, and inputs that have broken other decoders.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use rand::{SeedableRng, rngs::StdRng};

use super::typed::{Everything, Kind, List, Tree};
use crate::{
    Code, Hedge, Metadata, Status, Trace,
    codec::encode,
    proto::{
        self, ControlFrame, Ending, EndingKind, Hello, LaneFrame, LaneKind, MAX_LANE_MESSAGE, ReplyHeader,
        ReplyKind, RequestHeader, Routing, finish_item, start_item, varint,
    },
};

/// Returns the target, name and bytes of each seed. The result is the same in each run.
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |target, list: Vec<(&'static str, Vec<u8>)>| {
        seeds.extend(list.into_iter().map(|(name, bytes)| (target, name, bytes)));
    };
    add("request_header", request_headers());
    add("reply_header", reply_headers());
    add("status", statuses());
    add("metadata", blocks());
    add("item_frames", item_frames());
    add("lane_frames", lane_frames());
    add("control", control());
    add("typed_decode", typed());
    seeds
}

fn pairs(count: usize) -> Metadata {
    let mut metadata = Metadata::new();
    for index in 0..count {
        metadata.insert(format!("x-{index}"), "ß".repeat(index % 3)).expect("valid, and not too many");
    }
    metadata
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    write(&mut buffer);
    buffer.to_vec()
}

fn length(value: u64) -> Vec<u8> {
    written(|buffer| varint::put(buffer, value))
}

fn request_headers() -> Vec<(&'static str, Vec<u8>)> {
    let small = RequestHeader {
        method: 7,
        fingerprint: None,
        items: false,
        trace: None,
        remaining: None,
        metadata: Metadata::new(),
        resume_after: 0,
        routing: None,
        body_length: 0,
    };
    let full = RequestHeader {
        fingerprint: Some(u64::MAX),
        items: true,
        trace: Some(Trace::with_rng(&mut StdRng::seed_from_u64(1))),
        remaining: Some(Duration::from_secs(30)),
        metadata: pairs(3),
        resume_after: 1 << 20,
        body_length: varint::MAX,
        ..small.clone()
    };
    let many = RequestHeader { metadata: pairs(crate::metadata::MAX_PAIRS), ..small.clone() };
    let relayed = RequestHeader {
        routing: Some(Arc::new(Routing {
            idempotent: true,
            resumable: false,
            answers_items: true,
            priority: -1,
            service: Some(7),
            key: Some(9),
            hedge: Some(Hedge::After(Duration::from_millis(20))),
            selector: Some("zone=x,gpu".into()),
        })),
        ..full.clone()
    };
    let relayed = written(|buffer| relayed.encode(buffer));
    let small = written(|buffer| small.encode(buffer));
    let full = written(|buffer| full.encode(buffer));
    let head = |flags: u8| [&[proto::VERSION, flags][..], &[0; 9]].concat();
    vec![
        ("small", small.clone()),
        ("full", full.clone()),
        ("many_pairs", written(|buffer| many.encode(buffer))),
        ("with_a_body", [&small[..], b"body"].concat()),
        ("extension_cut_off", [&head(2)[..], b"\x05hello\x00"].concat()),
        ("extension", [&head(2)[..], b"\x07\x05\x05hello\x00"].concat()),
        ("relayed", relayed),
        ("later_minor", [&[proto::VERSION | 0xf], &full[1..]].concat()),
        ("other_major", [&[0x20], &full[1..]].concat()),
        ("all_flags", [&[proto::VERSION, 0xff], &full[2..]].concat()),
        ("block_too_long", [head(1), length(1 << 20)].concat()),
        ("block_of_all_there_is", [head(1), length(varint::MAX)].concat()),
        ("block_that_never_ends", [head(1), length(60_000)].concat()),
    ]
}

fn reply_headers() -> Vec<(&'static str, Vec<u8>)> {
    let of = |kind| ReplyHeader::new(kind, 5);
    let encoded = |header: ReplyHeader| written(|buffer| header.encode(buffer));
    let failed = |code, executed| ReplyKind::Status { code, executed };
    let full = ReplyHeader {
        load: Some(1 << 40),
        metadata: pairs(2),
        trailers: pairs(3),
        ..of(failed(Code::DataLoss, false))
    };
    let body = proto::encode_status(&Status::not_found("nothing")).to_vec();
    vec![
        ("value", encoded(of(ReplyKind::Value))),
        ("items", encoded(of(ReplyKind::Items))),
        ("application", encoded(of(ReplyKind::Application))),
        ("not_executed", encoded(of(failed(Code::Unavailable, false)))),
        ("full", encoded(full.clone())),
        ("with_a_status", [encoded(full), body].concat()),
        ("all_flags", vec![proto::VERSION, 0xff, 0, 1, 0, 0, 0, 0]),
        ("unknown_code", vec![proto::VERSION, 0, 0xff, 0]),
        ("items_that_fail", vec![proto::VERSION, 4, 13, 0]),
        ("trailers_too_long", [vec![proto::VERSION, 64, 0], length(1 << 20)].concat()),
    ]
}

fn statuses() -> Vec<(&'static str, Vec<u8>)> {
    let encoded = |choice: u8, status: Status| [&[choice], &proto::encode_status(&status)[..]].concat();
    let full =
        Status::resource_exhausted("full ß").with_retry_after(Duration::from_millis(20)).with_details("more");
    vec![
        ("empty", encoded(13, Status::internal(""))),
        ("full", encoded(8, full.clone())),
        ("executed", encoded(0x80 | 8, full)),
        ("no_text", [&[14][..], &[3, 0xff, 0xc0, 0x80, 0]].concat()),
        ("longest_wait", [&[14, 0][..], &length(varint::MAX)].concat()),
        ("message_too_long", [&[14][..], &length(varint::MAX), b"short"].concat()),
        ("no_wait", vec![14, 1, b'x']),
    ]
}

fn blocks() -> Vec<(&'static str, Vec<u8>)> {
    let encoded = |metadata: Metadata| written(|buffer| metadata.encode(buffer));
    vec![
        ("one", encoded(pairs(1))),
        ("some", encoded(pairs(5))),
        ("most", encoded(pairs(crate::metadata::MAX_PAIRS))),
        ("one_too_many", [encoded(pairs(crate::metadata::MAX_PAIRS)), vec![1, b'a', 0]].concat()),
        ("one_twice", b"\x01a\x011\x01a\x012".to_vec()),
        ("no_name", b"\x00\x01a".to_vec()),
        ("upper_case", b"\x01A\x01a".to_vec()),
        ("no_text", b"\x01a\x02\xff\xfe".to_vec()),
        ("no_value", b"\x01a".to_vec()),
        ("longer_form", b"\x40\x01a\x80\x00\x00\x01b".to_vec()),
        ("name_too_long", [length(257), vec![b'a'; 257], vec![0]].concat()),
        ("longest_length", length(varint::MAX)),
    ]
}

fn item_frames() -> Vec<(&'static str, Vec<u8>)> {
    fn item(buffer: &mut BytesMut, length: usize) {
        let at = start_item(buffer);
        buffer.resize(at + 3 + length, 7);
        finish_item(buffer, at, 0);
    }
    let ending = |kind, body| Ending { kind, trailers: pairs(2), body: Bytes::from_static(body) };
    let status = Ending {
        body: proto::encode_status(&Status::internal("broken")),
        ..ending(EndingKind::Status(Code::Internal), b"")
    };
    // A stream of items of up to 4 KiB, with the lengths between its cuts.
    let stream = |cuts: [u8; 4], write: &dyn Fn(&mut BytesMut)| {
        [&[12], &cuts[..], &written(|buffer| write(buffer))[..]].concat()
    };
    let three = |buffer: &mut BytesMut| [0, 5, 300].into_iter().for_each(|length| item(buffer, length));
    vec![
        ("in_one_piece", stream([255; 4], &three)),
        ("byte_by_byte", stream([0; 4], &three)),
        ("cut_in_headers", stream([0, 1, 2, 8], &three)),
        (
            "clean_end",
            stream([3, 0, 7, 1], &|buffer| {
                three(buffer);
                ending(EndingKind::Clean, b"").encode(buffer);
            }),
        ),
        (
            "application_error",
            stream([9; 4], &|buffer| ending(EndingKind::Application, b"why").encode(buffer)),
        ),
        ("status", stream([9; 4], &|buffer| status.encode(buffer))),
        (
            "behind_the_end",
            stream([9; 4], &|buffer| {
                status.encode(buffer);
                three(buffer);
            }),
        ),
        ("unknown_kind", stream([1; 4], &|buffer| buffer.extend_from_slice(b"\x7f\x03abc\x00\x01x"))),
        ("too_large", stream([1; 4], &|buffer| item(buffer, 4097))),
        ("largest", stream([255, 9, 9, 9], &|buffer| item(buffer, 4096))),
        (
            "claims_to_be_long",
            stream([2; 4], &|buffer| {
                buffer.extend_from_slice(&[&[0][..], &length(varint::MAX), b"x"].concat());
            }),
        ),
        ("empty_ending", stream([2; 4], &|buffer| buffer.extend_from_slice(&[1, 0, 3, 0]))),
        ("short_trailers", stream([2; 4], &|buffer| buffer.extend_from_slice(&[3, 3, 13, 9, 0]))),
    ]
}

fn lane_frames() -> Vec<(&'static str, Vec<u8>)> {
    let message = LaneFrame { kind: LaneKind::Message, id: 70 };
    let reply = |buffer: &mut BytesMut, length: usize| {
        message.encode(buffer);
        ReplyHeader::new(ReplyKind::Value, length).encode(buffer);
    };
    let request = |buffer: &mut BytesMut| {
        message.encode(buffer);
        let header = RequestHeader {
            method: 7,
            fingerprint: Some(1),
            items: false,
            trace: None,
            remaining: Some(Duration::from_secs(5)),
            metadata: pairs(2),
            resume_after: 0,
            routing: None,
            body_length: 4,
        };
        header.encode(buffer);
        buffer.extend_from_slice(b"body");
    };
    let stream = |choice: u8, cuts: [u8; 4], write: &dyn Fn(&mut BytesMut)| {
        [&[choice], &cuts[..], &written(|buffer| write(buffer))[..]].concat()
    };
    let short = |buffer: &mut BytesMut, kind| LaneFrame { kind, id: varint::MAX }.encode(buffer);
    vec![
        ("request", stream(0, [255; 4], &request)),
        ("byte_by_byte", stream(0, [0; 4], &request)),
        (
            "given_up",
            stream(0, [1, 2, 30, 4], &|buffer| {
                request(buffer);
                short(buffer, LaneKind::Cancel);
                request(buffer);
            }),
        ),
        (
            "replies",
            stream(1, [3, 40, 1, 7], &|buffer| {
                for length in [0, 5, 300] {
                    reply(buffer, length);
                    buffer.resize(buffer.len() + length, 7);
                }
                short(buffer, LaneKind::Refused);
            }),
        ),
        ("too_long", stream(1, [9; 4], &|buffer| reply(buffer, MAX_LANE_MESSAGE + 1))),
        ("body_cut_short", stream(1, [9; 4], &|buffer| reply(buffer, 9))),
        ("longest_length", stream(1, [9; 4], &|buffer| reply(buffer, varint::MAX as usize))),
        ("unknown_kind", stream(1, [2; 4], &|buffer| buffer.extend_from_slice(&[3, 1, 0]))),
    ]
}

fn control() -> Vec<(&'static str, Vec<u8>)> {
    let stream = |cuts: [u8; 4], frames: &[ControlFrame]| {
        [&cuts[..], &written(|buffer| frames.iter().for_each(|frame| frame.encode(buffer)))].concat()
    };
    let hello = ControlFrame::Hello(Hello::new(4 << 20, true));
    let schema = ControlFrame::Schema(vec![(1, 2), (u64::MAX, 0)]);
    vec![
        ("hello", stream([255; 4], std::slice::from_ref(&hello))),
        ("ping", stream([255; 4], &[ControlFrame::Ping])),
        ("go_away", stream([0; 4], &[hello.clone(), ControlFrame::GoAway])),
        ("rest", stream([0; 4], &[hello.clone(), ControlFrame::Rest])),
        ("schema", stream([0, 3, 7, 1], &[hello.clone(), schema.clone(), schema])),
        ("schema_of_nothing", stream([1; 4], &[ControlFrame::Schema(Vec::new())])),
        ("schema_cut_short", b"\x00\x00\x00\x00\x03\x11aaaaaaaabbbbbbbbc".to_vec()),
        ("unknown_kind", b"\x00\x01\x00\x01\x7f\x03abc\x01\x00".to_vec()),
        ("empty_hello", b"\x00\x00\x00\x00\x00\x00".to_vec()),
        ("hello_of_another_major", b"\x00\x00\x00\x00\x00\x02\x20\x05".to_vec()),
        ("hello_with_more", b"\x00\x00\x00\x00\x00\x04\x11\x05ab".to_vec()),
        ("too_long", [&[0; 4][..], &[3], &length(16 << 10 | 1), b"x"].concat()),
        ("longest_length", [&[0; 4][..], &[0], &length(varint::MAX)].concat()),
    ]
}

fn typed() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |choice: u8, frame: &[u8]| [&[choice], frame].concat();
    let of = |value: u64| encode(&value).expect("a number");
    let list = || List::Cons(Box::new(List::Cons(Box::new(List::Nil))));
    let kinds = || {
        vec![
            Kind::Unit,
            Kind::Newtype(1 << 40),
            Kind::Tuple(7, "ß".into()),
            Kind::Struct { x: -1, list: list() },
        ]
    };
    let everything = encode(&Everything {
        kinds: kinds(),
        numbers: (-1, 300, i32::MIN, u64::MAX, i128::MIN),
        floats: (f32::NAN, -0.0),
        text: ('ß', "text".into(), "more".into()),
        bytes: Bytes::from_static(b"bytes"),
        maybe: Some(None),
        map: [("one".into(), vec![1]), ("none".into(), Vec::new())].into(),
        set: [-1, 1].into(),
        queue: [Ok(1), Err(())].into(),
        address: Some(([127, 0, 0, 1], 80).into()),
        duration: Duration::new(1, 999_999_999),
        array: *b"four",
    })
    .expect("it can be encoded");
    let leaf = || Tree { children: Vec::new() };
    let tree = Tree { children: vec![leaf(), Tree { children: vec![leaf()] }] };
    let tree = encode(&tree).expect("it can be encoded");
    vec![
        ("everything", frame(0, &everything)),
        ("list", frame(1, &encode(&list()).expect("it can be encoded"))),
        ("deep_list", frame(1, &[0; 200])),
        ("tree", frame(2, &tree)),
        ("deep_tree", frame(2, &[1; 200])),
        ("wide_tree", frame(2, &of(60_000).repeat(50))),
        ("deep_names", frame(3, &b"\x01\x01a\x01".repeat(50))),
        ("units", frame(4, &of(60_000))),
        ("units_without_end", frame(4, &of(u64::MAX))),
        ("units_of_units", frame(5, &[&of(9)[..], &of(9), &of(9_000)].concat())),
        ("wide", frame(6, &[&[200], &[0; 200][..]].concat())),
        ("boxed_wide", frame(7, &[&[200], &[1, 0].repeat(200)[..]].concat())),
        ("skipped", frame(8, &of(60_000))),
        ("kinds", frame(9, &encode(&kinds()).expect("it can be encoded"))),
        ("unknown_variant", frame(9, b"\x01\x09")),
        ("primitives", frame(10, b"\x01a\x02\x01\xfb\x00\x01\x01\xc3\x9f\x01\xfe0123456789abcdef")),
        ("longer_forms", frame(10, b"\xfd\x01\x00\x00\x00\x00\x00\x00\x00a\x00\x00\x02")),
        ("no_text", frame(11, b"\x01\x01\x02\xff\xfe")),
        ("maps", frame(12, b"\x01\x01a\x02\x01\x01")),
        ("one_key_again_and_again", frame(12, &[&[20], &b"\x01a\x00".repeat(20)[..]].concat())),
        ("keys_of_nothing", frame(13, &[&of(100)[..], &b"\x01\x00".repeat(100)].concat())),
        ("bytes", frame(14, b"\x05bytes")),
        ("bytes_missing", frame(14, &of(1 << 40))),
        ("vec_of_bytes", frame(16, b"\x02\x01a\x03abc")),
        ("arguments", frame(17, &[b"\x01a\x02bc", &tree[..], b"\x00"].concat())),
        ("more_arguments", frame(18, &[b"\x01a", &everything[..]].concat())),
        ("none", frame(19, b"")),
        ("left_over", frame(19, b"x")),
    ]
}
