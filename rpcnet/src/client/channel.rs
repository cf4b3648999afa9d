//! A channel to one server.

use std::{pin::Pin, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{Caller, ChannelBuilder, ReplyStream, Request};
use crate::{
    ConfigError, Limits, Status,
    context::inherited_deadline,
    pool::{Dialer, Remote},
    service::Reply,
    session::Session,
    tls::{CaCertificates, OwnCertificate},
};

/// The future of a call.
pub(crate) type CallFuture = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;

/// So long from now; a time that no clock can tell is a very long one.
pub(crate) fn after(timeout: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    Instant::now() + timeout.min(LONG)
}

/// When a call ends: after its own timeout, the method's or the default, and never after the handler inside which
/// it is made.
pub(crate) fn deadline(request: &Request, limits: &Limits) -> Instant {
    let timeout =
        request.timeout.or_else(|| request.method.timeout()).unwrap_or_else(|| limits.default_timeout());
    let own = after(timeout);
    inherited_deadline().map_or(own, |inherited| own.min(inherited))
}

/// A connection to one server, made again whenever it is lost. Cheap to clone.
///
/// A call waits for an attempt to connect that is under way; between attempts it fails at once with `Unavailable`
/// and the reason why the last attempt failed. The connection is closed when the last clone and the last call are
/// dropped.
#[derive(Debug, Clone)]
pub struct Channel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dialer: Arc<Dialer>,
    remote: Remote,
}

impl Channel {
    pub(super) fn new(dialer: Arc<Dialer>, remote: Remote) -> Self {
        Self { inner: Arc::new(Inner { dialer, remote }) }
    }

    /// Starts to describe a channel.
    pub fn builder() -> ChannelBuilder {
        ChannelBuilder::default()
    }

    /// Shows another certificate in new handshakes; the connection that stands goes on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a certificate or key that is not usable; the one before stays in force.
    pub async fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ConfigError> {
        self.inner.dialer.tls.replace_own(&OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?)
    }

    /// Trusts these CAs, and no others, in new handshakes; the connection that stands goes on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for text that holds no usable certificate; those before stay in force.
    pub async fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.inner.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?)
    }

    /// Whether a connection stands on which calls can be sent.
    pub fn is_connected(&self) -> bool {
        self.inner.remote.ready().is_some()
    }

    /// Makes a call whose reply is a stream of items. The request's timeout bounds its start alone.
    ///
    /// # Errors
    ///
    /// As for any call.
    #[doc(hidden)]
    pub async fn call_items<T: DeserializeOwned>(&self, request: Request) -> Result<ReplyStream<T>, Status> {
        let deadline = deadline(&request, &self.inner.dialer.limits);
        let session = self.session(deadline).await?;
        session.call_items(&request, deadline).await.map(ReplyStream::new)
    }

    async fn session(&self, deadline: Instant) -> Result<Session, Status> {
        if let Some(session) = self.inner.remote.ready() {
            return Ok(session);
        }
        timeout_at(deadline, self.inner.remote.session())
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no connection came in time").not_executed()))
    }
}

impl Caller for Channel {
    type Future = CallFuture;

    fn call(&self, request: Request) -> CallFuture {
        let channel = self.clone();
        Box::pin(async move {
            let deadline = deadline(&request, &channel.inner.dialer.limits);
            let first = channel.session(deadline).await?;
            match first.call(&request, deadline).await {
                // The server went away in the moment in which the call was sent, and never started it: the next
                // connection may lead to its successor.
                Err(status) if !status.maybe_executed() && first.condition().borrow().draining => {
                    let next = channel.session(deadline).await.map_err(|_| status)?;
                    next.call(&request, deadline).await
                }
                result => result,
            }
        })
    }
}

/// Makes calls to the peer of a connection that the peer opened. See [`Context::caller`](crate::Context::caller).
#[derive(Debug, Clone)]
pub struct PeerCaller {
    session: Session,
}

impl PeerCaller {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }
}

impl Caller for PeerCaller {
    type Future = CallFuture;

    fn call(&self, request: Request) -> CallFuture {
        let session = self.session.clone();
        Box::pin(async move {
            let deadline = deadline(&request, session.limits());
            session.call(&request, deadline).await
        })
    }
}
