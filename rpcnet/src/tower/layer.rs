//! Tower layers as interceptors.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use ::tower::{BoxError, Layer, Service};

use super::{CallFuture, ServiceSlot};
use crate::{Interceptor, Next, Reply, Request, Status, interceptor, message::ReplyFuture};

/// Returns an interceptor made of a tower layer, or of a stack of layers
/// ([`ServiceBuilder`](::tower::ServiceBuilder)).
///
/// The layer is applied once for each place where the interceptor is used: once for a server, once for each
/// channel of a builder. All calls there share the state that clones of its service share, such as the
/// permits of a concurrency limit or the worker of a buffer.
///
/// For each call, the service is cloned and driven until it is ready. The call waits meanwhile. A service
/// that cannot be cloned, such as tower's rate limit, goes behind a `buffer`.
///
/// Errors become statuses as [the module](super#errors) says.
pub fn layer<L>(layer: L) -> impl Interceptor
where
    L: Layer<NextService> + Send + Sync + 'static,
    L::Service:
        Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    Layered(layer)
}

/// The rest of a chain of interceptors as a tower service: the service that a [`layer`] wraps. Always ready.
#[derive(Debug, Clone)]
pub struct NextService(Next);

impl Service<Request> for NextService {
    type Response = Reply;
    type Error = Status;
    type Future = CallFuture<ReplyFuture>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        CallFuture::new(request, |request| self.0.run(request))
    }
}

struct Layered<L>(L);

impl<L> Interceptor for Layered<L>
where
    L: Layer<NextService> + Send + Sync + 'static,
    L::Service:
        Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    /// Called only if another interceptor hands its calls to this one: the layer is then applied for each
    /// call.
    fn intercept(&self, request: Request, next: Next) -> ReplyFuture {
        Box::pin(super::call(self.0.layer(NextService(next)), request))
    }

    fn attach(self: Arc<Self>, next: Next) -> Next {
        Next::new(ServiceSlot::new(self.0.layer(NextService(next))))
    }
}

impl<S> interceptor::RequestHandler for ServiceSlot<S>
where
    S: Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    fn call(&self, request: Request) -> ReplyFuture {
        Box::pin(super::call(self.service(), request))
    }
}
