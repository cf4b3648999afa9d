//! What the macros make of a trait: methods with their ids, and a service that a server can dispatch to.

use std::{convert::Infallible, fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_core::Stream;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    CallError, Code, Context, Status,
    codec::{self, CodecError},
    proto::{self, ReplyKind},
};

/// A method of a service, as the macros describe it.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    service: &'static str,
    name: &'static str,
    signature: &'static str,
    id: u64,
    fingerprint: u64,
    idempotent: bool,
    timeout: Option<Duration>,
}

impl Method {
    /// A method of this wire name; `signature` is its argument and result types as they were written.
    pub const fn new(service: &'static str, name: &'static str, signature: &'static str) -> Self {
        Self {
            service,
            name,
            signature,
            id: proto::method_id(service, name),
            fingerprint: proto::fingerprint(signature),
            idempotent: false,
            timeout: None,
        }
    }

    /// Declares that running it twice does no harm, so that it may be repeated where it may have run.
    #[must_use]
    pub const fn with_idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Gives it a deadline of its own instead of the channel's.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The wire name of its service.
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// Its own wire name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its argument and result types as they were written.
    pub const fn signature(&self) -> &'static str {
        self.signature
    }

    /// The 64-bit hash of `"service/method"`, by which it is called.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The 64-bit hash of its signature: client and server must have the same.
    ///
    /// It covers the types as they are written in the trait, not what is inside them.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether it may be repeated where it may have run.
    pub const fn idempotent(&self) -> bool {
        self.idempotent
    }

    /// Its own default deadline.
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}

/// The name of a service and its methods, in the order in which [`Service::call`] numbers them.
#[derive(Debug, Clone, Copy)]
pub struct ServiceDescriptor {
    /// The wire name.
    pub name: &'static str,
    /// The methods.
    pub methods: &'static [Method],
}

/// Something that a server can dispatch calls to. [`rpc_trait`](crate::rpc_trait) implements it.
pub trait Service: Send + Sync + 'static {
    /// The name and the methods.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Starts the handler of the method of this index in the descriptor.
    ///
    /// Dropping the future cancels the handler.
    fn call(&self, method: usize, inbound: Inbound) -> HandlerFuture;
}

/// A call that has arrived, undecoded.
#[derive(Debug)]
pub struct Inbound {
    pub(crate) context: Context,
    pub(crate) body: Bytes,
}

/// A handler at work.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Handled> + Send>>;

/// The items of a streamed reply, encoded. The status ends the stream.
pub type ReplyItems = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What a handler came to, encoded.
pub enum Handled {
    /// One value or error.
    Reply(Reply),
    /// Items one by one.
    Items(ReplyItems),
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => f.debug_tuple("Reply").field(reply).finish(),
            Self::Items(_) => f.debug_tuple("Items").finish_non_exhaustive(),
        }
    }
}

/// An encoded reply, as it is about to be sent or has been received.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(crate) kind: ReplyKind,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A status that a handler returned. It has run, whatever became of calls that it made itself: a status of one
    /// of those, handed on, may say *not executed*, and that must not be taken for this call's.
    pub(crate) fn of_handler(status: Status) -> Self {
        Self::status(&status.with_maybe_executed(true))
    }

    pub(crate) fn status(status: &Status) -> Self {
        // A handler that says `Ok` as its error is wrong, and must not be taken for a value.
        let code = if status.code() == Code::Ok { Code::Unknown } else { status.code() };
        Self {
            kind: ReplyKind::Status { code, executed: status.maybe_executed() },
            body: proto::encode_status(status),
        }
    }
}

/// What a method returns: `Result<T, E>`, whatever name it goes by.
pub trait Outcome {
    /// `T`.
    type Value;
    /// What a client gets in place of `E`: `E` itself, or [`Infallible`] where `E` is [`Status`].
    type ClientError;

    #[doc(hidden)]
    fn into_reply(self) -> Reply;
    #[doc(hidden)]
    fn from_reply(reply: Reply) -> Result<Self::Value, CallError<Self::ClientError>>;
}

/// The error of a method: any serde type, or [`Status`].
pub trait HandlerError: Sized {
    /// What a client gets in its place.
    type Client;

    #[doc(hidden)]
    fn into_reply(self) -> Reply;
    #[doc(hidden)]
    fn decode(body: &[u8]) -> Result<Self::Client, CallError<Self::Client>>;
}

impl<E: Serialize + DeserializeOwned> HandlerError for E {
    type Client = E;

    fn into_reply(self) -> Reply {
        encoded(ReplyKind::Application, &self)
    }

    fn decode(body: &[u8]) -> Result<E, CallError<E>> {
        codec::decode(body).map_err(|error| undecodable("application error", error))
    }
}

impl HandlerError for Status {
    type Client = Infallible;

    fn into_reply(self) -> Reply {
        Reply::of_handler(self)
    }

    fn decode(_: &[u8]) -> Result<Infallible, CallError<Infallible>> {
        Err(Status::internal("an application error came for a method that declares none").into())
    }
}

impl<T: Serialize + DeserializeOwned, E: HandlerError> Outcome for Result<T, E> {
    type Value = T;
    type ClientError = E::Client;

    fn into_reply(self) -> Reply {
        match self {
            Ok(value) => encoded(ReplyKind::Value, &value),
            Err(error) => error.into_reply(),
        }
    }

    fn from_reply(reply: Reply) -> Result<T, CallError<E::Client>> {
        match reply.kind {
            ReplyKind::Value => codec::decode(&reply.body).map_err(|error| undecodable("reply", error)),
            ReplyKind::Application => Err(CallError::Application(E::decode(&reply.body)?)),
            ReplyKind::Item => Err(Status::internal("a stream came for a method with one reply").into()),
            ReplyKind::Status { code, executed } => {
                Err(proto::decode_status(code, executed, reply.body).unwrap_or_else(malformed).into())
            }
        }
    }
}

fn encoded<T: Serialize>(kind: ReplyKind, value: &T) -> Reply {
    match codec::encode(value) {
        Ok(body) => Reply { kind, body },
        Err(error) => Reply::status(&Status::internal(format!("the reply can't be encoded: {error}"))),
    }
}

fn undecodable<E>(what: &str, error: CodecError) -> CallError<E> {
    Status::internal(format!("the {what} can't be decoded: {error}")).with_source(error).into()
}

pub(crate) fn malformed(error: proto::DecodeError) -> Status {
    Status::internal("the peer's reply is malformed").with_source(error)
}

/// Decodes the arguments and runs the handler on them. What generated dispatch calls.
pub fn handle<A, R, F>(inbound: Inbound, run: impl FnOnce(Context, A) -> F) -> HandlerFuture
where
    A: DeserializeOwned,
    R: Outcome,
    F: Future<Output = R> + Send + 'static,
{
    match codec::decode::<A>(&inbound.body) {
        Ok(arguments) => {
            let handler = run(inbound.context, arguments);
            Box::pin(async move { Handled::Reply(handler.await.into_reply()) })
        }
        Err(error) => {
            let method = inbound.context.method();
            let status =
                Status::invalid_argument(format!("the arguments of {method} can't be decoded: {error}"))
                    .not_executed();
            Box::pin(std::future::ready(Handled::Reply(Reply::status(&status))))
        }
    }
}
