//! The shapes of types, and what must not be possible with one.

#![expect(dead_code, reason = "types that are never made in earnest")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};

use super::*;

fn text<T: DeserializeOwned>() -> String {
    let shape = shape::<T>();
    shape.text().to_owned()
}

macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Deserialize)]
        $item
    )*};
}

types! {
    struct Line { number: u32, text: String }
    struct Counts { words: u64, lines: Vec<Line>, longest: Option<Line> }
    enum Kind { Unit, Newtype(u64), Tuple(u8, String), Struct { x: i64, inner: Inner } }
    enum Inner { A, B(bool), C(char) }
    struct Wrapper<T> { inner: T }
    struct Both { one: Wrapper<u8>, other: Wrapper<String>, again: Wrapper<u8> }
    enum List { Cons(u8, Box<List>), Nil }
    enum Backwards { Nil, Cons(Box<Backwards>, u8) }
    struct Node { left: Option<Box<Node>>, right: Option<Box<Node>>, value: f64 }
    struct Forest { trees: Vec<Forest>, names: HashMap<String, Forest>, end: u8 }
    enum Json { Null, Bool(bool), Number(f64), Text(String), Array(Vec<Json>), Object(BTreeMap<String, Json>) }
    struct Unit;
    struct Metres(f64);
    struct Pair(u8, u16);
    struct Endless(Box<Endless>);
    struct Refusing { before: u8, refuses: Never, behind: u64 }
    struct Around { optional: Option<Never>, all: Vec<Refusing>, behind: u64 }
    enum Choices { Good(u8), Bad(Never), Last { x: Inner } }
    struct Panics { first: Panicking, second: u8 }
}

/// Refuses everything.
struct Never;

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("never"))
    }
}

struct Panicking;

impl<'de> Deserialize<'de> for Panicking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        panic!("{:?}", String::deserialize(deserializer).map_err(|error| error.to_string()))
    }
}

/// Takes one kind of text only.
struct Parsed;

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        assert!(!deserializer.is_human_readable());
        let text = String::deserialize(deserializer)?;
        text.parse::<IpAddr>().map(|_| Self).map_err(de::Error::custom)
    }
}

/// Sixteen bytes and no others, as UUIDs are.
struct Sixteen;

impl<'de> Deserialize<'de> for Sixteen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        if bytes.len() == 16 { Ok(Self) } else { Err(de::Error::invalid_length(bytes.len(), &"sixteen")) }
    }
}

/// At least two elements.
struct Several;

impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let elements = Vec::<Inner>::deserialize(deserializer)?;
        if elements.len() > 1 { Ok(Self) } else { Err(de::Error::custom("too few")) }
    }
}

#[test]
fn primitives_and_collections() {
    assert_eq!(text::<u8>(), "u8");
    assert_eq!(text::<usize>(), "u64");
    assert_eq!(text::<()>(), "()");
    assert_eq!(text::<(u8, i128, f32, bool, char)>(), "(u8,i128,f32,bool,char)");
    assert_eq!(text::<(String,)>(), "(string)");
    assert_eq!(text::<NonZeroU32>(), "u32");
    assert_eq!(text::<Option<Option<String>>>(), "Option<Option<string>>");
    assert_eq!(text::<HashMap<String, Vec<u64>>>(), "Map<string,Vec<u64>>");
    assert_eq!(text::<Vec<u8>>(), "bytes");
    assert_eq!(text::<Bytes>(), "bytes");
    assert_eq!(text::<[u8; 16]>(), "[u8;16]");
    assert_eq!(text::<PhantomData<u8>>(), "struct PhantomData");
}

#[test]
fn types_of_std() {
    assert_eq!(text::<Duration>(), "struct Duration{secs:u64,nanos:u32}");
    assert_eq!(text::<SystemTime>(), "struct SystemTime{secs_since_epoch:u64,nanos_since_epoch:u32}");
    assert_eq!(text::<IpAddr>(), "enum IpAddr{V4([u8;4]),V6([u8;16])}");
    assert_eq!(text::<SocketAddr>(), "enum SocketAddr{V4(([u8;4],u16)),V6(([u8;16],u16))}");
    assert_eq!(text::<Result<u8, String>>(), "enum Result{Ok(u8),Err(string)}");
}

#[test]
fn structs_are_described_once() {
    assert_eq!(
        text::<Counts>(),
        "struct Counts{words:u64,lines:Vec<struct Line{number:u32,text:string}>,longest:Option<Line>}"
    );
    assert_eq!(text::<(Unit, Metres, Pair)>(), "(struct Unit,struct Metres(f64),struct Pair(u8,u16))");
}

