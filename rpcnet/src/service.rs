//! The runtime side of the macros: a service that a server can dispatch to, and how a handler's result becomes a
//! reply.

mod message;
mod types;

use std::{convert::Infallible, pin::Pin};

#[cfg(feature = "reflect")]
use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "reflect")]
use crate::codec::json::{self, JsonError};
use crate::{
    CallError, Context, Metadata, Reply, ServiceDescriptor, Status, Streaming,
    codec::{self, Arguments, Body, CodecError, Flaw},
    message::{Answer, Items},
    streaming::ItemError,
};

use self::message::Same;
pub use self::{
    message::{Message, same, same_ref, streams},
    types::{types, types_items},
};

/// A service to which a server dispatches calls. [`rpc_trait`](crate::rpc_trait) implements it.
pub trait Service: Send + Sync + 'static {
    /// The name and the methods of the service.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Starts the handler of the method at this index of the descriptor.
    ///
    /// Dropping the future cancels the handler.
    fn call(&self, method: usize, inbound: Inbound) -> HandlerFuture;
}

/// A call that has arrived, undecoded.
#[derive(Debug)]
pub struct Inbound {
    pub(crate) context: Context,
    pub(crate) body: Body,
    pub(crate) items: Option<Items>,
}

/// A handler at work.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;

/// The return type of a method: `Result<T, E>`, under any name.
#[diagnostic::on_unimplemented(
    message = "a remote method can't return `{Self}`",
    label = "not a `Result` of types that can be sent",
    note = "it must be `Result<T, E>`: `T`, or the items of a stream in its place, and `E` need `Serialize` and \
            `Deserialize`: write `#[derive(serde::Serialize, serde::Deserialize)]` at types of your own",
    note = "for errors that are not to be told apart write `rpcnet::Result<T>`; with the feature `anyhow`, `?` turns \
            `anyhow::Error` into its error, so a handler need not return `anyhow::Result`"
)]
pub trait Outcome: Sized {
    /// The type itself.
    #[doc(hidden)]
    type Itself: Outcome<Value = Self::Value, ClientError = Self::ClientError>;
    /// `T`.
    type Value;
    /// The error that a client gets in place of `E`: `E` itself, or [`Infallible`] where `E` is [`Status`].
    type ClientError;

    /// True if `T` is a stream of items.
    #[doc(hidden)]
    const STREAMS: bool;

    /// A text of the parts of the type.
    #[doc(hidden)]
    fn shape() -> String;
    /// A part that the encoding can't carry.
    #[doc(hidden)]
    fn flaw() -> Option<Flaw>;

    #[doc(hidden)]
    fn into_reply(self) -> Result<Reply, Status>;
    #[doc(hidden)]
    fn from_reply(reply: Reply) -> Result<Self::Value, CallError<Self::ClientError>>;

    /// Writes a value, or an item, as JSON of at most `limit` bytes.
    #[cfg(feature = "reflect")]
    #[doc(hidden)]
    fn value_to_json(value: &Bytes, limit: usize) -> Result<String, JsonError>;
    /// Writes the error in place of the answer.
    #[cfg(feature = "reflect")]
    #[doc(hidden)]
    fn error_to_json(error: &Bytes, limit: usize) -> Result<String, JsonError>;
    /// Writes the error at the end of a stream.
    #[cfg(feature = "reflect")]
    #[doc(hidden)]
    fn item_error_to_json(error: &Bytes, limit: usize) -> Result<String, JsonError>;
}

/// The error of a method: any serde type, or [`Status`].
pub trait HandlerError: Sized {
    /// The error that a client gets in its place.
    type Client;

    #[doc(hidden)]
    fn shape() -> String;
    #[doc(hidden)]
    fn flaw() -> Option<Flaw>;
    #[doc(hidden)]
    fn into_reply(self) -> Result<Reply, Status>;
    #[doc(hidden)]
    fn decode(body: Body) -> Result<Self::Client, Status>;
    #[cfg(feature = "reflect")]
    #[doc(hidden)]
    fn to_json(error: &Bytes, limit: usize) -> Result<String, JsonError>;
}

impl<E: Serialize + DeserializeOwned + 'static> HandlerError for E {
    type Client = E;

    fn shape() -> String {
        codec::shape::<E>().to_string()
    }

    fn flaw() -> Option<Flaw> {
        codec::flaw::<E>("the error")
    }

    fn into_reply(self) -> Result<Reply, Status> {
        Reply::encode(Answer::Application, &self)
    }

    fn decode(body: Body) -> Result<E, Status> {
        codec::decode_value(&body.into_bytes()).map_err(|error| undecodable("application error", error))
    }

    #[cfg(feature = "reflect")]
    fn to_json(error: &Bytes, limit: usize) -> Result<String, JsonError> {
        json::transcode::<E>(error, limit)
    }
}

