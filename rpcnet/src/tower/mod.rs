//! Tower's middleware around calls, and callers as tower services.
//!
//! [`layer`] turns a tower layer into an interceptor, for a client or a server:
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
//! [`service`] turns a caller into a tower service, and [`caller`] turns a service into a caller. Together
//! they put a stack of layers around a channel:
//!
//! ```
//! use std::time::Duration;
//!
//! use rpcnet::HealthClient;
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = rpcnet::testing::Network::new();
//! # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
//! # let server = rpcnet::Server::new(config)?;
//! # let address = server.local_addr();
//! # let running = server.clone();
//! # tokio::spawn(async move { running.run().await });
//! # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
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
//! Services may have any error type. An error becomes the status of the call:
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
//! An error that is not a status is kept as the source of the status.
//!
//! A status says that the call was *not executed* ([`Status::maybe_executed`]) only if that is certain.
//! First, one of these must hold:
//!
//! - the services never got ready,
//! - the call was shed,
//! - the error is a status that says so.
//!
//! Second, no attempt that a layer has made of the call may have run. A call that exceeds tower's timeout may
//! have run.

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

/// Makes one call on a clone of the service.
async fn call<S>(mut service: S, mut request: Request) -> Result<Reply, Status>
where
    S: Service<Request, Response = Reply, Error: Into<BoxError>>,
{
    let attempts = AttemptCount::of(&mut request);
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| error::not_ready(error.into()))?;
    let call = service.call(request);
    // The handle is not held during the call, as in `tower::ServiceExt::oneshot`.
    drop(service);
    call.await.map_err(|error| error::failed(error.into(), attempts.may_have_run()))
}

/// Holds a service that each call clones. The lock is for services that are not `Sync`; it is held only while
/// cloning.
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
