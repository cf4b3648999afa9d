//! One connection at work: calls in both directions, the control stream, and the watch for a silent peer.
//!
//! A session is the same on both sides: whoever dialled, either may open calls. Its [driver](Session::drive) is a
//! future that the owner (a server, a pool, a channel) spawns and drops; with it end all handlers that it runs.

mod control;
mod counts;
mod deadlines;
mod driver;
mod epoch;
mod execution;
mod frame;
mod inbound;
mod item_timer;
mod items;
mod lane;
mod liveness;
mod outbound;
mod peer_caller;
mod peer_state;
mod router;
#[cfg(all(test, feature = "testing"))]
mod tests;

use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;

use tokio::{
    sync::{Notify, watch},
    time::{Duration, Instant, sleep, sleep_until},
};

pub(crate) use self::counts::PeerCallGuard;
use self::counts::{Counts, StreamGuard};
#[cfg(feature = "measuring")]
pub(crate) use self::lane::lane_call;
pub use self::peer_caller::PeerCaller;
pub(crate) use self::{
    deadlines::{Deadlines, after},
    driver::Driver,
    epoch::{Epoch, Epochs},
    execution::Dispatch,
    inbound::forwarding_entry,
    lane::LaneCall,
    peer_caller::inherit_trace,
    peer_state::{PeerState, SessionCell},
    router::{Background, Entry, Router},
};
#[cfg(feature = "reflect")]
pub(crate) use self::{execution::Execution, inbound::call_instead, item_timer::ItemTimer};
use crate::{
    Limits, Method, Request, Status, codec,
    hash::IdMap,
    limit::TokenBucket,
    lock::Mutex,
    proto::{self, Hello, close},
    runtime::Runtime,
    transport::{Connection, ConnectionError, Side},
};

/// A handle on one connection's session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    inner: Arc<Inner>,
}

/// A handle that does not keep the session alive.
#[derive(Debug, Clone)]
pub(crate) struct WeakSession(std::sync::Weak<Inner>);

impl WeakSession {
    /// Returns whether it is a handle on the same connection.
    pub(crate) fn is(&self, session: &Session) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&session.inner))
    }

    pub(crate) fn upgrade(&self) -> Option<Session> {
        self.0.upgrade().map(|inner| Session { inner })
    }
}

/// Facts about a method that was called on this connection.
#[derive(Debug, Clone, Copy, Default)]
struct MethodState {
    /// True if the peer serves the method with the fingerprint that this side has.
    agreed: bool,
    /// True once a reply of the method was too large for the lane.
    large: bool,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    limits: Limits,
    router: Arc<Router>,
    /// The runtime of the connection. Callers may be on others.
    runtime: Runtime,
    /// The entry for all calls of the peer if they are forwarded, in place of the router.
    forward: Option<Entry>,
    /// The epoch of the endpoint, if this side has dialled.
    epoch: Option<Epoch>,
    peer_state: watch::Sender<PeerState>,
    /// [`PeerState::takes_calls`], kept where each call can read it cheaply.
    takes_calls: AtomicBool,
    peer: OnceLock<Hello>,
    /// The methods that the peer serves: fingerprints by method id.
    schema: ArcSwap<HashMap<u64, u64>>,
    /// Facts about methods that were called here, by [`Request::place`].
    called: ArcSwap<IdMap<MethodState>>,
    /// The lane for our small calls, once it is open.
    lane: OnceLock<lane::LaneClient>,
    /// Set once a call could use the lane: it is being opened, or was.
    lane_wanted: AtomicBool,
    /// Set while the peer has a lane of its own for its calls.
    served: AtomicBool,
    /// Boxed, for a cache line of their own.
    counts: Box<Counts>,
    /// Set while the path is fit for lanes.
    smooth: AtomicBool,
    control: control::ControlSender,
    /// Limits how many calls the peer may give up.
    resets: Mutex<TokenBucket>,
    /// Notified when the first call of ours waits for an answer, or the first stream of items is read.
    busy: Notify,
    /// Notified when no work of ours is left here while the peer drains.
    quiet: Notify,
}

