//! Code around calls, on either side.

use std::{fmt, sync::Arc};

use crate::{Reply, Request, Status, message::ReplyFuture};

/// Code around each call of a channel or of a server.
///
/// It sees the method, the metadata and the result, may change what goes beside the call, answer itself instead of
/// calling `next`, or call it more than once. The first that was added is the outermost. On a client interceptors
/// stand around all attempts of a call. On a server they stand between admission and the handler, around all services,
/// [`Health`](crate::Health) among them. They are not around calls that a server makes on a connection's way back
/// ([`Context::caller`](crate::Context::caller)).
///
/// A call is over for an interceptor when its stream of answers begins: see [`Reply::on_end`](crate::Reply::on_end). A
/// panic on a server becomes `Internal` for that call alone.
///
/// ```
/// use rpcnet::{Next, Request, Status, interceptor};
///
/// let guarded = interceptor::from_fn(|request: Request, next: Next| async move {
///     if request.metadata().get("x-token") != Some("open sesame") {
///         return Err(Status::unauthenticated("x-token is missing or wrong"));
///     }
///     next.run(request).await
/// });
/// let server = rpcnet::ServerConfig::builder().with_interceptor(guarded);
/// # let _ = server;
/// ```
pub trait Interceptor: Send + Sync + 'static {
    /// Takes a call, and mostly hands it on to `next`. Dropping the future cancels the call.
    ///
    /// # Errors
    ///
    /// The future gives what the call ends in. A status of its own counts as maybe executed, unless it says
    /// [`not_executed`](Status::not_executed): then a balanced channel may try elsewhere.
    fn intercept(&self, request: Request, next: Next) -> ReplyFuture;

    /// Becomes a part of a chain. What keeps state for one place in a chain overrides it.
    #[doc(hidden)]
    fn attach(self: Arc<Self>, next: Next) -> Next
    where
        Self: Sized,
    {
        Next::new(Link { interceptor: self, next })
    }
}

/// The rest of a chain: interceptors further in, and at its end the call itself. Cheap to clone.
#[derive(Clone)]
pub struct Next(Arc<dyn RequestHandler>);

/// Takes a call: a link of a chain, or its end.
pub(crate) trait RequestHandler: Send + Sync + 'static {
    fn call(&self, request: Request) -> ReplyFuture;
}

impl Next {
    pub(crate) fn new(service: impl RequestHandler) -> Self {
        Self(Arc::new(service))
    }

    /// Makes the call. Dropping the future cancels it.
    ///
    /// # Errors
    ///
    /// The future gives the status that the call ended in. An error that the method declares is no status: see
    /// [`Reply::code`](crate::Reply::code).
    pub fn run(&self, request: Request) -> ReplyFuture {
        self.0.call(request)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

struct Link<I> {
    interceptor: Arc<I>,
    next: Next,
}

impl<I: Interceptor> RequestHandler for Link<I> {
    fn call(&self, request: Request) -> ReplyFuture {
        self.interceptor.intercept(request, self.next.clone())
    }
}

/// An interceptor that is an async closure.
pub fn from_fn<F, R>(intercept: F) -> impl Interceptor
where
    F: Fn(Request, Next) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply, Status>> + Send + 'static,
{
    FromFn(intercept)
}

struct FromFn<F>(F);

impl<F, R> Interceptor for FromFn<F>
where
    F: Fn(Request, Next) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply, Status>> + Send + 'static,
{
    fn intercept(&self, request: Request, next: Next) -> ReplyFuture {
        Box::pin((self.0)(request, next))
    }
}

/// Interceptors in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct Chain(Vec<Arc<dyn Attach>>);

trait Attach: Send + Sync {
    fn attach(self: Arc<Self>, next: Next) -> Next;
}

impl<I: Interceptor> Attach for I {
    fn attach(self: Arc<Self>, next: Next) -> Next {
        Interceptor::attach(self, next)
    }
}

impl Chain {
    pub(crate) fn push(&mut self, interceptor: impl Interceptor) {
        self.0.push(Arc::new(interceptor));
    }

    /// Puts the interceptors around `end`; `None` where there are none.
    pub(crate) fn around(&self, end: impl RequestHandler) -> Option<Next> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.0.iter().rev().fold(Next::new(end), |next, interceptor| interceptor.clone().attach(next)))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("len", &self.0.len()).finish()
    }
}
