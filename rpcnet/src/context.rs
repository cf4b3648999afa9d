//! The context of a call, for its handler.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering, fence},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Metadata, MetadataError, Method, PeerIdentity,
    lock::Mutex,
    message::{Extensions, Relayed},
    session::{PeerCaller, Session},
    trace::Trace,
};

tokio::task_local! {
    static SCOPE: Scope;
}

/// The deadline and trace that calls inside a handler inherit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: Option<Trace>,
}

impl Scope {
    /// The scope of the handler in which this runs.
    pub(crate) fn inherited() -> Self {
        SCOPE.try_with(|scope| *scope).unwrap_or_default()
    }

    /// Runs a function such that the calls made inside it inherit this.
    pub(crate) fn enter<R>(self, run: impl FnOnce() -> R) -> R {
        SCOPE.sync_scope(self, run)
    }

    /// Runs a future such that the calls made inside it inherit this.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        SCOPE.scope(self, future)
    }
}

/// A call's surroundings: who called, what came beside the arguments, how long there is; and what goes back beside
/// the result.
///
/// Cheap to clone; may outlive the call.
///
/// ```
/// use rpcnet::{Context, Status, rpc_impl, rpc_trait};
///
/// #[rpc_trait]
/// trait Archive {
///     async fn find(&self, cx: &Context, name: String) -> rpcnet::Result<String>;
/// }
///
/// struct Disk;
///
/// #[rpc_impl]
/// impl Archive for Disk {
///     async fn find(&self, cx: &Context, name: String) -> rpcnet::Result<String> {
///         let tenant = cx.metadata().get("tenant");
///         let tenant = tenant.ok_or_else(|| Status::invalid_argument("the metadata lack a tenant"))?;
///         println!("{} may wait for {:?}", cx.peer().name(), cx.remaining());
///         cx.add_metadata("cache", "miss")?;
///         Ok(format!("{tenant}/{name}"))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # server.register(ArchiveServer::new(Disk))?;
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let channel = rpcnet::Channel::builder().with_network(&network).connect(address.to_string()).await?;
/// let found = ArchiveClient::new(channel).find("plan".into()).metadata("tenant", "acme").response().await?;
/// assert_eq!(found.value, "acme/plan");
/// assert_eq!(found.metadata.get("cache"), Some("miss"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    inner: Arc<Inner>,
    /// Metadata and extensions as interceptors have changed them.
    changed: Option<Arc<Overrides>>,
    resume_after: u64,
}

#[derive(Debug)]
struct Overrides {
    metadata: Metadata,
    extensions: Extensions,
}

#[derive(Debug)]
struct Inner {
    method: &'static Method,
    session: Session,
    scope: Scope,
    metadata: Metadata,
    /// The description of a call that is to be forwarded.
    relayed: Option<Arc<Relayed>>,
    /// Made when the handler first says something.
    beside: OnceLock<Mutex<ResponseMetadata>>,
    cancelled: AtomicBool,
    /// Made when somebody first waits: most handlers never do.
    token: OnceLock<CancellationToken>,
}

/// Metadata and trailers that go back beside the result.
#[derive(Debug, Default)]
pub(crate) struct ResponseMetadata {
    pub(crate) metadata: Metadata,
    pub(crate) trailers: Metadata,
}

impl Context {
    pub(crate) fn new(method: &'static Method, session: Session, scope: Scope, metadata: Metadata) -> Self {
        let inner = Inner {
            method,
            session,
            scope,
            metadata,
            relayed: None,
            beside: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            token: OnceLock::new(),
        };
        Self { inner: Arc::new(inner), changed: None, resume_after: 0 }
    }

    /// Sets how many items of its stream the caller has had.
    pub(crate) fn resuming(self, after: u64) -> Self {
        Self { resume_after: after, ..self }
    }

