//! The error types of the public API: one narrow enum an operation.
//!
//! `Display` gives the whole message on one line, the text of the immediate cause included. `source` goes on behind
//! what that line says: a cause whose text stands in it is skipped there, so that printing the chain (`{:#}` of anyhow)
//! says nothing twice. The causes themselves are fields of the variants.
//!
//! A [`Status`] is the exception: its message is what a peer would get, and `source` has this side's own error, to be
//! downcast.

mod config;

use std::{convert::Infallible, error::Error};

pub use self::config::ConfigError;
use crate::{Code, Status};

pub(crate) const NO_RUNTIME: &str =
    "there is no tokio runtime here: call it within #[tokio::main], or after Runtime::enter";

/// How a call failed: with the error that its method declares, or with a [`Status`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError<E = Infallible> {
    /// The handler ran and returned this error.
    #[error("application error: {0}")]
    Application(E),
    /// The call did not get as far as the handler's answer, or the handler answered with a status.
    #[error(transparent)]
    Status(#[from] Status),
}

impl<E> CallError<E> {
    /// The code; that of an application error is [`Code::Unknown`].
    pub fn code(&self) -> Code {
        match self {
            Self::Application(_) => Code::Unknown,
            Self::Status(status) => status.code(),
        }
    }

    /// The status, unless it is an application error.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Application(_) => None,
            Self::Status(status) => Some(status),
        }
    }

    /// Whether the handler may have run, so that repeating the call could do its work twice.
    pub fn maybe_executed(&self) -> bool {
        match self {
            Self::Application(_) => true,
            Self::Status(status) => status.maybe_executed(),
        }
    }
}

impl From<CallError<Infallible>> for Status {
    fn from(error: CallError<Infallible>) -> Self {
        match error {
            CallError::Application(never) => match never {},
            CallError::Status(status) => status,
        }
    }
}

/// Why a service could not be registered. Nothing was registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A service of this name is registered.
    #[error("the service {0:?} is registered already: register it once, or give one of the two another name")]
    Service(&'static str),
    /// Two methods share an id (a collision of their 64-bit hashes): rename one.
    #[error("{0} and {1} have the same method id: rename one of them")]
    Collision(String, String),
    /// A type of a method can't be carried: it can be read from formats alone that describe themselves, as JSON does.
    /// Untagged and internally tagged enums are such, `#[serde(flatten)]`, and types such as `serde_json::Value`.
    #[error(
        "{method} can't be served: {part} is a {ty}, in which {} can be read from formats such as JSON alone (an untagged or \
         internally tagged enum, #[serde(flatten)], serde_json::Value): use a plain struct or enum there, or a String of JSON",
        if path.is_empty() { "all" } else { path }
    )]
    Type {
        /// The method, as `service/method`.
        method: String,
        /// The part of it, such as `argument 1` or `the result`.
        part: String,
        /// The name of that part's type.
        ty: &'static str,
        /// The place in that type, such as `Order.lines[].price`; empty for the type itself.
        path: String,
    },
}

/// An error and its sources on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let message = source.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = source.source();
    }
    text
}