impl Inner {
    fn takes_calls(&self) -> bool {
        self.takes_calls.load(Ordering::Relaxed)
    }
}

impl Session {
    /// Creates the session of a connection that this side has dialled.
    pub(crate) fn dialled(
        connection: Connection,
        router: Arc<Router>,
        limits: Limits,
        runtime: Runtime,
        epoch: Epoch,
    ) -> (Self, Driver) {
        Self::with(connection, router, limits, runtime, None, Some(epoch))
    }

    /// Creates the session of a connection that was accepted. The peer's calls go to `forward` if there is one.
    pub(crate) fn forwarding(
        connection: Connection,
        router: Arc<Router>,
        limits: Limits,
        runtime: Runtime,
        forward: Option<Entry>,
    ) -> (Self, Driver) {
        Self::with(connection, router, limits, runtime, forward, None)
    }

    fn with(
        connection: Connection,
        router: Arc<Router>,
        limits: Limits,
        runtime: Runtime,
        forward: Option<Entry>,
        epoch: Option<Epoch>,
    ) -> (Self, Driver) {
        let session = Self {
            inner: Arc::new(Inner {
                connection,
                limits,
                router,
                runtime,
                forward,
                epoch,
                peer_state: watch::Sender::default(),
                takes_calls: AtomicBool::new(false),
                peer: OnceLock::new(),
                schema: ArcSwap::default(),
                called: ArcSwap::default(),
                lane: OnceLock::new(),
                lane_wanted: AtomicBool::new(false),
                served: AtomicBool::new(false),
                counts: Box::new(Counts::new(Instant::now())),
                smooth: AtomicBool::new(true),
                control: control::ControlSender::default(),
                resets: Mutex::new(limits.resets(Instant::now().into_std())),
                busy: Notify::new(),
                quiet: Notify::new(),
            }),
        };
        (session.clone(), Driver { session })
    }

    /// Grants the peer a lane; `None` while it has one, or if lanes are off.
    fn begin_lane(&self) -> Option<LaneGuard> {
        let begun = self.inner.limits.lanes() && !self.inner.served.swap(true, Ordering::Relaxed);
        begun.then(|| LaneGuard(self.clone()))
    }

    fn called(&self, request: &Request) -> MethodState {
        self.called_at(request.place())
    }

    fn called_at(&self, place: u64) -> MethodState {
        self.inner.called.load().get(&place).copied().unwrap_or_default()
    }

    /// Remembers what was found out about a method.
    fn found(&self, place: u64, change: impl Fn(&mut MethodState)) {
        self.inner.called.rcu(|called| {
            let mut called = IdMap::clone(called);
            change(called.entry(place).or_default());
            called
        });
    }

