//! A call: a builder until it is first polled, then a future.

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

/// A call to a method that returns `Result<T, E>`. Set options on it, then await it.
///
/// It is owned and `Send`: it borrows neither the client nor anything else. Nothing is sent before it is
/// first polled.
///
/// Dropping it cancels the call: a request not yet sent is withdrawn, and a running handler is dropped. If
/// `T` is a [`Streaming`](crate::Streaming), the call is ready when the stream begins, and dropping the
/// stream cancels the rest.
///
/// # Errors
///
/// A [`CallError`]: the method's own error, or the status that the call ended in.
/// [`CallError::maybe_executed`] tells whether the handler may have run.
///
/// # Panics
///
/// Panics if it is polled again after it was ready, as any future may.
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{HealthClient, Trace};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
/// let health = HealthClient::new(channel);
/// let call = health.health().timeout(Duration::from_secs(1)).metadata("tenant", "acme").trace(Trace::new());
/// // Nothing has been sent yet.
/// let state = call.await?;
/// # let _ = state;
/// # Ok(())
/// # }
/// ```
#[must_use = "a call is not made until it is awaited"]
pub struct Call<C: Caller, T, E> {
    state: CallState<C>,
    decode: fn(Reply) -> Result<T, CallError<E>>,
}

enum CallState<C: Caller> {
    Building { caller: C, request: Request },
    Invalid(Status),
    Running(C::Future),
    Done,
}

/// Encodes the arguments and prepares the call. Called by generated clients.
pub fn start_call<C: Caller, A: Arguments, R: Outcome>(
    caller: &C,
    method: &'static Method,
    arguments: &A,
) -> Call<C, R::Value, R::ClientError> {
    start::<C, A, R>(caller, method, arguments, |request| request)
}

/// As [`start_call`], for a method whose last argument is a stream of items.
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
    /// Ends the call with `DeadlineExceeded` after this time. Replaces the method's or the channel's default.
    ///
    /// For a call with streams, the timeout bounds the whole call, to the last item. Without a timeout, only
    /// the start of the reply is bounded, by the channel's default. A call inside a handler never outlives
    /// the handler's own deadline.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.timeout = Some(timeout))
    }

    /// Ends a reply stream with `DeadlineExceeded` if the caller waits longer than this for an item. Replaces
    /// the method's `item_timeout`; without either there is no such bound. Time during which the caller does
    /// not wait for an item does not count.
    pub fn item_timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.item_timeout = Some(timeout))
    }

    /// Puts the call into a trace, in place of the trace of the handler in which it is made.
    pub fn trace(self, trace: Trace) -> Self {
        self.with(|request| request.trace = Some(trace))
    }

    /// Sends a name and a value as metadata with the call.
    ///
    /// If the name is not allowed (see [`Metadata`]), the call ends with `InvalidArgument`.
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

    /// Routes the call by this key, in place of the one that the method's option `key` names. Calls with
    /// equal keys go to one server if the channel's policy uses keys. The hash is taken over the encoding; a
    /// tuple of one value is encoded like the value.
    ///
    /// If the key cannot be encoded, the call ends with `InvalidArgument`.
    pub fn key(self, key: impl Serialize) -> Self {
        self.routed(Key::of(&key))
    }

    /// As [`key`](Self::key), for a key that is hashed already. Called by generated clients.
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

    /// Returns the result together with the metadata that the server sent.
    ///
    /// Metadata of a status is in [`Status::metadata`]. Metadata of the method's own error is visible to
    /// interceptors only.
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

// Nothing in a call is structurally pinned: the future of the call in flight is `Unpin`.
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

/// A result together with the metadata that the server sent.
#[derive(Debug, Clone)]
pub struct Response<T> {
    /// The value that the method returned.
    pub value: T,
    /// The metadata sent before or with the result. For a stream it is also in
    /// [`Streaming::metadata`](crate::Streaming::metadata).
    pub metadata: Metadata,
    /// The metadata sent with the end of the call. For a stream it comes later: see
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
