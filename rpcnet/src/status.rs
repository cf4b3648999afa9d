//! The status of a call that failed.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Metadata, MetadataError};

/// Why a call failed: gRPC's codes, with gRPC's numbers and meanings.
///
/// Source: <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Code {
    /// The call succeeded.
    Ok = 0,
    /// The caller gave the call up.
    Cancelled = 1,
    /// An error that fits nothing else; also the code of typed application errors.
    Unknown = 2,
    /// The arguments are wrong whatever the state of the system.
    InvalidArgument = 3,
    /// The time ran out before the call was done. It may have succeeded.
    DeadlineExceeded = 4,
    /// The requested thing does not exist.
    NotFound = 5,
    /// The thing to create exists already.
    AlreadyExists = 6,
    /// The caller is known, and is not allowed to do this.
    PermissionDenied = 7,
    /// A quota, limit or queue is full.
    ResourceExhausted = 8,
    /// The system is not in a state in which the call can run; repeating it does not help until that is mended.
    FailedPrecondition = 9,
    /// A conflict with something concurrent; repeat at a higher level.
    Aborted = 10,
    /// Past the valid range, for example past the end of a file.
    OutOfRange = 11,
    /// The server has no such method.
    Unimplemented = 12,
    /// An invariant is broken. Serious.
    Internal = 13,
    /// The service can't be reached now; repeating later may help.
    Unavailable = 14,
    /// Data is lost or corrupt for good.
    DataLoss = 15,
    /// The caller has not shown who it is.
    Unauthenticated = 16,
}

impl Code {
    /// The code of this number; `Unknown` for a number that this version does not know.
    pub const fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }

    /// The name in the form that metrics and logs use, such as `deadline_exceeded`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code, a message for people, and what a program may want to know beside them.
///
/// Cheap to move (one pointer). It does not implement `Serialize`, and so can't be mistaken for an application
/// error: a handler returns one through [`rpcnet::Result`](crate::Result).
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{Code, Status};
///
/// fn reserve(free: u32, wanted: u32) -> rpcnet::Result<u32> {
///     free.checked_sub(wanted).ok_or_else(|| {
///         let message = format!("{wanted} seats are wanted, {free} are free");
///         Status::resource_exhausted(message).with_retry_after(Duration::from_secs(60))
///     })
/// }
///
/// let status = reserve(2, 3).expect_err("too few");
/// assert_eq!(status.code(), Code::ResourceExhausted);
/// assert_eq!(status.retry_after(), Some(Duration::from_secs(60)));
/// ```
#[derive(Clone)]
pub struct Status(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: Cow<'static, str>,
    details: Bytes,
    retry_after: Option<Duration>,
    maybe_executed: bool,
    /// It came from a relay, which has done what could be done.
    handed_on: bool,
    metadata: Metadata,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Status {
    /// A status of this code and message.
    ///
    /// It counts as *maybe executed* (see [`Status::maybe_executed`]) until it is said otherwise.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            details: Bytes::new(),
            retry_after: None,
            maybe_executed: true,
            handed_on: false,
            metadata: Metadata::default(),
            source: None,
        }))
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The message, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Further data, in a form that service and client agreed on. Empty by default.
    pub fn details(&self) -> &Bytes {
        &self.0.details
    }

    /// The time for which the server asks to wait before a retry.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns whether the handler may have run, so that repeating the call could do its work twice.
    ///
    /// `false` is a promise: the handler was never started.
    pub fn maybe_executed(&self) -> bool {
        self.0.maybe_executed
    }

    /// The metadata that the server sent beside it, before it and with it.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// With pairs that travel beside it.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.0.metadata = metadata;
        self
    }

    /// The code as it is sent. A handler that says `Ok` as its error is wrong, and must not be taken for a value.
    pub(crate) fn wire_code(&self) -> Code {
        if self.0.code == Code::Ok { Code::Unknown } else { self.0.code }
    }

    /// With data for the program at the other end.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.0.details = details.into();
        self
    }

    /// With the time that a caller should wait before it tries again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// With the error that led here. It stays on this side of the wire.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    /// Says that the handler was never started, so that the call may be sent again whatever its method. For
    /// interceptors; a handler that returns such a status has run all the same.
    #[must_use]
    pub fn not_executed(mut self) -> Self {
        self.0.maybe_executed = false;
        self
    }

    /// Puts a text before the message.
    #[cfg(feature = "anyhow")]
    pub(crate) fn prepend(&mut self, text: &str) {
        self.0.message = format!("{text}{}", self.message()).into();
    }

    /// Says that a relay answered it: what it tells is not of the relay.
    pub(crate) fn handed_on(mut self) -> Self {
        self.0.handed_on = true;
        self
    }

    pub(crate) fn is_handed_on(&self) -> bool {
        self.0.handed_on
    }

    pub(crate) fn with_maybe_executed(mut self, maybe: bool) -> Self {
        self.0.maybe_executed = maybe;
        self
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        impl Status {
            $($(#[$doc])* pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(Code::$code, message)
            })*
        }
    };
}

