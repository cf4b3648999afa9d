//! The connections to one server: one, and extra ones while that has too much to do.

use std::sync::{
    Arc, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{Closing, Dialer, ExtraConnection, PoolShared, Reconnecting, Target, closed};
use crate::{ConnectError, Status, lock::Mutex, session::Session};

/// Between two connections that are opened because all before are crowded.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections to one server. Packets of one connection are put together, encrypted and taken apart by one task at a time,
/// so one connection uses about one processor on either side. Where more calls gather than it can carry, extra ones
/// are opened, and closed when they have not been used for a minute or two. (Where the server may call back, they stay: it
/// may have kept a caller of one of them.)
#[derive(Debug)]
pub(crate) struct ConnectionPool {
    first: Reconnecting,
    /// There are extra ones. Most never have any, and then there is nothing to look through.
    has_more: AtomicBool,
    /// In memory of its own, so that little is between what is looked at by those who choose among many endpoints.
    more: Box<Extras>,
}

/// The extra ones, and what they are opened with.
#[derive(Debug)]
struct Extras {
    connections: ArcSwap<Vec<Arc<ExtraConnection>>>,
    most: usize,
    /// Calls that may have been in a crowd, to look at it now and then.
    calls: AtomicUsize,
    /// When the last one was opened.
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

    /// Dials once; starts only if that succeeds.
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
        // Whoever does not see it yet takes the first one.
        self.has_more.load(Ordering::Relaxed)
    }

    /// Whether calls may be sent on one of them now.
    pub(crate) fn is_ready(&self) -> bool {
        self.first.is_ready()
            || self.has_more() && self.more.connections.load().iter().any(|extra| extra.is_ready())
    }

    /// On how many calls may be sent now.
    pub(crate) fn count_ready(&self) -> usize {
        let more = self.more.connections.load().iter().filter(|extra| extra.is_ready()).count();
        usize::from(self.first.is_ready()) + more
    }

    /// The session that the next call should go on: the one with the fewest calls at work.
    pub(crate) fn ready(&self) -> Option<Session> {
        let session = self.ready_for_few()?;
        if session.may_be_crowded() && self.more.is_looked_at() && session.is_crowded() {
            self.open();
        }
        Some(session)
    }

    /// Likewise, where so few calls are at work that there can be no crowd: to look for one is to look at memory that
    /// choosing needs none of.
    pub(crate) fn ready_for_few(&self) -> Option<Session> {
        if self.has_more() { self.least() } else { self.first.ready() }
    }

    /// Likewise, for a call that was tried on these. Where one of them leads here, another connection that leads to the same
    /// process will not do; one that was made after that was lost will: the server was restarted, or has come back.
    pub(crate) fn ready_but(&self, tried: &[Session]) -> Option<Session> {
        let more = self.more.connections.load();
        let all = self.first.ready().into_iter().chain(more.iter().filter_map(|extra| extra.ready()));
        all.filter(|session| !tried.iter().any(|other| other.covers(session)))
            .min_by_key(Session::outstanding)
    }

    /// The session of the first one, where calls may be sent on it now.
    pub(crate) fn first(&self) -> Option<Session> {
        self.first.ready()
    }

    /// The session, waiting for an attempt to connect that is under way.
    pub(crate) async fn session(&self) -> Result<Session, Status> {
        match self.ready() {
            Some(session) => Ok(session),
            None if self.closing().is_closed() => Err(closed()),
            None => self.first.session().await,
        }
    }

    /// The scope in which they are closed.
    pub(crate) fn closing(&self) -> &Closing {
        self.more.common.closing()
    }

    /// Has a server dialled that wanted no connection while it was not needed.
    pub(crate) fn want(&self) {
        self.first.want();
    }

    /// Why there is none, where dialling failed.
    pub(crate) fn failure(&self) -> Option<Arc<ConnectError>> {
        self.first.failure()
    }

    /// Returns whether a connection stands, even a silent one or one that is about to be closed.
    pub(crate) fn is_connected(&self) -> bool {
        self.first.is_connected()
    }

    /// Resolves at the next change: a session came or went.
    pub(crate) fn changes(&self) -> impl Future<Output = ()> + Send + use<> {
        self.more.common.changes()
    }

    /// The one with the fewest calls at work; of several the first, so that those behind it are not used where they are not
    /// needed.
    fn least(&self) -> Option<Session> {
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
            self.forget();
        }
        least.map_or_else(|| self.first.ready(), |extra| extra.ready())
    }

    /// Forgets those that are over.
    fn forget(&self) {
        let _changing = self.more.opened();
        self.change(None);
    }

    /// Opens an extra connection, unless there are as many as may be.
    fn open(&self) {
        let mut opened = self.more.opened();
        let now = Instant::now();
        let before = self.more.connections.load().iter().filter(|extra| extra.stays()).count() + 1;
        if before >= self.more.most || opened.is_some_and(|opened| now < opened + PAUSE) {
            return;
        }
        *opened = Some(now);
        debug!(address = %self.more.target, connections = before + 1, "one more connection");
        self.change(Some(self.more.start(self.first.ready().as_ref())));
    }

    /// Takes those away that are over, and adds one. Under the lock.
    fn change(&self, added: Option<ExtraConnection>) {
        let before = self.more.connections.load();
        let stay = before.iter().filter(|extra| !extra.is_over()).cloned();
        let connections: Vec<_> = stay.chain(added.map(Arc::new)).collect();
        self.has_more.store(!connections.is_empty(), Ordering::Relaxed);
        self.more.connections.store(Arc::new(connections));
    }
}

impl Extras {
    /// Whether this call is to look for a crowd.
    fn is_looked_at(&self) -> bool {
        const LOOK_EVERY: usize = 64;
        self.most > 1 && self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY)
    }

    fn opened(&self) -> MutexGuard<'_, Option<Instant>> {
        self.opened.lock()
    }

    /// Dials the address to which the first one leads: a name may have others, of other servers.
    fn start(&self, first: Option<&Session>) -> ExtraConnection {
        let target = match first {
            Some(session) => Target::at(session.connection().remote_addr(), self.target.host()),
            None => self.target.clone(),
        };
        ExtraConnection::start(self.dialer.clone(), target, self.common.clone())
    }
}