    /// Marks the call as one to be forwarded. No clone of the context may exist yet.
    pub(crate) fn with_relayed(mut self, relayed: Option<Arc<Relayed>>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.relayed = relayed;
        }
        self
    }

    pub(crate) fn relayed(&self) -> Option<&Arc<Relayed>> {
        self.inner.relayed.as_ref()
    }

    /// The same call after interceptors have changed what goes beside it, for a handler that is about to start. One
    /// that an interceptor has dropped, to start another, has cancelled a context: that is left to it.
    pub(crate) fn with_changes(self, metadata: Metadata, extensions: Extensions) -> Self {
        let changed = Some(Arc::new(Overrides { metadata, extensions }));
        if self.is_cancelled() {
            let Inner { method, session, scope, metadata, relayed, .. } = &*self.inner;
            let fresh = Self::new(method, session.clone(), *scope, metadata.clone());
            let fresh = fresh.with_relayed(relayed.clone());
            return Self { changed, resume_after: self.resume_after, ..fresh };
        }
        Self { changed, ..self }
    }

    /// The method that was called.
    pub fn method(&self) -> &'static Method {
        self.inner.method
    }

    /// The identity of the caller from its certificate: subject, names, and the node's id in the cluster.
    pub fn peer(&self) -> &PeerIdentity {
        self.inner.session.connection().peer()
    }

    /// The address that the call came from.
    pub fn remote_addr(&self) -> SocketAddr {
        self.inner.session.connection().remote_addr()
    }

    /// The metadata that the caller sent beside the arguments.
    pub fn metadata(&self) -> &Metadata {
        self.changed.as_ref().map_or(&self.inner.metadata, |changed| &changed.metadata)
    }

    /// The value of this type that an interceptor has handed on
    /// ([`Request::insert_extension`](crate::Request::insert_extension)).
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.changed.as_ref().and_then(|changed| changed.extensions.of())
    }

    /// Sends a name and a value back beside the result, or the error; beside the start of one that is a stream.
    ///
    /// # Errors
    ///
    /// A name that is not allowed, and a pair too many (see [`Metadata`]); nothing is added then. What is added
    /// after a stream has started is not sent.
    pub fn add_metadata(
        &self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), MetadataError> {
        self.beside().metadata.insert(name, value)
    }

    /// Sends a name and a value back with the end of the call: for a stream behind its last item.
    ///
    /// # Errors
    ///
    /// As [`add_metadata`](Self::add_metadata).
    pub fn add_trailer(
        &self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), MetadataError> {
        self.beside().trailers.insert(name, value)
    }

    /// The time at which the caller stops waiting, if it has one. The handler is dropped then.
    pub fn deadline(&self) -> Option<std::time::Instant> {
        self.inner.scope.deadline.map(Instant::into_std)
    }

    /// The time until the deadline; zero once it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.inner.scope.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The trace that the call belongs to, with a span of the handler's own; `None` if the caller was in none.
    pub fn trace(&self) -> Option<Trace> {
        self.inner.scope.trace
    }

    /// Runs a future such that calls made inside it inherit the deadline and the trace of this call. A handler is
    /// run so itself, and so is a stream that it returns; tasks that it spawns are not. The future is not ended when
    /// the call is.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.inner.scope.around(future)
    }

    /// Returns whether the call ended before its handler did.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Acquire)
    }

    /// Waits until the call ends before its handler does: because the caller gave it up, its deadline passed, or
    /// the connection was lost.
    ///
    /// The handler itself is dropped at that moment; this is for tasks that it spawned. It never resolves for a
    /// handler that returns, or for a stream that is sent to its end. Cancel-safe.
    pub async fn cancelled(&self) {
        let token = self.inner.token.get_or_init(CancellationToken::new);
        // The flag is set before the token is looked for, and the token is made before the flag is read. The two
        // fences put these four into one order, so that one of the two sides sees the other.
        fence(Ordering::SeqCst);
        if self.is_cancelled() {
            return;
        }
        token.cancelled().await;
    }

    /// Waits until the server takes no new calls, because it is going down. What runs may go on for the drain
    /// timeout: a stream that never ends by itself should end now, unless its method is
    /// `resumable`. Cancel-safe.
    pub async fn draining(&self) {
        self.inner.session.router().drained().await;
    }

    /// The number of items of this stream that its caller has had, from servers that have gone: the handler of a
    /// `resumable` method begins behind them. Zero for a stream that begins, and for all other methods.
    ///
    /// The item that it sends first is number `resume_after() + 1` to the caller, so all servers must make the same
    /// items of the same arguments, or keep their number beside them. When the server drains, such a stream is ended
    /// without the handler being asked, and goes on elsewhere.
    pub fn resume_after(&self) -> u64 {
        self.resume_after
    }

    /// A caller that opens calls to the peer on the connection that this call came on.
    ///
    /// The peer answers them if it has registered services on its channel
    /// ([`ChannelBuilder::with_service`](crate::ChannelBuilder::with_service)).
    pub fn caller(&self) -> PeerCaller {
        PeerCaller::new(self.inner.session.clone())
    }

    /// Derives the context of a call that reflection makes in place of this one: the same peer, the caller's metadata
    /// from before interceptors changed it, and a deadline no later than this call's.
    #[cfg(feature = "reflect")]
    pub(crate) fn for_other(&self, method: &'static Method) -> Self {
        let Inner { session, scope, metadata, .. } = &*self.inner;
        let own = method.timeout().and_then(|timeout| Instant::now().checked_add(timeout));
        let scope = Scope {
            deadline: scope.deadline.into_iter().chain(own).min(),
            trace: scope.trace.map(|trace| trace.child(&mut rand::rng())),
        };
        Self::new(method, session.clone(), scope, metadata.clone())
    }

    /// The connection that the call came on.
    pub(crate) fn session(&self) -> &Session {
        &self.inner.session
    }

    #[cfg(feature = "reflect")]
    pub(crate) fn append_metadata(&self, metadata: Metadata) {
        self.beside().metadata.append(metadata);
    }

    #[cfg(feature = "reflect")]
    pub(crate) fn append_trailers(&self, trailers: Metadata) {
        self.beside().trailers.append(trailers);
    }

    /// Takes the metadata that the handler has added so far.
    pub(crate) fn take_metadata(&self) -> Metadata {
        self.take(|beside| &mut beside.metadata)
    }

    pub(crate) fn take_trailers(&self) -> Metadata {
        self.take(|beside| &mut beside.trailers)
    }

    fn take(&self, part: impl FnOnce(&mut ResponseMetadata) -> &mut Metadata) -> Metadata {
        // Most handlers say nothing.
        if self.inner.beside.get().is_none() {
            return Metadata::default();
        }
        std::mem::take(part(&mut self.beside()))
    }

    pub(crate) fn inherits(&self) -> Scope {
        self.inner.scope
    }

    fn beside(&self) -> MutexGuard<'_, ResponseMetadata> {
        self.inner.beside.get_or_init(Mutex::default).lock()
    }

    pub(crate) fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if let Some(token) = self.inner.token.get() {
            token.cancel();
        }
    }
}