    pub(crate) fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.inner))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// Returns whether calls that are made here are forwarded by the peer.
    pub(crate) fn is_relayed(&self) -> bool {
        let connection = self.connection();
        connection.side() == Side::Client && connection.protocol() == proto::RELAY_ALPN
    }

    /// Returns whether both are handles on the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Returns whether a call that was tried here was, as far as is known, tried at the process behind the other
    /// connection.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let epochs = || Some(self.inner.epoch.as_ref()?.covers(other.inner.epoch.as_ref()?));
        self.is(other) || epochs().unwrap_or(false)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The runtime on which the connection lives.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.inner.router
    }

    /// The largest message of this method.
    pub(crate) fn max_message(&self, method: &Method) -> usize {
        method.max_message().unwrap_or_else(|| self.limits().max_message()).min(codec::LARGEST)
    }

    /// Subscribes to the state of the peer.
    pub(crate) fn peer_state(&self) -> watch::Receiver<PeerState> {
        self.inner.peer_state.subscribe()
    }

    pub(crate) fn takes_calls(&self) -> bool {
        self.inner.takes_calls()
    }

    /// Returns whether calls wait and nothing comes.
    pub(crate) fn is_silent(&self) -> bool {
        self.inner.peer_state.borrow().silent
    }

    /// Waits for the peer's hello, by which it lets us in. (With TLS 1.3 a client is done with the handshake before
    /// the server has looked at its certificate.)
    pub(crate) async fn ready(&self) -> Result<(), ConnectionError> {
        let mut state = self.peer_state();
        let settled = state.wait_for(|now| now.ready || now.closed.is_some()).await;
        match settled.map(|now| now.closed.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(ConnectionError::LocallyClosed),
        }
    }

    /// Resolves once calls here get no answer: the peer is silent, or gone.
    pub(crate) async fn unresponsive(&self) {
        let mut state = self.peer_state();
        let _ = state.wait_for(|now| now.silent || now.closed.is_some()).await;
    }

    /// Resolves once the peer takes no new calls. Cancel-safe.
    async fn draining(&self) {
        if self.peer_state().wait_for(|now| now.draining).await.is_err() {
            std::future::pending().await
        }
    }

    /// Tells the peer to send nothing new. What it sends all the same is refused by the router.
    pub(crate) fn go_away(&self) {
        self.inner.control.go_away();
    }

    /// Closes the connection at once; calls at work end, and no more are taken.
    pub(crate) fn end(&self, code: u32, reason: &str) {
        self.update(|state| {
            state.closed.get_or_insert(ConnectionError::LocallyClosed);
        });
        self.connection().close(code, reason);
    }

    /// Asks the peer to close the connection, as it is not used, and to dial again when it needs one. What the peer
    /// sends all the same is taken.
    pub(crate) fn rest(&self) {
        self.inner.control.rest();
    }

    /// Waits until the peer has closed a connection that it was [asked](Self::rest) to, and closes it once no call was
    /// at work on it for `patience`. A peer that lives has heard by then, and has sent no more.
    pub(crate) async fn rested(&self, patience: Duration) {
        let mut state = self.peer_state();
        let unused = async {
            sleep(patience).await;
            loop {
                match self.idle_since().map(|since| Instant::from_std(since) + patience) {
                    Some(until) if until <= Instant::now() => return,
                    Some(until) => sleep_until(until).await,
                    None => sleep(patience).await,
                }
            }
        };
        tokio::select! {
            _ = state.wait_for(|now| now.closed.is_some()) => {}
            () = unused => self.end(close::NOT_USED, "the connection is not used, and its place is needed"),
        }
    }

    /// Why the connection ended, where more is known of it than the transport says.
    fn cause(&self, error: ConnectionError) -> ConnectionError {
        self.inner.peer_state.borrow().closed.clone().unwrap_or(error)
    }

    fn update(&self, change: impl FnOnce(&mut PeerState)) {
        let mut fell_silent = false;
        self.inner.peer_state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            self.inner.takes_calls.store(state.takes_calls(), Ordering::SeqCst);
            fell_silent = state.silent && !before.silent;
            *state != before
        });
        if fell_silent && let Some(lane) = self.inner.lane.get() {
            // Calls that may be made elsewhere need not wait here.
            lane.wake_callers();
        }
    }

    /// Returns whether enough calls are in flight for saturation. A cheap check before
    /// [`is_saturated`](Self::is_saturated).
    pub(crate) fn may_be_saturated(&self) -> bool {
        self.outstanding() >= lane::CROWD
    }

    /// Returns whether calls gather on its lane faster than they leave.
    pub(crate) fn is_saturated(&self) -> bool {
        self.inner.lane.get().is_some_and(lane::LaneClient::is_saturated)
    }
}

/// The peer's lane; it may have another when this is dropped.
#[derive(Debug)]
struct LaneGuard(Session);

impl Drop for LaneGuard {
    fn drop(&mut self) {
        self.0.inner.served.store(false, Ordering::Relaxed);
    }
}

fn malformed(error: proto::DecodeError) -> Status {
    Status::internal("the peer's reply is malformed").with_source(error)
}

/// Client and server were built from different traits, or from types that differ inside.
fn other_schema(method: &Method, one: u64, other: u64) -> Status {
    Status::failed_precondition(format!(
        "{method}: one side was built with schema {one:#018x}, the other with {other:#018x}, here {:?}: \
         its types, or what they are made of, differ; add a method or a service for what has changed",
        method.signature(),
    ))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
