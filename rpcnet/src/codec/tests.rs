//! The form of values, and that every frame is taken or refused.

mod limits;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    marker::PhantomData,
    net::IpAddr,
    time::Duration,
};

use proptest::prelude::*;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::{
    error::Reason,
    limited::{DEPTH, FREE_ELEMENTS, FREE_MEMORY},
    value::LARGE,
    *,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum List {
    Cons(Box<List>),
    Nil,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

/// Has no end, and no bytes either.
#[derive(Debug, Serialize, Deserialize)]
struct Endless(Box<Endless>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree {
    children: Vec<Tree>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    names: BTreeMap<String, Named>,
}

/// A kibibyte in memory where the frame may have a byte.
#[expect(clippy::large_enum_variant, reason = "it is what is tested")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Wide {
    None,
    All([[u64; 16]; 8]),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct WideChain {
    wide: [[u64; 16]; 32],
    next: Option<Box<WideChain>>,
}

#[expect(clippy::large_enum_variant, reason = "it is what is tested")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum WideTree {
    Node { first: [u64; 16], second: [u64; 16], third: [u64; 16], fourth: [u64; 16], next: Box<WideTree> },
    Other { first: [u64; 16], second: [u64; 16], next: Box<WideTree> },
}

fn reason<T: DeserializeOwned>(frame: &[u8]) -> Reason {
    match decode::<T>(frame) {
        Ok(_) => panic!("it was decoded"),
        Err(error) => error.reason().clone(),
    }
}

fn length(length: u64) -> Vec<u8> {
    encode(&length).expect("encodes").to_vec()
}

#[test]
fn left_over_bytes_are_an_error() {
    let frame = encode(&(1u8, 2u8)).expect("encodes");
    assert_eq!(reason::<u8>(&frame), Reason::LeftOver { count: 1 });
    assert!(decode::<u8>(&frame).expect_err("one byte too many").to_string().contains("left over"));
    assert!(decode_value::<u8>(&frame).is_err());
    assert!(<(u8,)>::decode(&frame).is_err());
    assert!(<()>::decode(&frame).is_err());
}

#[test]
fn what_is_said_of_a_value_is_short() {
    #[derive(Debug)]
    struct Refusing;

    impl<'de> Deserialize<'de> for Refusing {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format_args!("not a good one: {text}")))
        }
    }

    let frame = encode(&"ä".repeat(100_000)).expect("encodes");
    let message = decode::<Refusing>(&frame).expect_err("always").to_string();
    assert!(message.starts_with("not a good one: ää") && message.ends_with('…'));
    assert!(message.len() < 300);
}

#[test]
fn what_does_not_fit_is_an_error_that_leaves_the_buffer() {
    #[derive(Serialize)]
    struct Unknown(String, Never);

    struct Never;

    impl Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }

    let mut buffer = BytesMut::from("before");
    let error = encode_item(&Unknown("text".into(), Never), &mut buffer).expect_err("never");
    assert_eq!(error.to_string(), "never");
    assert_eq!(buffer, "before");
}

#[test]
fn large_bytes_are_not_copied() {
    let large = Bytes::from(vec![7; LARGE]);
    let body = Arguments::encode(&(1u8, large.clone(), "text".to_owned())).expect("encodes");
    assert_eq!(body.chunks().len(), 3);
    assert_eq!(body.chunks()[1].as_ptr(), large.as_ptr());

    let frame = body.into_bytes();
    assert_eq!(frame, encode(&(1u8, large.clone(), "text")).expect("encodes"));
    let (_, decoded, _) = <(u8, Bytes, String)>::decode(&frame).expect("decodes");
    assert_eq!(decoded, large);
    assert!(frame.as_ptr_range().contains(&decoded.as_ptr()));

    let value = encode_value(&large).expect("encodes");
    assert_eq!(value.chunks()[1].as_ptr(), large.as_ptr());
    let frame = value.into_bytes();
    let decoded = decode_value::<Bytes>(&frame).expect("decodes");
    assert!(frame.as_ptr_range().contains(&decoded.as_ptr()));
}

