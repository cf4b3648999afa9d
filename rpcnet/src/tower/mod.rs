//! Tower's middleware around calls, and callers as tower services.
//!
//! [`layer`] makes an interceptor of a tower layer, for a client or a server:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower::ServiceBuilder;
//!
//! let layers = ServiceBuilder::new().load_shed().concurrency_limit(64).timeout(Duration::from_secs(2));
//! let server = rpcnet::ServerConfig::builder().with_interceptor(rpcnet::tower::layer(layers));
//! # let _ = server;
//! ```
//!
//! [`service`] and [`caller`] go there and back, for stacks that are put together around a channel:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use rpcnet::{Channel, HealthClient};
//! use tower::ServiceBuilder;
//!
//! # async fn example(channel: Channel) -> Result<(), Box<dyn std::error::Error>> {
//! let stack = ServiceBuilder::new()
//!     .concurrency_limit(64)
//!     .timeout(Duration::from_secs(2))
//!     .service(rpcnet::tower::service(channel));
//! let health = HealthClient::new(rpcnet::tower::caller(stack));
//! println!("{:?}", health.health().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! Services may have any error. What they end in becomes the status of the call:
//!
//! | error | status |
//! |---|---|
//! | [`Status`] | itself |
//! | one with a status among its sources | that status |
//! | [`Elapsed`](::tower::timeout::error::Elapsed) | `DeadlineExceeded` |
//! | [`Overloaded`](::tower::load_shed::error::Overloaded) | `ResourceExhausted` |
//! | any other, of `poll_ready` | `Unavailable` |
//! | any other | `Unknown` |
//!
//! An error that is no status is kept as the status' source. A status says that the call was *not executed*
//! ([`Status::maybe_executed`]) only where that is certain: the services never got ready, the call was shed, or the
//! error is a status that says so; and no attempt that a layer has made of the call may have run. What runs out of
//! tower's time may have run.

mod attempts;
mod caller;
mod error;
mod layer;

use std::{fmt, future::poll_fn, sync::Arc};

use ::tower::{BoxError, Service};

use self::attempts::AttemptCount;
pub use self::{
    attempts::CallFuture,
    caller::{CallerService, ServiceCaller, caller, service},
    layer::{NextService, layer},
};
use crate::{Reply, Request, Status, lock::Mutex};

/// One call on a service of its own.
async fn call<S>(mut service: S, mut request: Request) -> Result<Reply, Status>
where
    S: Service<Request, Response = Reply, Error: Into<BoxError>>,
{
    let attempts = AttemptCount::of(&mut request);
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| error::not_ready(error.into()))?;
    let call = service.call(request);
    // As `tower::ServiceExt::oneshot` does: the handle is not held for as long as the call lasts.
    drop(service);
    call.await.map_err(|error| error::failed(error.into(), attempts.may_have_run()))
}

/// A service from which each call takes a clone. The lock is for services that are not `Sync`; it is held while one is
/// cloned.
struct ServiceSlot<S>(Arc<Mutex<S>>);

impl<S> ServiceSlot<S> {
    fn new(service: S) -> Self {
        Self(Arc::new(Mutex::new(service)))
    }
}

impl<S: Clone> ServiceSlot<S> {
    fn service(&self) -> S {
        self.0.lock().clone()
    }
}

impl<S> Clone for ServiceSlot<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for ServiceSlot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceSlot").finish_non_exhaustive()
    }
}
