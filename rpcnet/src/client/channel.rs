//! A channel to one server.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{Caller, ChannelBuilder, Times};
use crate::{
    ConfigError, Reply, Request, Status,
    context::Scope,
    interceptor::{self, Next},
    message::{Answer, ReplyFuture},
    pool::{Dialer, Remote},
    session::Session,
    tls::{CaCertificates, OwnCertificate},
};

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
    core: Arc<Core>,
    /// The interceptors, where there are some; at their end stands the core.
    chain: Option<Next>,
}

/// A channel without interceptors.
#[derive(Debug)]
struct Core {
    dialer: Arc<Dialer>,
    remote: Remote,
}

impl Channel {
    pub(super) fn new(dialer: Arc<Dialer>, remote: Remote) -> Self {
        let core = Arc::new(Core { dialer, remote });
        let chain = core.dialer.interceptors.around(End(core.clone()));
        Self { inner: Arc::new(Inner { core, chain }) }
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
        self.inner.core.dialer.tls.replace_own(&OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?)
    }

    /// Trusts these CAs, and no others, in new handshakes; the connection that stands goes on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for text that holds no usable certificate; those before stay in force.
    pub async fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.inner.core.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?)
    }

    /// Whether a connection stands on which calls can be sent.
    pub fn is_connected(&self) -> bool {
        self.inner.core.remote.ready().is_some()
    }
}

/// The end of the chain of a channel's interceptors: the call.
#[derive(Debug)]
struct End(Arc<Core>);

impl interceptor::Service for End {
    fn call(&self, request: Request) -> ReplyFuture {
        let core = self.0.clone();
        Box::pin(async move { core.call(request).await })
    }
}

impl Core {
    async fn session(&self, by: Instant) -> Result<Session, Status> {
        if let Some(session) = self.remote.ready() {
            return Ok(session);
        }
        timeout_at(by, self.remote.session())
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no connection came in time").not_executed()))
    }

    async fn call(&self, request: Request) -> Result<Reply, Status> {
        let times = Times::of(&request, &self.dialer.limits);
        let first = self.session(times.open_by()).await?;
        match first.call(&request, &times).await {
            // The server went away in the moment in which the call was sent, and never started it: the next
            // connection may lead to its successor.
            Err(status)
                if !status.maybe_executed()
                    && request.is_repeatable()
                    && first.condition().borrow().draining =>
            {
                let next = self.session(times.open_by()).await.map_err(|_| status)?;
                next.call(&request, &times).await
            }
            result => result,
        }
    }
}

/// A call that is made inside a handler belongs to the handler's trace, unless it was put into another.
pub(super) fn inherit_trace(request: &mut Request) {
    if request.trace.is_none() {
        request.trace = Scope::inherited().trace;
    }
}

impl Caller for Channel {
    type Future = ReplyFuture;

    fn call(&self, mut request: Request) -> ReplyFuture {
        let channel = self.clone();
        Box::pin(async move {
            inherit_trace(&mut request);
            let mut reply = match &channel.inner.chain {
                None => channel.inner.core.call(request).await?,
                Some(chain) => chain.run(request).await?,
            };
            // The connection stands until the stream ends.
            if let Answer::Items(items) = &mut reply.answer {
                items.keep(channel);
            }
            Ok(reply)
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
    type Future = ReplyFuture;

    fn call(&self, mut request: Request) -> ReplyFuture {
        let session = self.session.clone();
        Box::pin(async move {
            inherit_trace(&mut request);
            let times = Times::of(&request, session.limits());
            session.call(&request, &times).await
        })
    }
}