#[test]
fn small_parts_do_not_keep_a_frame() {
    let arguments = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; LARGE]), vec![3u8; 1 << 20]);
    let frame = arguments.encode().expect("encodes").into_bytes();
    let decoded = <(Bytes, Bytes, Vec<u8>)>::decode(&frame).expect("decodes");
    assert_eq!(decoded, arguments);
    assert!(!frame.as_ptr_range().contains(&decoded.0.as_ptr()));
    assert!(!frame.as_ptr_range().contains(&decoded.1.as_ptr()));
}

#[test]
fn an_item_leaves_its_large_bytes_behind_the_buffer() {
    let large = Bytes::from(vec![7; LARGE]);
    let mut buffer = BytesMut::new();
    assert!(encode_item(&5u8, &mut buffer).expect("encodes").is_none());
    assert!(encode_item(&Bytes::from_static(b"small"), &mut buffer).expect("encodes").is_none());
    let rest = encode_item(&large, &mut buffer).expect("encodes").expect("is large");
    assert_eq!(rest.as_ptr(), large.as_ptr());
    buffer.extend_from_slice(&rest);
    assert_eq!(buffer.freeze(), encode(&(5u8, "small", large)).expect("encodes"));
}

#[test]
fn tuples_of_all_lengths_are_as_serde_has_them() {
    assert!(Arguments::encode(&()).expect("encodes").is_empty());
    let arguments = (1u8, 2u16, 3u32, 4u64, 5i8, -6i64, 'a', true, 1.5f32, 2.5f64, (), 300u128);
    assert_eq!(arguments.encode().expect("encodes").into_bytes(), encode(&arguments).expect("encodes"));
    type Many = (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8);
    let many: Many = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let frame = Arguments::encode(&many).expect("encodes").into_bytes();
    assert_eq!(frame.len(), 16);
    assert_eq!(Many::decode(&frame).expect("decodes").15, 15);
}

#[test]
fn types_that_describe_themselves_are_refused_clearly() {
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        _A(()),
    }
    assert!(decode::<Untagged>(&[]).expect_err("untagged").to_string().contains("not supported"));
}

/// Something of everything that serde knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    numbers: (u8, u16, u32, u64, u128, i8, i16, i32, i64, i128),
    floats: (f32, f64),
    text: String,
    letter: char,
    yes: bool,
    bytes: Bytes,
    maybe: Option<Option<u64>>,
    map: BTreeMap<String, Vec<u16>>,
    kinds: Vec<Kind>,
    unit: (),
    marker: Marker,
    wrapped: Wrapped,
    array: [u8; 4],
    address: IpAddr,
    duration: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapped(u32);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(u64),
    Tuple(u8, String),
    Struct { x: i64, list: List },
}

prop_compose! {
    fn everything()(
        numbers: (u8, u16, u32, u64, u128, i8, i16, i32, i64, i128),
        // Not NaN, which is not equal to itself.
        floats in (-1e30f32..1e30, -1e300..1e300),
        text: String,
        letter: char,
        (yes, bytes) in any::<(bool, Vec<u8>)>(),
        maybe: Option<Option<u64>>,
        map: BTreeMap<String, Vec<u16>>,
        kinds: Vec<(u8, u64, String)>,
        (array, address, wrapped) in any::<([u8; 4], IpAddr, u32)>(),
        nanos: u64,
    ) -> Everything {
        let kinds = kinds.into_iter().map(|(kind, number, text)| match kind % 4 {
            0 => Kind::Unit,
            1 => Kind::Newtype(number),
            2 => Kind::Tuple(kind, text),
            _ => Kind::Struct { x: number as i64, list: List::Cons(Box::new(List::Nil)) },
        });
        Everything {
            numbers, floats, text, letter, yes, bytes: bytes.into(), maybe, map, kinds: kinds.collect(),
            unit: (), marker: Marker, wrapped: Wrapped(wrapped), array, address,
            duration: Duration::from_nanos(nanos),
        }
    }
}

