//! One call: a builder until it is polled, then a future.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use serde::Serialize;

use super::Key;
use crate::{
    CallError, Caller, Metadata, Method, Reply, Request, Status,
    codec::Arguments,
    service::{ItemsArgument, Outcome},
    trace::Trace,
};

/// A call to a method that returns `Result<T, E>`: options are set on it, then it is awaited.
///
/// Owned and `Send`: it borrows neither the client nor anything else. Nothing is sent before it is first polled.
/// Dropping it cancels the call: a request not yet sent is withdrawn, a handler that runs is dropped. Where `T` is a
/// [`Streaming`](crate::Streaming), it is ready when the stream begins, and dropping the stream cancels the rest.
///
/// # Errors
///
/// It gives a [`CallError`]: the method's own error, or the status that the call ended in. Whether the handler may have
/// run tells [`CallError::maybe_executed`].
///
/// # Panics
///
/// When it is polled after it was ready, as any future may.
#[must_use = "a call is not made until it is awaited"]
pub struct Call<C: Caller, T, E> {
    state: CallState<C>,
    decode: fn(Reply) -> Result<T, CallError<E>>,
}

#[expect(clippy::large_enum_variant, reason = "a box would cost each call an allocation")]
enum CallState<C: Caller> {
    Building { caller: C, request: Request },
    Invalid(Status),
    Running(C::Future),
    Done,
}

/// Encodes the arguments and prepares the call. What generated clients call.
pub fn start_call<C: Caller, A: Arguments, R: Outcome>(
    caller: &C,
    method: &'static Method,
    arguments: &A,
) -> Call<C, R::Value, R::ClientError> {
    start::<C, A, R>(caller, method, arguments, |request| request)
}

/// Likewise, for a method whose last argument is a stream of items.
pub fn start_items<C: Caller, A: Arguments, S: ItemsArgument, R: Outcome>(
    caller: &C,
    method: &'static Method,
    arguments: &A,
    items: S,
) -> Call<C, R::Value, R::ClientError> {
    start::<C, A, R>(caller, method, arguments, |request| request.with_items(items.into_items()))
}

fn start<C: Caller, A: Arguments, R: Outcome>(
    caller: &C,
    method: &'static Method,
    arguments: &A,
    complete: impl FnOnce(Request) -> Request,
) -> Call<C, R::Value, R::ClientError> {
    let state = match arguments.encode() {
        Ok(body) => {
            CallState::Building { caller: caller.clone(), request: complete(Request::new(method, body)) }
        }
        Err(error) => CallState::Invalid(
            Status::invalid_argument(format!("the arguments of {method} can't be encoded: {error}"))
                .with_source(error)
                .not_executed(),
        ),
    };
    Call { state, decode: R::from_reply }
}