impl HandlerError for Status {
    type Client = Infallible;

    fn shape() -> String {
        "status".into()
    }

    fn flaw() -> Option<Flaw> {
        None
    }

    /// Marks the status as maybe executed, since a handler has run. A status that the handler hands on from a call of
    /// its own may say *not executed*, which must not be taken for this call's.
    fn into_reply(self) -> Result<Reply, Status> {
        Err(self.with_maybe_executed(true))
    }

    fn decode(_: Body) -> Result<Infallible, Status> {
        Err(Status::internal("an application error came for a method that declares none"))
    }

    #[cfg(feature = "reflect")]
    fn to_json(_: &Bytes, _: usize) -> Result<String, JsonError> {
        Err(JsonError::Undeclared)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static, E: HandlerError> Outcome for Result<T, E> {
    type Itself = Self;
    type Value = T;
    type ClientError = E::Client;

    const STREAMS: bool = false;

    fn shape() -> String {
        format!("{}!{}", codec::shape::<T>(), E::shape())
    }

    fn flaw() -> Option<Flaw> {
        codec::flaw::<T>("the result").or_else(E::flaw)
    }

    fn into_reply(self) -> Result<Reply, Status> {
        match self {
            Ok(value) => Reply::encode(Answer::Value, &value),
            Err(error) => error.into_reply(),
        }
    }

    fn from_reply(reply: Reply) -> Result<T, CallError<E::Client>> {
        match reply.answer {
            Answer::Value(body) => {
                codec::decode_value(&body.into_bytes()).map_err(|error| undecodable("reply", error).into())
            }
            Answer::Application(body) => Err(CallError::Application(E::decode(body)?)),
            Answer::Items(_) => Err(Status::internal("a stream came for a method with one reply").into()),
        }
    }

    #[cfg(feature = "reflect")]
    fn value_to_json(value: &Bytes, limit: usize) -> Result<String, JsonError> {
        json::transcode::<T>(value, limit)
    }

    #[cfg(feature = "reflect")]
    fn error_to_json(error: &Bytes, limit: usize) -> Result<String, JsonError> {
        E::to_json(error, limit)
    }

    #[cfg(feature = "reflect")]
    fn item_error_to_json(_: &Bytes, _: usize) -> Result<String, JsonError> {
        Err(JsonError::Undeclared)
    }
}

#[diagnostic::do_not_recommend]
impl<T, F, E> Outcome for Result<Streaming<T, F>, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    F: ItemError,
    E: HandlerError,
{
    type Itself = Self;
    type Value = Streaming<T, F>;
    type ClientError = E::Client;

    const STREAMS: bool = true;

    fn shape() -> String {
        format!("{}!{}", <Streaming<T, F> as ItemsArgument>::shape(), E::shape())
    }

    fn flaw() -> Option<Flaw> {
        codec::flaw::<T>("an item of the result").or_else(F::flaw).or_else(E::flaw)
    }

    fn into_reply(self) -> Result<Reply, Status> {
        match self {
            Ok(stream) => Ok(Reply::new(Answer::Items(stream.into_items()))),
            Err(error) => error.into_reply(),
        }
    }

    fn from_reply(reply: Reply) -> Result<Streaming<T, F>, CallError<E::Client>> {
        match reply.answer {
            Answer::Items(items) => Ok(Streaming::from_items(items, reply.metadata)),
            Answer::Application(body) => Err(CallError::Application(E::decode(body)?)),
            Answer::Value(_) => Err(Status::internal("one value came for a method with a stream").into()),
        }
    }

    #[cfg(feature = "reflect")]
    fn value_to_json(value: &Bytes, limit: usize) -> Result<String, JsonError> {
        json::transcode::<T>(value, limit)
    }

    #[cfg(feature = "reflect")]
    fn error_to_json(error: &Bytes, limit: usize) -> Result<String, JsonError> {
        E::to_json(error, limit)
    }

    #[cfg(feature = "reflect")]
    fn item_error_to_json(error: &Bytes, limit: usize) -> Result<String, JsonError> {
        F::to_json(error, limit)
    }
}

/// An argument that is a stream of items.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `rpcnet::Streaming` of items that can be sent",
    label = "a stream of items that implement `Serialize` and `Deserialize` is expected",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` at the items' type, if it is your own",
    note = "`#[rpc_trait]` takes each argument whose type is called `Streaming` for a stream of items: \
            give a type of your own another name, for example by `type`"
)]
pub trait ItemsArgument: Sized + Send + 'static {
    /// The type itself.
    #[doc(hidden)]
    type Itself: ItemsArgument;
    #[doc(hidden)]
    fn shape() -> String;
    #[doc(hidden)]
    fn flaw() -> Option<Flaw>;
    #[doc(hidden)]
    fn into_items(self) -> Items;
    #[doc(hidden)]
    fn from_items(items: Items) -> Self;
    /// Encodes an item at the end of a buffer. A large run of bytes is returned instead, to follow the buffer.
    #[cfg(feature = "reflect")]
    #[doc(hidden)]
    fn item_from_json(text: &str, buffer: &mut BytesMut) -> Result<Option<Bytes>, JsonError>;
}