/// Decodes a whole frame with bincode's own deserializer.
fn by_bincode<T: DeserializeOwned>(frame: &[u8]) -> Option<T> {
    match bincode::serde::decode_from_slice::<T, _>(frame, CONFIGURATION.with_limit::<{ 1 << 30 }>()) {
        Ok((value, read)) if read == frame.len() => Some(value),
        _ => None,
    }
}

fn agrees<T: DeserializeOwned + PartialEq + fmt::Debug>(frame: &[u8]) {
    assert_eq!(decode::<T>(frame).ok(), by_bincode(frame), "{frame:?}");
}

proptest! {
    #[test]
    fn the_form_is_bincodes(value in everything()) {
        let frame = encode(&value).expect("encodes");
        prop_assert_eq!(&frame[..], bincode::serde::encode_to_vec(&value, CONFIGURATION).expect("encodes"));
        prop_assert_eq!(decode::<Everything>(&frame).expect("decodes"), value.clone());
        prop_assert_eq!(encode_value(&value).expect("encodes").into_bytes(), frame.clone());
        prop_assert_eq!(decode_copied::<Everything>(&frame).expect("decodes"), value.clone());
        prop_assert_eq!(decode_value::<Everything>(&frame).expect("decodes"), value);
    }

    #[test]
    fn cut_frames_are_refused(value in everything(), cut: prop::sample::Index) {
        let frame = encode(&value).expect("encodes");
        prop_assert!(decode::<Everything>(&frame[..cut.index(frame.len())]).is_err());
    }

    #[test]
    fn bytes_are_the_same_in_each_form(bytes: Vec<u8>, text: String, large: bool) {
        let bytes = if large { vec![5; LARGE + bytes.len()] } else { bytes };
        let shared = Bytes::from(bytes.clone());
        let frame = encode(&(&bytes, &text, &shared)).expect("encodes");
        let one = (bytes.clone(), text.clone(), shared.clone()).encode().expect("encodes").into_bytes();
        let other = (shared.clone(), text.clone(), bytes.clone()).encode().expect("encodes").into_bytes();
        prop_assert_eq!(&one, &frame);
        prop_assert_eq!(&other, &frame);
        prop_assert_eq!(
            <(Bytes, String, Vec<u8>)>::decode(&frame).expect("decodes"),
            (shared, text.clone(), bytes.clone())
        );
        prop_assert_eq!(decode::<(Vec<u8>, String, Vec<u8>)>(&frame).expect("decodes"), (bytes.clone(), text, bytes));
    }

    #[test]
    fn random_bytes_are_taken_as_bincode_takes_them(frame in prop::collection::vec(any::<u8>(), 0..64)) {
        agrees::<(String, Vec<u64>, Option<u8>)>(&frame);
        agrees::<BTreeMap<String, Vec<u8>>>(&frame);
        agrees::<Vec<Kind>>(&frame);
        agrees::<Chain>(&frame);
        agrees::<(char, bool, i16, u128)>(&frame);
    }

    /// Small numbers make valid lengths, variants and options, and so get further.
    #[test]
    fn small_random_bytes_are_taken_as_bincode_takes_them(frame in prop::collection::vec(0u8..5, 0..256)) {
        agrees::<Vec<Kind>>(&frame);
        agrees::<Vec<Option<(u8, Vec<Wide>)>>>(&frame);
        agrees::<BTreeMap<u8, Option<Vec<Kind>>>>(&frame);
    }

    #[test]
    fn random_bytes_do_no_harm(frame in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4096),
        prop::collection::vec(0u8..3, 0..4096),
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(250), Just(253), Just(255)], 0..4096),
    ]) {
        let _ = decode::<Everything>(&frame);
        let _ = decode::<Tree>(&frame);
        let _ = decode::<Named>(&frame);
        let _ = decode::<List>(&frame);
        let _ = decode::<Vec<Vec<Vec<()>>>>(&frame);
        let _ = decode::<HashMap<(), Vec<Wide>>>(&frame);
        let frame = Bytes::from(frame);
        let _ = <(Bytes, Vec<u8>, Tree, Bytes)>::decode(&frame);
        let _ = decode_value::<Vec<Bytes>>(&frame);
    }
}