#[test]
fn all_variants_are_seen() {
    let kind =
        "enum Kind{Unit,Newtype(u64),Tuple(u8,string),Struct{x:i64,inner:enum Inner{A,B(bool),C(char)}}}";
    assert_eq!(text::<Kind>(), kind);
    assert_eq!(text::<Vec<Kind>>(), format!("Vec<{kind}>"));
    assert_eq!(text::<Option<(u8, Kind)>>(), format!("Option<(u8,{kind})>"));
    assert_eq!(text::<HashMap<u8, Kind>>(), format!("Map<u8,{kind}>"));
}

#[test]
fn instances_of_a_generic_type_have_numbers() {
    assert_eq!(
        text::<Both>(),
        "struct Both{one:struct Wrapper{inner:u8},other:struct Wrapper#2{inner:string},again:Wrapper}"
    );
}

#[test]
fn recursive_types_end_at_their_name() {
    assert_eq!(text::<List>(), "enum List{Cons(u8,List),Nil}");
    assert_eq!(text::<Backwards>(), "enum Backwards{Nil,Cons(Backwards,u8)}");
    assert_eq!(text::<Node>(), "struct Node{left:Option<Node>,right:Option<Node>,value:f64}");
    assert_eq!(text::<Forest>(), "struct Forest{trees:Vec<Forest>,names:Map<string,Forest>,end:u8}");
    assert_eq!(
        text::<Json>(),
        "enum Json{Null,Bool(bool),Number(f64),Text(string),Array(Vec<Json>),Object(Map<string,Json>)}"
    );
    assert_eq!(text::<Endless>(), "struct Endless(Endless)");
}

#[test]
fn what_refuses_is_unknown_and_the_rest_is_not() {
    assert_eq!(text::<Never>(), "?");
    assert_eq!(text::<Refusing>(), "struct Refusing{before:u8,refuses:?,behind:?}");
    assert_eq!(
        text::<Around>(),
        "struct Around{optional:Option<?>,all:Vec<struct Refusing{before:u8,refuses:?,behind:?}>,behind:u64}"
    );
    assert_eq!(text::<Choices>(), "enum Choices{Good(u8),Bad(?),Last{x:enum Inner{A,B(bool),C(char)}}}");
}

#[test]
fn what_is_particular_gets_other_values() {
    assert_eq!(text::<(Parsed, u8)>(), "(string,u8)");
    assert_eq!(text::<(Sixteen, Parsed, u8)>(), "(bytes,string,u8)");
    assert_eq!(text::<(Several, u8)>(), "(Vec<enum Inner{A,B(bool),C(char)}>,u8)");
}

#[test]
fn a_panic_is_a_refusal() {
    assert_eq!(text::<Panics>(), "struct Panics{first:string,second:?}");
}

#[test]
fn types_that_describe_themselves_are_unknown() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        A(u8),
    }
    assert_eq!(text::<(u8, Untagged)>(), "(u8,any)");
}

#[test]
fn the_path_to_what_can_not_be_decoded() {
    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { _x: u8 },
    }
    #[derive(Deserialize)]
    struct Rest {
        _id: u64,
        #[serde(flatten)]
        _rest: BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    enum Line {
        Empty,
        Priced(u8, Option<Tagged>),
    }
    #[derive(Deserialize)]
    struct Order {
        _id: u64,
        _before: Option<Box<Order>>,
        _lines: Vec<Line>,
    }
    let path = |shape: Shape| shape.flaw().map(str::to_owned);
    assert_eq!(path(shape::<Order>()).as_deref(), Some("Order._lines[]::Priced.1"));
    assert_eq!(path(shape::<BTreeMap<String, (u8, Tagged)>>()).as_deref(), Some("{value}.1"));
    assert_eq!(path(shape::<Tagged>()).as_deref(), Some(""));
    assert!(path(shape::<Rest>()).is_some());
    assert_eq!(path(shape::<(Line2, Vec<BTreeMap<String, [u8; 4]>>)>()), None);
    let deep = path(shape::<Deep>()).expect("it is down there");
    assert!(deep.len() < 400 && deep.ends_with('…'), "{deep}");

    #[derive(Deserialize)]
    enum Line2 {
        A,
        B(Box<Line2>),
    }
    type Three<T> = Deep2<Deep2<Deep2<T>>>;
    #[derive(Deserialize)]
    struct Deep {
        _a_field_with_a_name_of_some_length_that_is_repeated: Three<Three<Tagged>>,
    }
    #[derive(Deserialize)]
    struct Deep2<T> {
        _a_field_with_a_name_of_some_length_that_is_repeated: T,
    }
}

