//! A method's types as its [`Types`]: what can be found out of them when the program runs.

#[cfg(feature = "reflect")]
use super::JsonError;
use super::{ItemsArgument, Outcome};
#[cfg(feature = "reflect")]
use crate::{
    codec::Body,
    method::{Json, ReadItem},
};
use crate::{
    codec::{Arguments, Flaw},
    method::Types,
};

/// Returns the types of a method with these arguments and this result.
pub const fn types<A: Arguments, R: Outcome>() -> Types {
    Types {
        shape: shape::<A, R>,
        flaw: flaw::<A, R>,
        #[cfg(feature = "reflect")]
        json: json::<A, R>(None),
    }
}

/// As [`types`], for a method whose last argument is a stream of items.
pub const fn types_items<A: Arguments, S: ItemsArgument, R: Outcome>() -> Types {
    Types {
        shape: shape_items::<A, S, R>,
        flaw: flaw_items::<A, S, R>,
        #[cfg(feature = "reflect")]
        json: json::<A, R>(Some(S::item_from_json)),
    }
}

fn shape<A: Arguments, R: Outcome>() -> String {
    format!("{}->{}", A::shape(), R::shape())
}

fn shape_items<A: Arguments, S: ItemsArgument, R: Outcome>() -> String {
    format!("{}+{}->{}", A::shape(), S::shape(), R::shape())
}

fn flaw<A: Arguments, R: Outcome>() -> Option<Flaw> {
    A::flaw().or_else(R::flaw)
}

fn flaw_items<A: Arguments, S: ItemsArgument, R: Outcome>() -> Option<Flaw> {
    A::flaw().or_else(S::flaw).or_else(R::flaw)
}

#[cfg(feature = "reflect")]
const fn json<A: Arguments, R: Outcome>(read_item: Option<ReadItem>) -> Json {
    Json {
        read_arguments: read_arguments::<A>,
        read_item,
        write_value: R::value_to_json,
        write_error: R::error_to_json,
        write_item_error: R::item_error_to_json,
    }
}

#[cfg(feature = "reflect")]
fn read_arguments<A: Arguments>(text: &str) -> Result<Body, JsonError> {
    Ok(A::from_json(text)?.encode()?)
}
