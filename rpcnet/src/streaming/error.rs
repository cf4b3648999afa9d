//! The errors that may end a stream early.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "reflect")]
use crate::codec::json::{self, JsonError};
use crate::{
    CallError, SendError, Status,
    codec::{self, Flaw},
    message::Failure,
};

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Status {}
    impl<F> Sealed for crate::CallError<F> {}
}

/// The error of a stream's items: [`Status`], or [`CallError<F>`] where the stream has an error `F` of its own.
pub trait ItemError: sealed::Sealed + Sized + Send + 'static {
    #[doc(hidden)]
    fn shape() -> String;
    #[doc(hidden)]
    fn flaw() -> Option<Flaw>;
    #[doc(hidden)]
    fn from_status(status: Status) -> Self;
    #[doc(hidden)]
    fn from_application(error: &Bytes) -> Self;
    #[doc(hidden)]
    fn into_failure(self) -> FailureOf;
    #[cfg(feature = "reflect")]
    #[doc(hidden)]
    fn to_json(error: &Bytes, limit: usize) -> Result<String, JsonError>;
}

/// A [`Failure`] that the public trait may name.
#[doc(hidden)]
#[derive(Debug)]
pub struct FailureOf(pub(crate) Failure);

pub(super) trait FromFailure {
    fn from_failure(failure: Failure) -> Self;
}

impl<E: ItemError> FromFailure for E {
    fn from_failure(failure: Failure) -> Self {
        match failure {
            Failure::Status(status) => E::from_status(status),
            Failure::Application(error) => E::from_application(&error),
        }
    }
}

impl ItemError for Status {
    fn shape() -> String {
        "status".into()
    }

    fn flaw() -> Option<Flaw> {
        None
    }

    fn from_status(status: Status) -> Self {
        status
    }

    fn from_application(_: &Bytes) -> Self {
        Self::internal("an application error ended a stream that declares none")
    }

    fn into_failure(self) -> FailureOf {
        FailureOf(Failure::Status(self))
    }

    #[cfg(feature = "reflect")]
    fn to_json(_: &Bytes, _: usize) -> Result<String, JsonError> {
        Err(JsonError::Undeclared)
    }
}

impl<F: Serialize + DeserializeOwned + Send + 'static> ItemError for CallError<F> {
    fn shape() -> String {
        codec::shape::<F>().to_string()
    }

    fn flaw() -> Option<Flaw> {
        codec::flaw::<F>("the error of a stream")
    }

    fn from_status(status: Status) -> Self {
        Self::Status(status)
    }

    fn from_application(error: &Bytes) -> Self {
        codec::decode_value(error).map_or_else(
            |error| {
                let message = format!("the error of a stream can't be decoded: {error}");
                Self::Status(Status::internal(message).with_source(error))
            },
            Self::Application,
        )
    }

    fn into_failure(self) -> FailureOf {
        FailureOf(match self {
            Self::Status(status) => Failure::Status(status),
            Self::Application(error) => match codec::encode_value(&error) {
                Ok(body) => Failure::Application(body.into_bytes()),
                Err(error) => Failure::Status(
                    Status::internal(format!("the error of a stream can't be encoded: {error}"))
                        .with_source(error),
                ),
            },
        })
    }

    #[cfg(feature = "reflect")]
    fn to_json(error: &Bytes, limit: usize) -> Result<String, JsonError> {
        json::transcode::<F>(error, limit)
    }
}

impl<T> From<SendError<T>> for Status {
    /// `Cancelled`: nobody reads the stream any more.
    fn from(error: SendError<T>) -> Self {
        Self::cancelled(error.to_string())
    }
}
