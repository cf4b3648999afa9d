//! Checks of types that can demand much memory or depth for a small frame.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::choice;
use crate::codec::{Arguments, decode, decode_value, encode, encode_value};

/// Nests one level deeper with each byte.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum List {
    Cons(Box<List>),
    Nil,
}

/// Each level can claim to have many children.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Tree {
    pub(super) children: Vec<Tree>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Names(BTreeMap<String, Option<Names>>);

/// Takes a kibibyte of memory for one byte of the frame.
#[expect(clippy::large_enum_variant, reason = "the large variant is the test")]
#[derive(Debug, Serialize, Deserialize)]
enum Wide {
    None,
    All([[u64; 16]; 8]),
}

/// Takes a kibibyte of memory for no byte of the frame.
#[derive(Debug, Serialize, Deserialize)]
struct Skipped {
    #[expect(dead_code, reason = "the field only takes memory")]
    #[serde(skip, default = "zeros")]
    filler: [u64; 128],
}

fn zeros() -> [u64; 128] {
    [0; 128]
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    Unit,
    Newtype(u64),
    Tuple(u8, String),
    Struct { x: i64, list: List },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Everything {
    pub(super) kinds: Vec<Kind>,
    pub(super) numbers: (i8, u16, i32, u64, i128),
    pub(super) floats: (f32, f64),
    pub(super) text: (char, String, Box<str>),
    pub(super) bytes: Bytes,
    pub(super) maybe: Option<Option<bool>>,
    pub(super) map: BTreeMap<String, Vec<u16>>,
    pub(super) set: BTreeSet<i32>,
    pub(super) queue: VecDeque<Result<u8, ()>>,
    pub(super) address: Option<SocketAddr>,
    pub(super) duration: Duration,
    pub(super) array: [u8; 4],
}

/// Decodes a value of one of several types. The first byte selects the type.
pub fn typed_decode(input: &[u8]) {
    let (choice, frame) = choice(input);
    match choice % 20 {
        0 => round_trip::<Everything>(frame),
        1 => round_trip::<List>(frame),
        2 => round_trip::<Tree>(frame),
        3 => round_trip::<Names>(frame),
        4 => round_trip::<Vec<()>>(frame),
        5 => round_trip::<Vec<Vec<Vec<()>>>>(frame),
        6 => round_trip::<Vec<Wide>>(frame),
        7 => round_trip::<Vec<Box<Option<Wide>>>>(frame),
        8 => round_trip::<Vec<Box<Skipped>>>(frame),
        9 => round_trip::<Vec<Kind>>(frame),
        10 => round_trip::<(String, Vec<u64>, Option<char>, bool, u128)>(frame),
        11 => round_trip::<Vec<Vec<String>>>(frame),
        12 => drop(decode::<HashMap<String, HashMap<u8, ()>>>(frame)),
        13 => drop(decode::<HashMap<(), Vec<Wide>>>(frame)),
        14 => value_round_trip::<Bytes>(frame),
        15 => value_round_trip::<Vec<u8>>(frame),
        16 => value_round_trip::<Vec<Bytes>>(frame),
        17 => arguments::<(Bytes, Vec<u8>, Tree, Bytes)>(frame),
        18 => arguments::<(String, Everything)>(frame),
        _ => arguments::<()>(frame),
    }
}

fn round_trip<T: Serialize + DeserializeOwned>(frame: &[u8]) {
    check(frame, |frame| decode::<T>(frame).ok(), |value| encode(value).expect("it was decoded"));
}

fn value_round_trip<T: Serialize + DeserializeOwned + 'static>(frame: &[u8]) {
    check(
        frame,
        |frame| decode_value::<T>(frame).ok(),
        |value| encode_value(value).expect("it was decoded").into_bytes(),
    );
}

fn arguments<T: Arguments>(frame: &[u8]) {
    check(
        frame,
        |frame| T::decode(frame).ok(),
        |value| value.encode().expect("they were decoded").into_bytes(),
    );
}

/// Compares encodings, as a value need not equal itself (a NaN does not).
fn check<T>(frame: &[u8], decode: impl Fn(&Bytes) -> Option<T>, encode: impl Fn(&T) -> Bytes) {
    let frame = Bytes::copy_from_slice(frame);
    let Some(value) = decode(&frame) else { return };
    let encoded = encode(&value);
    drop(value);
    assert!(encoded.len() <= frame.len(), "our encoding is longer than this one");
    match decode(&encoded) {
        Some(again) => assert_eq!(encode(&again), encoded),
        // The bounds depend on the frame's length, so a longer form may be accepted where a shorter one is not.
        None => assert!(encoded.len() < frame.len(), "{encoded:?} is refused"),
    }
}