constructors! {
    /// A status of [`Code::Cancelled`].
    cancelled => Cancelled;
    /// A status of [`Code::InvalidArgument`].
    invalid_argument => InvalidArgument;
    /// A status of [`Code::DeadlineExceeded`].
    deadline_exceeded => DeadlineExceeded;
    /// A status of [`Code::NotFound`].
    not_found => NotFound;
    /// A status of [`Code::PermissionDenied`].
    permission_denied => PermissionDenied;
    /// A status of [`Code::ResourceExhausted`].
    resource_exhausted => ResourceExhausted;
    /// A status of [`Code::FailedPrecondition`].
    failed_precondition => FailedPrecondition;
    /// A status of [`Code::Unimplemented`].
    unimplemented => Unimplemented;
    /// A status of [`Code::Internal`].
    internal => Internal;
    /// A status of [`Code::Unavailable`].
    unavailable => Unavailable;
    /// A status of [`Code::Aborted`].
    aborted => Aborted;
    /// A status of [`Code::AlreadyExists`].
    already_exists => AlreadyExists;
    /// A status of [`Code::OutOfRange`].
    out_of_range => OutOfRange;
    /// A status of [`Code::DataLoss`].
    data_loss => DataLoss;
    /// A status of [`Code::Unknown`].
    unknown => Unknown;
    /// A status of [`Code::Unauthenticated`].
    unauthenticated => Unauthenticated;
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut debug = f.debug_struct("Status");
        debug.field("code", &inner.code).field("message", &inner.message);
        if !inner.details.is_empty() {
            debug.field("details", &inner.details);
        }
        if let Some(after) = inner.retry_after {
            debug.field("retry_after", &after);
        }
        if !inner.metadata.is_empty() {
            debug.field("metadata", &inner.metadata);
        }
        debug.field("maybe_executed", &inner.maybe_executed);
        if let Some(source) = &inner.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl Error for Status {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<MetadataError> for Status {
    /// `Internal`: what a handler sends beside its result is its own doing.
    fn from(error: MetadataError) -> Self {
        Self::internal(error.to_string()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_numbers() {
        for number in 0..=16 {
            assert_eq!(Code::from_u8(number) as u8, number);
        }
        assert_eq!(Code::from_u8(200), Code::Unknown);
    }

    #[test]
    fn a_status_is_small_and_thread_safe() {
        fn assert_send_sync<T: Send + Sync + 'static>() {}
        assert_send_sync::<Status>();
        assert_eq!(size_of::<Status>(), size_of::<usize>());
    }

    #[test]
    fn the_source_is_kept() {
        let status = Status::unavailable("no connection").with_source(std::io::Error::other("refused"));
        assert_eq!(Error::source(&status).expect("it was given").to_string(), "refused");
    }
}
