//! A tower layer as an interceptor.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use ::tower::{BoxError, Layer, Service};

use super::{CallFuture, ServiceSlot};
use crate::{Interceptor, Next, Reply, Request, Status, interceptor, message::ReplyFuture};

/// An interceptor that is a tower layer, or a stack of them ([`ServiceBuilder`](::tower::ServiceBuilder)).
///
/// The layer is applied once for each place where the interceptor stands: once for a server, once for each channel of a
/// builder. What its service shares among clones (the permits of a concurrency limit, the worker of a buffer) is
/// shared by all calls there. For each call the service is cloned and driven until it is ready; while it is not, the
/// call waits. A service that can't be cloned, such as tower's rate limit, goes behind a `buffer`.
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

/// The rest of a chain of interceptors as a tower service: what a [`layer`] is put around. Always ready.
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
    /// For an interceptor that hands calls on to this one itself: the layer is applied for each.
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