#[test]
fn names_that_look_like_structure_are_quoted() {
    #[derive(Deserialize)]
    struct Odd {
        #[serde(rename = "a:u8,b")]
        a: u8,
    }
    assert_eq!(text::<Odd>(), r#"struct Odd{"a:u8,b":u8}"#);
}

/// Types of a peer of another version.
mod other {
    use super::*;

    pub(super) mod same {
        use super::*;
        types! {
            pub(crate) struct Line { text: String, number: u32 }
        }
    }

    types! {
        pub(super) struct Line { number: u32, text: String }
        pub(super) struct TwoPaths { one: Line, other: super::Line }
        pub(super) struct OnePath { one: Line, other: Line }
    }
}

macro_rules! version {
    ($module:ident { $item:item }) => {
        mod $module {
            use serde::Deserialize;
            #[derive(Deserialize)]
            $item
        }
    };
}

version!(base { pub(super) struct Record { id: u64, name: String } });
version!(renamed { pub(super) struct Record { id: u64, title: String } });
version!(added { pub(super) struct Record { id: u64, name: String, more: u8 } });
version!(reordered { pub(super) struct Record { name: String, id: u64 } });
version!(retyped { pub(super) struct Record { id: u32, name: String } });
version!(called_otherwise { pub(super) struct Entry { id: u64, name: String } });
version!(again { pub(super) struct Record { id: u64, name: String } });
version!(boxed { pub(super) struct Record { id: Box<u64>, name: Box<str> } });
version!(two { pub(super) enum State { On, Off } });
version!(three { pub(super) enum State { On, Off, Between } });
version!(turned { pub(super) enum State { Off, On } });
version!(filled { pub(super) enum State { On, Off(u8) } });

#[test]
fn versions_that_differ_have_different_hashes() {
    let record = shape::<base::Record>().text().to_owned();
    for other in [
        shape::<renamed::Record>(),
        shape::<added::Record>(),
        shape::<reordered::Record>(),
        shape::<retyped::Record>(),
        shape::<called_otherwise::Entry>(),
    ] {
        assert_ne!(other.text().to_owned(), record, "{other}");
    }
    let state = shape::<two::State>().text().to_owned();
    for other in [shape::<three::State>(), shape::<turned::State>(), shape::<filled::State>()] {
        assert_ne!(other.text().to_owned(), state, "{other}");
    }
    assert_ne!(text::<other::same::Line>(), text::<Line>());
    assert_ne!(text::<Vec<Option<base::Record>>>(), text::<Vec<Option<added::Record>>>());
}

#[test]
fn what_is_the_same_on_the_wire_has_the_same_text() {
    let record = shape::<base::Record>();
    assert_eq!(shape::<again::Record>(), record);
    assert_eq!(shape::<boxed::Record>(), record);
    assert_eq!(text::<BTreeMap<u8, String>>(), text::<HashMap<u8, String>>());
    assert_eq!(text::<BTreeSet<u16>>(), text::<Vec<u16>>());
    assert_eq!(text::<(u8, u8)>(), text::<[u8; 2]>());
    // By two paths, and yet one type.
    assert_eq!(text::<other::TwoPaths>().replace("TwoPaths", "OnePath"), text::<other::OnePath>());
}

/// Asks for a tuple that has no end.
struct Greedy;

impl<'de> Deserialize<'de> for Greedy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> de::Visitor<'de> for Reading {
            type Value = Greedy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("everything")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Greedy, A::Error> {
                while elements.next_element::<Option<Inner>>()?.is_some() {}
                Ok(Greedy)
            }
        }

        deserializer.deserialize_tuple(usize::MAX, Reading)
    }
}

#[test]
fn large_types_are_bounded() {
    // Doubled at each level: nobody's type, but it must end.
    type Doubled<T> = (Box<T>, Box<T>);
    type Sixteen<T> = Doubled<Doubled<Doubled<Doubled<T>>>>;
    let shape = shape::<Sixteen<Sixteen<(u8, Vec<Kind>)>>>();
    assert!(shape.text().starts_with("[[[[[[[[(u8,Vec<enum Kind{"), "{shape}");

    let inner = "enum Inner{A,B(bool),C(char)}";
    assert_eq!(text::<Greedy>(), format!("[Option<{inner}>;{}]", usize::MAX));
}

/// Two enums of many variants, each in each.
#[test]
fn many_variants_are_all_seen() {
    macro_rules! many {
        ($name:ident, $other:ident: $($variant:ident)*) => {
            #[derive(Deserialize)]
            enum $name { $($variant(Box<$other>, Vec<$name>),)* Last }
        };
    }
    many!(First, Second: A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);
    many!(Second, First: A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);
    let text = text::<First>();
    assert!(!text.contains('?'), "{text}");
    assert!(text.ends_with("Z(Second,Vec<First>),Last}"), "{text}");
}

#[test]
fn half_a_thread_of_tokios_is_stack_enough() {
    let tracing = || {
        shape::<Endless>();
        shape::<Json>();
        shape::<Forest>();
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(tracing).expect("a thread");
    thread.join().expect("it fits");
}
