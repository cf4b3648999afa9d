//! A pool of connections to one server: one, and extra ones while calls pile up on it.

use std::sync::{
    Arc, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{Closing, Dialer, ExtraConnection, PoolShared, Reconnecting, Target, channel_closed};
use crate::{ConnectError, Status, lock::Mutex, session::Session};

/// The shortest time between opening two extra connections. A new one needs a moment to take load off the
/// others.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections to one server.
///
/// One task at a time assembles, encrypts and parses the packets of a connection, so one connection uses
/// about one processor on either side. When more calls pile up than the open connections can carry, the pool
/// opens an extra one. An extra connection closes after a minute or two without use. If the server may call
/// back, it stays open: the server may have kept a caller of it.
#[derive(Debug)]
pub(crate) struct ConnectionPool {
    first: Reconnecting,
    /// Set if there are extra connections. Most pools never have any, and then skip the look at `more`.
    has_more: AtomicBool,
    /// Boxed so that the fields read by picking among many endpoints lie close together.
    more: Box<Extras>,
}

/// The extra connections, and everything needed to open one.
#[derive(Debug)]
struct Extras {
    connections: ArcSwap<Vec<Arc<ExtraConnection>>>,
    most: usize,
    /// Counts calls on busy connections, so that only one in every 64 checks for a pile-up.
    calls: AtomicUsize,
    /// When the last extra connection was opened.
    opened: Mutex<Option<Instant>>,
    dialer: Arc<Dialer>,
    target: Target,
    common: PoolShared,
}

impl ConnectionPool {
    /// Starts to dial.
    pub(crate) fn start(dialer: Arc<Dialer>, target: Target, closing: Closing) -> Self {
        let common = PoolShared::new(closing);
        let first = Reconnecting::start(dialer.clone(), target.clone(), common.clone());
        Self::new(dialer, target, common, first)
    }

    /// Dials once and returns a pool only if that succeeds.
    pub(crate) async fn connect(
        dialer: Arc<Dialer>,
        target: Target,
        closing: Closing,
    ) -> Result<Self, ConnectError> {
        let common = PoolShared::new(closing);
        let first = Reconnecting::connect(dialer.clone(), target.clone(), common.clone()).await?;
        Ok(Self::new(dialer, target, common, first))
    }

    fn new(dialer: Arc<Dialer>, target: Target, common: PoolShared, first: Reconnecting) -> Self {
        let more = Box::new(Extras {
            connections: ArcSwap::default(),
            most: dialer.max_connections,
            calls: AtomicUsize::new(0),
            opened: Mutex::default(),
            dialer,
            target,
            common,
        });
        Self { first, has_more: AtomicBool::new(false), more }
    }

    fn has_more(&self) -> bool {
        // A thread with a stale value uses the first connection.
        self.has_more.load(Ordering::Relaxed)
    }

    /// Returns true if calls may be sent on one of the connections now.
    pub(crate) fn is_ready(&self) -> bool {
        self.first.is_ready()
            || self.has_more() && self.more.connections.load().iter().any(|extra| extra.is_ready())
    }

    /// The number of connections on which calls may be sent now.
    pub(crate) fn count_ready(&self) -> usize {
        let more = self.more.connections.load().iter().filter(|extra| extra.is_ready()).count();
        usize::from(self.first.is_ready()) + more
    }

    /// The session for the next call: the one with the fewest calls in flight. Opens an extra connection if
    /// calls pile up.
    pub(crate) fn ready(&self) -> Option<Session> {
        let session = self.ready_for_few()?;
        if session.may_be_saturated() && self.more.is_sampled() && session.is_saturated() {
            self.open();
        }
        Some(session)
    }

    /// As [`ready`](Self::ready), for a server with so few calls in flight that none can pile up. Skips the
    /// check, which reads memory that picking does not touch otherwise.
    pub(crate) fn ready_for_few(&self) -> Option<Session> {
        if self.has_more() { self.least_busy() } else { self.first.ready() }
    }

    /// As [`ready`](Self::ready), for a call that was tried on these sessions.
    ///
    /// A connection to a process at which the call was tried does not qualify. A connection made after one of
    /// those was lost does: the server has been restarted, or has come back.
    pub(crate) fn ready_but(&self, tried: &[Session]) -> Option<Session> {
        let more = self.more.connections.load();
        let all = self.first.ready().into_iter().chain(more.iter().filter_map(|extra| extra.ready()));
        all.filter(|session| !tried.iter().any(|other| other.covers(session)))
            .min_by_key(Session::outstanding)
    }

    /// The session of the first connection, if calls may be sent on it now.
    pub(crate) fn first(&self) -> Option<Session> {
        self.first.ready()
    }

    /// The session for the next call. Waits for an attempt to connect that is in progress; otherwise fails at
    /// once.
    pub(crate) async fn session(&self) -> Result<Session, Status> {
        match self.ready() {
            Some(session) => Ok(session),
            None if self.closing().is_closed() => Err(channel_closed()),
            None => self.first.session().await,
        }
    }

    /// The scope that closes the connections.
    pub(crate) fn closing(&self) -> &Closing {
        self.more.common.closing()
    }

    /// Dials a server that closed an idle connection and was left alone since.
    pub(crate) fn want(&self) {
        self.first.want();
    }

    /// The failure of the last attempt, if the pool pauses before the next one.
    pub(crate) fn failure(&self) -> Option<Arc<ConnectError>> {
        self.first.failure()
    }

    /// Returns true if the first connection is open, even if it is silent or about to be closed.
    pub(crate) fn is_connected(&self) -> bool {
        self.first.is_connected()
    }

    /// Resolves when the next session begins or ends.
    pub(crate) fn changes(&self) -> impl Future<Output = ()> + Send + use<> {
        self.more.common.changes()
    }

    /// The session with the fewest calls in flight. On a tie the earlier one wins, so that later ones fall
    /// idle when they are not needed.
    fn least_busy(&self) -> Option<Session> {
        let more = self.more.connections.load();
        let (mut fewest, mut least) = (self.first.outstanding(), None);
        let mut is_over = false;
        for extra in &**more {
            match extra.outstanding() {
                None => is_over |= extra.is_over(),
                Some(calls) if fewest.is_some_and(|fewest| fewest <= calls) => {}
                Some(calls) => (fewest, least) = (Some(calls), Some(extra)),
            }
        }
        if is_over {
            self.remove_ended();
        }
        least.map_or_else(|| self.first.ready(), |extra| extra.ready())
    }

    /// Removes extra connections that have ended.
    fn remove_ended(&self) {
        let _changing = self.more.opened();
        self.replace_extras(None);
    }

    /// Opens an extra connection, unless the pool has reached its bound or opened one less than [`PAUSE`]
    /// ago.
    fn open(&self) {
        let mut opened = self.more.opened();
        let now = Instant::now();
        let before = self.more.connections.load().iter().filter(|extra| extra.may_take_calls()).count() + 1;
        if before >= self.more.most || opened.is_some_and(|opened| now < opened + PAUSE) {
            return;
        }
        *opened = Some(now);
        debug!(address = %self.more.target, connections = before + 1, "opening an extra connection");
        self.replace_extras(Some(self.more.start(self.first.ready().as_ref())));
    }

    /// Removes extra connections that have ended and adds one. The caller holds the lock of `opened`.
    fn replace_extras(&self, added: Option<ExtraConnection>) {
        let before = self.more.connections.load();
        let stay = before.iter().filter(|extra| !extra.is_over()).cloned();
        let connections: Vec<_> = stay.chain(added.map(Arc::new)).collect();
        self.has_more.store(!connections.is_empty(), Ordering::Relaxed);
        self.more.connections.store(Arc::new(connections));
    }
}

impl Extras {
    /// Returns true if this call should check whether calls pile up.
    fn is_sampled(&self) -> bool {
        const LOOK_EVERY: usize = 64;
        self.most > 1 && self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY)
    }

    fn opened(&self) -> MutexGuard<'_, Option<Instant>> {
        self.opened.lock()
    }

    /// Dials the address of the first connection. The name may have other addresses, of other servers.
    fn start(&self, first: Option<&Session>) -> ExtraConnection {
        let target = match first {
            Some(session) => Target::at(session.connection().remote_addr(), self.target.host()),
            None => self.target.clone(),
        };
        ExtraConnection::start(self.dialer.clone(), target, self.common.clone())
    }
}
