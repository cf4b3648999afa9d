//! The descriptions of services and methods.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Method;

/// The description of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// The wire name.
    pub name: String,
    /// The methods, in the order of the trait.
    pub methods: Vec<MethodInfo>,
}

/// The description of a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodInfo {
    /// The wire name.
    pub name: String,
    /// The 64-bit hash of `"service/method"`, by which it is called.
    pub id: u64,
    /// Its types as they were written: `(u64,Vec<String>)->Result<Counts,CountError>`.
    pub signature: String,
    /// The types of the arguments, as they were written; a stream is the last of them. Empty for a method that was
    /// described by hand in another form.
    pub arguments: Vec<String>,
    /// The type of the result, as it was written.
    pub result: String,
    /// The types in one canonical text ([`Method::shape`]).
    pub shape: String,
    /// True if running it twice does no harm.
    pub idempotent: bool,
    /// True if a stream of items goes with the arguments.
    pub streams_request: bool,
    /// True if the result is a stream of items.
    pub streams_reply: bool,
    /// Its own default deadline.
    pub timeout: Option<Duration>,
    /// The most time between two items of its streams.
    pub item_timeout: Option<Duration>,
    /// Its priority; zero unless it was given another.
    pub priority: i8,
    /// Its own limit of a message's bytes.
    pub max_message: Option<u64>,
}

impl MethodInfo {
    pub(super) fn new(method: &Method, shape: String) -> Self {
        let signature = method.signature();
        let (arguments, result) = split(signature).unwrap_or((Vec::new(), ""));
        Self {
            name: method.name().to_owned(),
            id: method.id(),
            signature: signature.to_owned(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            result: result.to_owned(),
            shape,
            idempotent: method.idempotent(),
            streams_request: method.streams_request(),
            streams_reply: method.streams_reply(),
            timeout: method.timeout(),
            item_timeout: method.item_timeout(),
            priority: method.priority(),
            max_message: method.max_message().map(|bytes| bytes as u64),
        }
    }
}

/// Takes a signature apart: the types of the arguments, that of the result.
pub(super) fn split(signature: &str) -> Option<(Vec<&str>, &str)> {
    let mut arguments = Vec::new();
    let mut closing = Vec::new();
    let mut start = 1;
    let mut before = ' ';
    let mut tokens = signature.char_indices();
    while let Some((index, token)) = tokens.next() {
        // Within braces stands an expression, whose `<` and `>` may be anything.
        let types = closing.last() != Some(&'}');
        match token {
            '(' => closing.push(')'),
            '[' => closing.push(']'),
            '{' => closing.push('}'),
            '<' if types => closing.push('>'),
            // The `>` of an arrow closes nothing.
            '>' if !types || before == '-' => {}
            '\'' | '"' => {
                for _ in 0..literal(&signature[index..]) {
                    tokens.next();
                }
            }
            ',' if closing.len() == 1 => {
                arguments.push(&signature[start..index]);
                start = index + 1;
            }
            token if closing.last() == Some(&token) => {
                closing.pop();
                if closing.is_empty() {
                    if start < index {
                        arguments.push(&signature[start..index]);
                    }
                    let result = signature[index + 1..].strip_prefix("->")?;
                    return signature.starts_with('(').then_some((arguments, result));
                }
            }
            _ => {}
        }
        before = token;
    }
    None
}

/// Returns the number of characters behind the first of a literal; `None` if none begins here, or a lifetime does.
fn literal(text: &str) -> usize {
    let quote = text.chars().next();
    let mut escaped = false;
    for (index, token) in text.chars().enumerate().skip(1) {
        let lifetime =
            quote == Some('\'') && index == 2 && Some(token) != quote && !text[1..].starts_with('\\');
        if lifetime {
            return 0;
        }
        if !escaped && Some(token) == quote {
            return index;
        }
        escaped = !escaped && token == '\\';
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn signatures_are_taken_apart() {
        let cases: [(&str, &[&str], &str); 7] = [
            ("()->Result<(),E>", &[], "Result<(),E>"),
            ("(String)->Result<A,B>", &["String"], "Result<A,B>"),
            (
                "(Vec<Option<(u8,u16)>>,[u8;4],HashMap<K,Vec<V>>)->R",
                &["Vec<Option<(u8,u16)>>", "[u8;4]", "HashMap<K,Vec<V>>"],
                "R",
            ),
            (
                "((A,),((),B),Streaming<T,CallError<F>>)->R",
                &["(A,)", "((),B)", "Streaming<T,CallError<F>>"],
                "R",
            ),
            ("(Cow<'static,str>,Map<'a,'b,T>)->R", &["Cow<'static,str>", "Map<'a,'b,T>"], "R"),
            ("(Box<dyn Fn(A,B)->C>,D)->R", &["Box<dyn Fn(A,B)->C>", "D"], "R"),
            (
                "(X<'<',','>,Y<{A>B},'\\''>,Z<\"),(\">)->R",
                &["X<'<',','>", "Y<{A>B},'\\''>", "Z<\"),(\">"],
                "R",
            ),
        ];
        for (signature, arguments, result) in cases {
            assert_eq!(split(signature), Some((arguments.to_vec(), result)), "{signature}");
        }
    }

    #[test]
    fn what_is_no_signature_has_no_parts() {
        for text in ["", "u8", "(u8", "(u8)", "(u8)->", "[u8]->R", "(A<B)->R", ")->R", "hand-written"] {
            let parts = split(text);
            assert!(parts.is_none() || parts == Some((vec!["u8"], "")), "{text}: {parts:?}");
        }
    }

    fn written() -> impl Strategy<Value = String> {
        let leaf =
            prop_oneof![Just("u8".to_owned()), Just("a::B".to_owned()), Just("Cow<'a,str>".to_owned())];
        leaf.prop_recursive(4, 32, 3, |inner| {
            let several = proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join(","));
            prop_oneof![
                several.clone().prop_map(|parts| format!("Of<{parts}>")),
                several.clone().prop_map(|parts| format!("({parts},)")),
                (several, inner.clone())
                    .prop_map(|(parts, result)| format!("Box<dyn Fn({parts})->{result}>")),
                inner.prop_map(|part| format!("[{part};4]")),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_put_together_is_taken_apart(
            arguments in proptest::collection::vec(written(), 0..6),
            result in written(),
        ) {
            let signature = format!("({})->{result}", arguments.join(","));
            let (apart, end) = split(&signature).expect("it is a signature");
            prop_assert_eq!(apart, arguments);
            prop_assert_eq!(end, result);
        }

        #[test]
        fn any_text_is_taken_apart_or_not(text in r#"[(),<>\[\]{}'"\\a>-]{0,24}"#) {
            let _ = split(&text);
        }
    }
}
