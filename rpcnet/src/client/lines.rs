//! The connections of a channel: one, and further ones while that has too much to do.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio::time::{Duration, Instant};
use tracing::debug;

use crate::{
    Status,
    pool::{Dialer, Remote, Target},
    session::Session,
};

/// Between two connections that are opened because all before are crowded.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections to one server. Packets of one connection are put together, encrypted and taken apart by one task at a time,
/// so one connection uses about one processor on either side. Where more calls gather than it can carry, further ones
/// are opened; they stay as long as the channel.
#[derive(Debug)]
pub(super) struct Lines {
    dialer: Arc<Dialer>,
    target: Target,
    first: Remote,
    more: ArcSwap<Vec<Arc<Remote>>>,
    most: usize,
    /// When the last one was opened.
    opened: Mutex<Option<Instant>>,
    /// Calls that may have been in a crowd, to look at it now and then.
    calls: AtomicUsize,
}

impl Lines {
    pub(super) fn new(dialer: Arc<Dialer>, target: Target, first: Remote) -> Self {
        Self {
            most: dialer.max_connections,
            dialer,
            target,
            first,
            more: ArcSwap::default(),
            opened: Mutex::default(),
            calls: AtomicUsize::new(0),
        }
    }

    /// The session that the next call should go on: the one with the fewest calls at work.
    pub(super) fn ready(&self) -> Option<Session> {
        const LOOK_EVERY: usize = 64;
        let first = self.first.ready();
        let session = if self.most == 1 {
            first
        } else {
            let more = self.more.load();
            more.iter().filter_map(|remote| remote.ready()).chain(first).min_by_key(Session::outstanding)
        };
        if self.most > 1
            && session.as_ref().is_some_and(Session::may_be_crowded)
            && self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY)
            && session.as_ref().is_some_and(Session::is_crowded)
        {
            self.open();
        }
        session
    }

    /// The session, waiting for an attempt to connect that is under way.
    pub(super) async fn session(&self) -> Result<Session, Status> {
        self.first.session().await
    }

    /// Opens a further connection, unless there are as many as may be.
    fn open(&self) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let more = self.more.load();
        if more.len() + 1 >= self.most || opened.is_some_and(|opened| now < opened + PAUSE) {
            return;
        }
        *opened = Some(now);
        debug!(address = %self.target, connections = more.len() + 2, "one more connection");
        let remote = Arc::new(Remote::start(self.dialer.clone(), self.target.clone()));
        self.more.store(Arc::new(more.iter().cloned().chain([remote]).collect()));
    }
}
