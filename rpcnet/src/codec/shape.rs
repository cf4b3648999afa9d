//! The structure of a type, found by deserializing it from nothing.
//!
//! A `Deserialize` impl says what it wants to read next and is given something of that kind, and what it asked for is
//! noted down: names, fields, variants. One pass sees one variant of an enum, so there are as many passes as bring
//! something new. The idea is that of the crate [serde-reflection](https://docs.rs/serde-reflection).
//!
//! An impl may refuse what it is given (a text that is no date). Then other values are tried; where none is taken, that
//! part stays unknown, and what comes behind it may, too. All this is bounded: in depth as decoding is, in steps,
//! passes and length of the text.

mod access;
mod classes;
mod flaw;
mod graph;
mod text;
mod trace;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde::de::DeserializeOwned;

use self::{graph::Graph, trace::Tracer};

/// Beyond this the rest of a type stays unknown.
const PASSES: usize = 4096;
/// Passes in a row that bring nothing new, before it is taken that there is nothing.
const IDLE_PASSES: usize = 32;

/// Returns the structure of a type on the wire in one canonical form.
///
/// Two types of the same shape have the same encoding, as far as their impls tell: what serde calls by the same names,
/// with the same fields in the same order. `Vec<u8>` and `Bytes` have one shape, as have all sequences of the same
/// elements and all maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    text: String,
    flaw: Option<String>,
}

impl Shape {
    /// The form in words, such as `struct Counts{words:u64,kind:enum Kind{Short,Long(u8)}}`.
    ///
    /// A type that has been described stands by its name from then on. Another one of that name has a number behind it.
    /// What could not be found out is `?`. A text that would be longer than 64 KiB ends with `…`.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The path to a part that can't be decoded, for it asks what comes next, and the encoding does not say: such as
    /// `Order.lines[].price`. Empty where the whole type is one.
    pub(crate) fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }
}

/// A part of a method's types that the encoding can't carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The part of the method, such as `argument 1`.
    pub(crate) part: String,
    /// The name of its type.
    pub(crate) ty: &'static str,
    /// Where in it.
    pub(crate) path: String,
}

/// Finds out whether this type, which is such a part of a method, can't be carried.
pub(crate) fn flaw<T: DeserializeOwned>(part: impl Into<String>) -> Option<Flaw> {
    let shape = shape::<T>();
    let path = shape.flaw()?.to_owned();
    Some(Flaw { part: part.into(), ty: std::any::type_name::<T>(), path })
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Finds out what a type consists of.
///
/// It runs `Deserialize` impls many times, so it is done once a type. An impl that panics is taken for one that
/// refuses.
pub(crate) fn shape<T: DeserializeOwned>() -> Shape {
    let mut graph = Graph::new();
    let mut idle = 0;
    for _ in 0..PASSES {
        if idle > IDLE_PASSES || graph.is_complete(Graph::ROOT) {
            break;
        }
        let known = graph.begin_pass();
        // A panic leaves marks behind in the graph, which the next pass clears.
        let traced = catch_unwind(AssertUnwindSafe(|| T::deserialize(Tracer::new(&mut graph)).is_ok()));
        if !matches!(traced, Ok(true)) {
            graph.end_failed_pass();
        }
        idle = if graph.learnt() == known { idle + 1 } else { 0 };
    }
    Shape { text: text::describe(&graph), flaw: flaw::path(&graph) }
}

#[cfg(test)]
mod tests;
