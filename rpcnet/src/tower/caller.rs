//! Conversions between callers and tower services.

use std::{
    fmt,
    task::{Context, Poll},
};

use ::tower::{BoxError, Service};

use super::{CallFuture, ServiceSlot};
use crate::{Caller, Reply, Request, Status, message::ReplyFuture};

/// Returns a tower service that makes its calls on a channel or another [`Caller`]. It is always ready: a
/// caller waits for its connection within the call.
pub fn service<C: Caller>(caller: C) -> CallerService<C> {
    CallerService { caller }
}

/// Returns a caller that makes its calls on a tower service, for generated clients.
///
/// For each call, the service is cloned and driven until it is ready. Clones of the caller share state as
/// clones of the service do. Errors become statuses as [the module](super#errors) says.
pub fn caller<S>(service: S) -> ServiceCaller<S>
where
    S: Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    ServiceCaller { place: ServiceSlot::new(service) }
}

/// The tower service returned by [`service`].
#[derive(Debug, Clone)]
pub struct CallerService<C> {
    caller: C,
}

impl<C: Caller> Service<Request> for CallerService<C> {
    type Response = Reply;
    type Error = Status;
    type Future = CallFuture<C::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        CallFuture::new(request, |request| self.caller.call(request))
    }
}

/// The caller returned by [`caller`].
pub struct ServiceCaller<S> {
    place: ServiceSlot<S>,
}

impl<S> Caller for ServiceCaller<S>
where
    S: Service<Request, Response = Reply, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    type Future = ReplyFuture;

    fn call(&self, request: Request) -> ReplyFuture {
        let place = self.place.clone();
        // Nothing is done before the call is polled.
        Box::pin(async move { super::call(place.service(), request).await })
    }
}

impl<S> Clone for ServiceCaller<S> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone() }
    }
}

impl<S> fmt::Debug for ServiceCaller<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCaller").finish_non_exhaustive()
    }
}
