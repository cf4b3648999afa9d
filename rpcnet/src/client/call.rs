//! One call: a builder until it is polled, then a future.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    CallError, Metadata, Method, Status, codec,
    service::{Outcome, Reply},
};

/// What calls can be made on: a [`Channel`](crate::Channel), a pool of workers, the peer of a connection.
///
/// Generated clients are generic over it, and everything that wraps calls composes on it.
pub trait Caller: Clone + Send + Sync + 'static {
    /// A call at work. Dropping it cancels the call, at the server too. `Unpin`, as one that is boxed is.
    type Future: Future<Output = Result<Reply, Status>> + Send + Unpin + 'static;

    /// Prepares a call; nothing is sent until the future is polled.
    fn call(&self, request: Request) -> Self::Future;
}

/// A call before it is sent: method, encoded arguments, options.
///
/// Cheap to clone: the arguments are shared.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: &'static Method,
    pub(crate) body: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) metadata: Metadata,
}

impl Request {
    /// A call of this method with encoded arguments.
    pub fn new(method: &'static Method, body: Bytes) -> Self {
        Self { method, body, timeout: None, metadata: Metadata::default() }
    }

    /// With a deadline of its own.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The method to call.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// What goes beside the arguments.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// A call to a method that returns `Result<T, E>`: options are set on it, then it is awaited.
///
/// Owned and `Send`: it borrows neither the client nor anything else. Nothing is sent before it is first polled.
/// Dropping it cancels the call: a request not yet sent is withdrawn, a handler that runs is dropped.
///
/// # Panics
///
/// When it is polled after it was ready, as any future may.
#[must_use = "a call is not made until it is awaited"]
pub struct Call<C: Caller, T, E> {
    state: State<C>,
    decode: fn(Reply) -> Result<T, CallError<E>>,
}

enum State<C: Caller> {
    Building { caller: C, request: Request },
    Invalid(Status),
    Running(C::Future),
    Done,
}

/// Encodes the arguments and prepares the call. What generated clients call.
pub fn start_call<C: Caller, A: Serialize, R: Outcome>(
    caller: &C,
    method: &'static Method,
    arguments: &A,
) -> Call<C, R::Value, R::ClientError> {
    let state = match codec::encode(arguments) {
        Ok(body) => State::Building { caller: caller.clone(), request: Request::new(method, body) },
        Err(error) => State::Invalid(
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
    /// A call inside a handler ends with the handler's own deadline where that comes sooner.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        if let State::Building { request, .. } = &mut self.state {
            request.timeout = Some(timeout);
        }
        self
    }

    /// Sends a name and a value beside the arguments.
    ///
    /// A name that is not allowed (see [`Metadata`]) makes the call end with `InvalidArgument`.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let State::Building { request, .. } = &mut self.state
            && let Err(error) = request.metadata.insert(name, value)
        {
            self.state =
                State::Invalid(Status::invalid_argument(error.to_string()).with_source(error).not_executed());
        }
        self
    }
}

// Nothing in it is pinned in place: the future at work is `Unpin`.
impl<C: Caller, T, E> Unpin for Call<C, T, E> {}

impl<C: Caller, T, E> Future for Call<C, T, E> {
    type Output = Result<T, CallError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.state {
                State::Running(future) => {
                    let reply = ready!(Pin::new(future).poll(cx));
                    self.state = State::Done;
                    return Poll::Ready(reply.map_err(CallError::from).and_then(self.decode));
                }
                state => match std::mem::replace(state, State::Done) {
                    State::Building { caller, request } => {
                        self.state = State::Running(caller.call(request));
                    }
                    State::Invalid(status) => return Poll::Ready(Err(status.into())),
                    State::Running(_) | State::Done => panic!("a call was polled after it was ready"),
                },
            }
        }
    }
}

impl<C: Caller, T, E> fmt::Debug for Call<C, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Call");
        match &self.state {
            State::Building { request, .. } => debug.field("request", request),
            State::Invalid(status) => debug.field("invalid", status),
            State::Running(_) => debug.field("state", &"running"),
            State::Done => debug.field("state", &"done"),
        };
        debug.finish_non_exhaustive()
    }
}
