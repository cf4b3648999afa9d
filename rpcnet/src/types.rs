//! What can be found out of a method's types when the program runs.

use std::fmt;

#[cfg(feature = "reflect")]
use bytes::{Bytes, BytesMut};

#[cfg(feature = "reflect")]
use crate::codec::{Body, json::JsonError};
use crate::{
    codec::{Arguments, Flaw},
    service::{ItemsArgument, Outcome},
};

/// The types of a method, as the macros hand them over.
#[derive(Clone, Copy)]
pub struct Types {
    shape: fn() -> String,
    flaw: fn() -> Option<Flaw>,
    #[cfg(feature = "reflect")]
    json: Json,
}

impl Types {
    /// What they are made of.
    pub(crate) fn shape(&self) -> String {
        (self.shape)()
    }

    /// A part of them that the encoding can't carry.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        (self.flaw)()
    }

    #[cfg(feature = "reflect")]
    pub(crate) fn json(&self) -> &Json {
        &self.json
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

/// Reads an item and encodes it behind what a buffer holds; where it is a large run of bytes, what is returned follows.
#[cfg(feature = "reflect")]
pub(crate) type ReadItem = fn(&str, &mut BytesMut) -> Result<Option<Bytes>, JsonError>;
/// Decodes something and writes it as JSON of at most so many bytes.
#[cfg(feature = "reflect")]
pub(crate) type Write = fn(&Bytes, usize) -> Result<String, JsonError>;

/// How what a method takes and gives is read from JSON and written as it.
#[cfg(feature = "reflect")]
#[derive(Clone, Copy)]
pub(crate) struct Json {
    /// Reads the arguments from an array.
    pub(crate) read_arguments: fn(&str) -> Result<Body, JsonError>,
    /// `None` where no stream of items goes with the arguments.
    pub(crate) read_item: Option<ReadItem>,
    /// The value that it returns, or an item of it.
    pub(crate) write_value: Write,
    /// The error in place of the answer.
    pub(crate) write_error: Write,
    /// The error at the end of a stream.
    pub(crate) write_item_error: Write,
}

/// Those of a method with these arguments and this result.
pub const fn types<A: Arguments, R: Outcome>() -> Types {
    Types {
        shape: shape::<A, R>,
        flaw: flaw::<A, R>,
        #[cfg(feature = "reflect")]
        json: json::<A, R>(None),
    }
}

/// Likewise, of one whose last argument is a stream of items.
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
