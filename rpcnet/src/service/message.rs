//! One error for a type that can't be sent, at the type.
//!
//! The compiler reports each bound that does not hold, wherever generated code needs it, and as far down as it can
//! follow: a type without serde would get several long errors. Therefore generated code names each type by way of a
//! trait:
//! `<Order as Message>::Itself` is `Order`. Where the trait does not hold, that is an unknown type, of which nothing further
//! is said. And each of these traits has a second impl, of a condition that never holds: with two that might apply, the
//! compiler reports the trait itself, in the words that stand at the trait, and not the bounds of one impl. Errors of
//! the same words at the same place are shown once.

use std::convert::Infallible;

#[cfg(feature = "reflect")]
use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use super::{Items, ItemsArgument, Outcome};
#[cfg(feature = "reflect")]
use crate::codec::json::JsonError;
use crate::{CallError, Reply, Status, Streaming, codec::Flaw};

/// A type that is sent: an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be sent: it does not implement serde's traits",
    label = "an argument of a remote call needs `Serialize` and `Deserialize`",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` at a type of your own; types of other crates may have \
            them behind a feature called `serde`"
)]
pub trait Message: Sized {
    /// The type itself.
    type Itself: Serialize + DeserializeOwned + 'static;
}

impl<T: Serialize + DeserializeOwned + 'static> Message for T {
    type Itself = T;
}

/// [`Never`] holds for it by no impl.
#[derive(Debug)]
pub struct Nothing<T>(T);

/// Implemented by nothing.
pub trait Never {}

#[diagnostic::do_not_recommend]
impl<T> Message for T
where
    Nothing<T>: Never,
{
    type Itself = ();
}

/// The same type under another name.
pub trait Same<T> {
    /// The value.
    fn same(self) -> T;
    /// The value, borrowed.
    fn same_ref(&self) -> &T;
}

impl<T> Same<T> for T {
    #[inline(always)]
    fn same(self) -> T {
        self
    }

    #[inline(always)]
    fn same_ref(&self) -> &T {
        self
    }
}

/// Keeps the compiler from concluding which type an unknown one is.
impl<T> Same<Nothing<T>> for T {
    fn same(self) -> Nothing<T> {
        Nothing(self)
    }

    fn same_ref(&self) -> &Nothing<T> {
        unreachable!("{IMPOSSIBLE}")
    }
}

/// The same value under another name of its type.
#[inline(always)]
pub fn same<A: Same<B>, B>(value: A) -> B {
    value.same()
}

/// As [`same`], borrowed.
#[inline(always)]
pub fn same_ref<A: Same<B>, B>(value: &A) -> &B {
    value.same_ref()
}

/// Returns whether the result is a stream of items.
pub const fn streams<R: Outcome>() -> bool {
    R::STREAMS
}

const IMPOSSIBLE: &str = "the condition of this impl never holds";

#[diagnostic::do_not_recommend]
impl<T, E> Outcome for Result<T, E>
where
    Nothing<T>: Never,
{
    type Itself = Self;
    type Value = T;
    type ClientError = Infallible;

    const STREAMS: bool = false;

    fn shape() -> String {
        unreachable!("{IMPOSSIBLE}")
    }

    fn flaw() -> Option<Flaw> {
        unreachable!("{IMPOSSIBLE}")
    }

    fn into_reply(self) -> Result<Reply, Status> {
        unreachable!("{IMPOSSIBLE}")
    }

    fn from_reply(_: Reply) -> Result<T, CallError<Infallible>> {
        unreachable!("{IMPOSSIBLE}")
    }

    #[cfg(feature = "reflect")]
    fn value_to_json(_: &Bytes, _: usize) -> Result<String, JsonError> {
        unreachable!("{IMPOSSIBLE}")
    }

    #[cfg(feature = "reflect")]
    fn error_to_json(_: &Bytes, _: usize) -> Result<String, JsonError> {
        unreachable!("{IMPOSSIBLE}")
    }

    #[cfg(feature = "reflect")]
    fn item_error_to_json(_: &Bytes, _: usize) -> Result<String, JsonError> {
        unreachable!("{IMPOSSIBLE}")
    }
}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static, E: Send + 'static> ItemsArgument for Streaming<T, E>
where
    Nothing<T>: Never,
{
    type Itself = Self;

    fn shape() -> String {
        unreachable!("{IMPOSSIBLE}")
    }

    fn flaw() -> Option<Flaw> {
        unreachable!("{IMPOSSIBLE}")
    }

    fn into_items(self) -> Items {
        unreachable!("{IMPOSSIBLE}")
    }

    fn from_items(_: Items) -> Self {
        unreachable!("{IMPOSSIBLE}")
    }

    #[cfg(feature = "reflect")]
    fn item_from_json(_: &str, _: &mut BytesMut) -> Result<Option<Bytes>, JsonError> {
        unreachable!("{IMPOSSIBLE}")
    }
}