impl<T, E> ItemsArgument for Streaming<T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: ItemError,
{
    type Itself = Self;

    fn shape() -> String {
        format!("stream<{},{}>", codec::shape::<T>(), E::shape())
    }

    fn flaw() -> Option<Flaw> {
        codec::flaw::<T>("an item of the last argument").or_else(E::flaw)
    }

    fn into_items(self) -> Items {
        Streaming::into_items(self)
    }

    fn from_items(items: Items) -> Self {
        Streaming::from_items(items, Metadata::default())
    }

    #[cfg(feature = "reflect")]
    fn item_from_json(text: &str, buffer: &mut BytesMut) -> Result<Option<Bytes>, JsonError> {
        json::read_item::<T>(text, buffer)
    }
}

fn undecodable(what: &str, error: CodecError) -> Status {
    Status::internal(format!("the {what} can't be decoded: {error}")).with_source(error)
}

/// Bytes of a handler's future from which on it is boxed where it is made: an unoptimised build copies values that move
/// on the stack.
const LARGE: usize = 16 << 10;

/// Boxes a future. In a function of its own, so that the stack of its making is free while it runs.
#[inline]
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

/// Decodes the arguments and runs the handler on them: `run`, or where its future is large `run_large`. What generated
/// dispatch calls.
pub fn handle<A, R, S, F, G>(
    service: S,
    inbound: Inbound,
    run: impl FnOnce(S, Context, A) -> F,
    run_large: impl FnOnce(S, Context, A) -> G,
) -> HandlerFuture
where
    A: Arguments,
    R: Outcome,
    F: Future<Output: Same<R>> + Send + 'static,
    G: Future<Output: Same<R>> + Send + 'static,
{
    let Inbound { context, body, .. } = inbound;
    match decode_arguments(&context, body) {
        Ok(arguments) if const { size_of::<F>() > LARGE } => {
            replying(|| run_large(service, context, arguments))
        }
        Ok(arguments) => replying(|| run(service, context, arguments)),
        Err(status) => Box::pin(std::future::ready(Err(status))),
    }
}

/// As [`handle`], for a method whose last argument is a stream of items.
pub fn handle_items<A, I, R, S, F, G>(
    service: S,
    inbound: Inbound,
    run: impl FnOnce(S, Context, A, I) -> F,
    run_large: impl FnOnce(S, Context, A, I) -> G,
) -> HandlerFuture
where
    A: Arguments,
    I: ItemsArgument,
    R: Outcome,
    F: Future<Output: Same<R>> + Send + 'static,
    G: Future<Output: Same<R>> + Send + 'static,
{
    let Inbound { context, body, items } = inbound;
    let method = context.method();
    let decoded = items
        .ok_or_else(|| Status::invalid_argument(format!("{method} takes a stream of items, and none came")))
        .map_err(Status::not_executed)
        .and_then(|items| Ok((decode_arguments(&context, body)?, I::from_items(items))));
    match decoded {
        Ok((arguments, items)) if const { size_of::<F>() > LARGE } => {
            replying(|| run_large(service, context, arguments, items))
        }
        Ok((arguments, items)) => replying(|| run(service, context, arguments, items)),
        Err(status) => Box::pin(std::future::ready(Err(status))),
    }
}

/// Turns a handler's result into a reply. In a function of its own, as [`boxed`] is.
#[inline]
fn replying<R: Outcome, F: Future<Output: Same<R>> + Send + 'static>(
    make: impl FnOnce() -> F,
) -> HandlerFuture {
    let handler = make();
    Box::pin(async move { same::<_, R>(handler.await).into_reply() })
}

fn decode_arguments<A: Arguments>(context: &Context, body: Body) -> Result<A, Status> {
    A::decode(&body.into_bytes()).map_err(|error| {
        let method = context.method();
        Status::invalid_argument(format!("the arguments of {method} can't be decoded: {error}"))
            .with_source(error)
            .not_executed()
    })
}
