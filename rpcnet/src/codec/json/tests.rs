use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::codec::{self, Arguments};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    number: u64,
    text: String,
    mark: Option<Mark>,
    more: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Mark {
    Plain,
    Name(String),
    Area { from: i32, to: (u8, char) },
}

fn message<T: fmt::Debug>(result: Result<T, JsonError>) -> String {
    result.expect_err("it is refused").to_string()
}

#[test]
fn errors_say_where_and_what() {
    let read = |text| message(read::<Line>(text));
    assert_eq!(
        read(r#"{"number": "7", "text": "", "mark": null, "more": []}"#),
        r#"invalid type: string "7", expected u64 at line 1 column 14"#
    );
    assert_eq!(read(r#"{"number": 7}"#), "missing field `text` at line 1 column 13");
    assert_eq!(read("[1,\n2"), "EOF while parsing a list at line 2 column 1");
    assert!(read("{} {}").starts_with("trailing characters at line 1"));
    assert_eq!(
        message(super::read::<Mark>(r#""Plane""#)),
        "unknown variant `Plane`, expected one of `Plain`, `Name`, `Area` at line 1 column 7"
    );
}

#[test]
fn arguments_are_counted() {
    type Two = (u64, String);
    assert_eq!(Two::from_json(r#" [1, "two"] "#).expect("as it should be"), (1, "two".to_owned()));
    assert_eq!(message(Two::from_json("[1]")), "2 arguments are expected, not 1");
    assert_eq!(message(Two::from_json(r#"[1, "two", {"three": [4]}]"#)), "2 arguments are expected, not 3");
    assert!(matches!(Two::from_json(r#"{"0": 1}"#), Err(JsonError::NoArray)));
    <()>::from_json("[]").expect("none are none");
    assert_eq!(message(<()>::from_json("[null]")), "0 arguments are expected, not 1");
    assert!(matches!(<()>::from_json("null"), Err(JsonError::NoArray)));
    assert_eq!(<(Vec<u8>,)>::from_json("[[1,2,255]]").expect("bytes are numbers"), (vec![1, 2, 255],));
}

#[test]
fn large_values_are_counted_before_they_are_read() {
    // Five bytes each, and nearly a hundred in memory.
    type Large = Vec<Option<[u64; 10]>>;
    let text = |count| format!("[{}]", vec!["null"; count].join(","));
    assert_eq!(read::<Large>(&text(VALUES - 1)).expect("as many as may be").len(), VALUES - 1);
    assert!(message(read::<Large>(&text(VALUES))).starts_with("more than 65536 values at line 1"));
    let bytes = format!("[{}0]", "0,".repeat(1 << 20));
    assert_eq!(read::<Vec<u8>>(&bytes).expect("numbers are not counted").len(), (1 << 20) + 1);
}

#[test]
fn depth_is_bounded() {
    let deep = "[".repeat(100_000);
    assert!(message(read::<IgnoredAny>(&deep)).starts_with("recursion limit exceeded"));
    // Each line is two levels.
    let lines = |count| {
        let (open, close) = (r#"{"number":1,"text":"","mark":null,"more":["#, "]}");
        format!("{}{}", open.repeat(count), close.repeat(count))
    };
    read::<Line>(&lines(63)).expect("as deep as may be");
    assert!(message(read::<Line>(&lines(64))).starts_with("recursion limit exceeded"));
}

#[test]
fn a_long_text_is_cut_out_of_the_message() {
    let long = message(read::<u64>(&format!("{:?}", "x".repeat(100_000))));
    assert!(long.len() < 400 && long.ends_with("… at line 1 column 100002"), "{long}");
}

#[test]
fn what_has_no_json_says_so() {
    let keys: BTreeMap<(u8, u8), u8> = BTreeMap::from([((1, 2), 3)]);
    let frame = codec::encode_value(&keys).expect("encodes").into_bytes();
    assert_eq!(message(transcode::<BTreeMap<(u8, u8), u8>>(&frame, 1000)), "key must be a string");
    assert!(matches!(transcode::<String>(&frame, 1000), Err(JsonError::Codec(_))));
}

#[test]
fn json_is_bounded() {
    let frame = codec::encode_value(&vec![200u8; 100]).expect("encodes").into_bytes();
    assert_eq!(transcode::<Vec<u8>>(&frame, 401).expect("fits").len(), 401);
    assert!(matches!(transcode::<Vec<u8>>(&frame, 400), Err(JsonError::TooLong(400))));
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        Just(Mark::Plain),
        any::<String>().prop_map(Mark::Name),
        any::<(i32, (u8, char))>().prop_map(|(from, to)| Mark::Area { from, to }),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let leaf = (any::<u64>(), any::<String>(), proptest::option::of(mark()))
        .prop_map(|(number, text, mark)| Line { number, text, mark, more: Vec::new() });
    leaf.prop_recursive(4, 16, 4, |inner| {
        (proptest::collection::vec(inner, 0..4), any::<u64>()).prop_map(|(more, number)| Line {
            number,
            text: String::new(),
            mark: None,
            more,
        })
    })
}

proptest! {
    #[test]
    fn values_come_back_through_both_forms(line in line()) {
        let frame = codec::encode_value(&line).expect("encodes").into_bytes();
        let text = transcode::<Line>(&frame, 1 << 20).expect("has a form in JSON");
        prop_assert_eq!(&read::<Line>(&text).expect("reads what it wrote"), &line);
        let mut buffer = BytesMut::new();
        prop_assert!(read_item::<Line>(&text, &mut buffer).expect("encodes").is_none());
        prop_assert_eq!(buffer.freeze(), frame);
    }

    #[test]
    fn any_text_is_read_or_refused(text in r#"[\[\]{},:"a0-9.enull\\ -]{0,64}"#) {
        let _ = read::<Line>(&text);
        let _ = <(Line, u8)>::from_json(&text);
        let _ = <()>::from_json(&text);
    }
}
