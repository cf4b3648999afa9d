//! What a handler may want to know of the call beside its arguments.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering, fence},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Metadata, Method, PeerIdentity, client::PeerCaller, session::Session};

tokio::task_local! {
    static DEADLINE: Option<Instant>;
}

/// The deadline of the handler in which this runs; its own calls must not outlive it.
pub(crate) fn inherited_deadline() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok().flatten()
}

/// Runs a handler such that calls made inside it inherit its deadline.
pub(crate) fn with_deadline<F: Future>(
    deadline: Option<Instant>,
    future: F,
) -> impl Future<Output = F::Output> {
    DEADLINE.scope(deadline, future)
}

/// A call's surroundings: who called, what came beside the arguments, how long there is.
///
/// Cheap to clone; may outlive the call.
#[derive(Debug, Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    method: &'static Method,
    session: Session,
    deadline: Option<Instant>,
    metadata: Metadata,
    cancelled: AtomicBool,
    /// Made when somebody first waits: most handlers never do.
    token: OnceLock<CancellationToken>,
}

impl Context {
    pub(crate) fn new(
        method: &'static Method,
        session: Session,
        deadline: Option<Instant>,
        metadata: Metadata,
    ) -> Self {
        let inner = Inner {
            method,
            session,
            deadline,
            metadata,
            cancelled: AtomicBool::new(false),
            token: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The method that was called.
    pub fn method(&self) -> &'static Method {
        self.inner.method
    }

    /// Who called, as its certificate says.
    pub fn peer(&self) -> &PeerIdentity {
        self.inner.session.connection().peer()
    }

    /// The address that the call came from.
    pub fn remote_addr(&self) -> SocketAddr {
        self.inner.session.connection().remote_addr()
    }

    /// What the caller sent beside the arguments.
    pub fn metadata(&self) -> &Metadata {
        &self.inner.metadata
    }

    /// When the caller stops waiting. The handler is dropped then.
    pub fn deadline(&self) -> Option<std::time::Instant> {
        self.inner.deadline.map(Instant::into_std)
    }

    /// How long there is until the deadline; zero once it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.inner.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the call ended before its handler did.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Acquire)
    }

    /// Waits until the call ends before its handler does: because the caller gave it up, its deadline passed, or
    /// the connection was lost.
    ///
    /// The handler itself is dropped at that moment; this is for tasks that it spawned. It never resolves for a
    /// handler that returns. Cancel-safe.
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

    /// A caller that opens calls to the peer on the connection that this call came on.
    ///
    /// The peer answers them if it has registered services on its channel
    /// ([`ChannelBuilder::with_service`](crate::ChannelBuilder::with_service)).
    pub fn caller(&self) -> PeerCaller {
        PeerCaller::new(self.inner.session.clone())
    }

    pub(crate) fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if let Some(token) = self.inner.token.get() {
            token.cancel();
        }
    }
}