impl<C: Caller, T, E> Call<C, T, E> {
    /// Ends the call with `DeadlineExceeded` after this time, in place of the method's or the channel's default.
    ///
    /// For a call with streams it bounds all of it, to the last item; without, only the start of its answer is
    /// bounded (by the channel's default). A call inside a handler ends with the handler's own deadline where that
    /// comes sooner.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.timeout = Some(timeout))
    }

    /// Ends a stream of answers with `DeadlineExceeded` when an item is waited for longer than this, in place of the
    /// method's `item_timeout`. Without either there is no such bound. The time between two items that nobody waits
    /// for does not count.
    pub fn item_timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.item_timeout = Some(timeout))
    }

    /// Puts the call into a trace, in place of that of the handler in which it is made.
    pub fn trace(self, trace: Trace) -> Self {
        self.with(|request| request.trace = Some(trace))
    }

    /// Sends a name and a value beside the arguments.
    ///
    /// A name that is not allowed (see [`Metadata`]) makes the call end with `InvalidArgument`.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let CallState::Building { request, .. } = &mut self.state
            && let Err(error) = request.metadata.insert(name, value)
        {
            self.state = CallState::Invalid(
                Status::invalid_argument(error.to_string()).with_source(error).not_executed(),
            );
        }
        self
    }

    /// Routes the call by this, in place of what the method's option `key` names: where the channel's policy goes by
    /// keys, calls with equal ones go to one server. What is hashed is the encoding, and that of a tuple of one value is
    /// the value's.
    ///
    /// A key that can't be encoded makes the call end with `InvalidArgument`.
    pub fn key(self, key: impl Serialize) -> Self {
        self.routed(Key::of(&key))
    }

    /// As [`key`](Self::key), hashed before. What generated clients call.
    #[doc(hidden)]
    pub fn routed(mut self, key: Key) -> Self {
        if let CallState::Building { request, .. } = &mut self.state {
            match key.0 {
                Ok(key) => request.set_key(key),
                Err(error) => {
                    let method = request.method;
                    self.state = CallState::Invalid(
                        Status::invalid_argument(format!("the key of {method} can't be encoded: {error}"))
                            .with_source(error)
                            .not_executed(),
                    );
                }
            }
        }
        self
    }

    /// The answer with what the server sent beside it.
    ///
    /// What comes beside a status is in [`Status::metadata`]; what comes beside an error of the method's own is seen by
    /// interceptors alone.
    pub fn response(self) -> CallResponse<C, T, E> {
        CallResponse(self)
    }

    fn with(mut self, change: impl FnOnce(&mut Request)) -> Self {
        if let CallState::Building { request, .. } = &mut self.state {
            change(request);
        }
        self
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Status>> {
        loop {
            match &mut self.state {
                CallState::Running(future) => {
                    let reply = ready!(Pin::new(future).poll(cx));
                    self.state = CallState::Done;
                    return Poll::Ready(reply);
                }
                state => match std::mem::replace(state, CallState::Done) {
                    CallState::Building { caller, request } => {
                        self.state = CallState::Running(caller.call(request));
                    }
                    CallState::Invalid(status) => return Poll::Ready(Err(status)),
                    CallState::Running(_) | CallState::Done => panic!("a call was polled after it was ready"),
                },
            }
        }
    }
}

// Nothing in it is pinned in place: the future at work is `Unpin`.
impl<C: Caller, T, E> Unpin for Call<C, T, E> {}

impl<C: Caller, T, E> Future for Call<C, T, E> {
    type Output = Result<T, CallError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(self.poll_reply(cx));
        Poll::Ready(reply.map_err(CallError::from).and_then(self.decode))
    }
}

/// The future of [`Call::response`].
#[must_use = "a call is not made until it is awaited"]
#[derive(Debug)]
pub struct CallResponse<C: Caller, T, E>(Call<C, T, E>);

impl<C: Caller, T, E> Future for CallResponse<C, T, E> {
    type Output = Result<Response<T>, CallError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(self.0.poll_reply(cx));
        Poll::Ready(reply.map_err(CallError::from).and_then(|reply| {
            let (metadata, trailers) = (reply.metadata.clone(), reply.trailers.clone());
            Ok(Response { value: (self.0.decode)(reply)?, metadata, trailers })
        }))
    }
}

/// An answer with what the server sent beside it.
#[derive(Debug, Clone)]
pub struct Response<T> {
    /// What the method returned.
    pub value: T,
    /// What came before the answer, or with it. That of a stream is in
    /// [`Streaming::metadata`](crate::Streaming::metadata) too.
    pub metadata: Metadata,
    /// What came with the end of the call. That of a stream comes later: see
    /// [`Streaming::trailers`](crate::Streaming::trailers).
    pub trailers: Metadata,
}

impl<C: Caller, T, E> fmt::Debug for Call<C, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Call");
        match &self.state {
            CallState::Building { request, .. } => debug.field("request", request),
            CallState::Invalid(status) => debug.field("invalid", status),
            CallState::Running(_) => debug.field("state", &"running"),
            CallState::Done => debug.field("state", &"done"),
        };
        debug.finish_non_exhaustive()
    }
}
