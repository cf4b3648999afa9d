//! What can be found out of a method's types when the program runs.

use std::fmt;

use crate::{
    codec::Arguments,
    service::{ItemsArgument, Outcome},
};

/// The types of a method, as the macros hand them over.
#[derive(Clone, Copy)]
pub struct Types {
    shape: fn() -> String,
}

impl Types {
    /// What they are made of.
    pub(crate) fn shape(&self) -> String {
        (self.shape)()
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

/// Those of a method with these arguments and this result.
pub const fn types<A: Arguments, R: Outcome>() -> Types {
    Types { shape: shape::<A, R> }
}

/// Likewise, of one whose last argument is a stream of items.
pub const fn types_items<A: Arguments, S: ItemsArgument, R: Outcome>() -> Types {
    Types { shape: shape_items::<A, S, R> }
}

fn shape<A: Arguments, R: Outcome>() -> String {
    format!("{}->{}", A::shape(), R::shape())
}

fn shape_items<A: Arguments, S: ItemsArgument, R: Outcome>() -> String {
    format!("{}+{}->{}", A::shape(), S::shape(), R::shape())
}
