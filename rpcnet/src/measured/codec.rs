//! Pieces of the codec: values to bytes and back.

use std::hint::black_box;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Piece;
use crate::codec::{Arguments, decode, encode};

/// A typical argument of a method: numbers, text, an option, a list.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u64,
    customer: String,
    note: Option<String>,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    article: u32,
    quantity: i32,
    price: f64,
}

fn order() -> Order {
    let line = |article| Line { article, quantity: 3, price: 9.5 };
    Order {
        number: 1 << 40,
        customer: "somebody".into(),
        note: Some("to be left at the door".into()),
        lines: (0..8).map(line).collect(),
    }
}

pub(super) fn pieces() -> Vec<Piece> {
    const ENCODED: &str = "what is plain data can be encoded, and is decoded again";
    let order = order();
    let frame = encode(&order).expect(ENCODED);
    let payload = (Bytes::from_static(&[7; 32]),);
    let arguments = payload.encode().expect(ENCODED).into_bytes();
    vec![
        Piece::new("codec/encode", move || {
            black_box(encode(black_box(&order)).expect(ENCODED));
        }),
        Piece::new("codec/decode", move || {
            black_box(decode::<Order>(black_box(&frame)).expect(ENCODED));
        }),
        Piece::new("codec/encode-32B", move || {
            black_box(black_box(&payload).encode().expect(ENCODED));
        }),
        Piece::new("codec/decode-32B", move || {
            black_box(<(Bytes,)>::decode(black_box(&arguments)).expect(ENCODED));
        }),
    ]
}
