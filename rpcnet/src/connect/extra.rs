//! An extra connection beside the first one to an address. A pool opens it when calls pile up on the others,
//! and it closes when it is not used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};
use tracing::debug;

use super::{
    Dialer, PoolShared, Target,
    dialer::Driving,
    reconnect::{STABLE, finish},
};
use crate::{
    error::chain,
    proto::close,
    session::{Session, SessionCell},
};

/// The time without calls after which an extra connection closes. Use is checked once per period, so the
/// connection may stay for up to twice as long.
const IDLE: Duration = Duration::from_secs(60);
/// The time between a connection's last assignment to a call and its close. It covers calls that had picked
/// the connection but had not started yet.
const LAST: Duration = Duration::from_secs(10);
/// The time for which a failed extra connection keeps its place in the pool, so that the pool does not dial
/// in a tight loop.
const REFUSED: Duration = Duration::from_secs(5);

/// A connection that is dialled again whenever it is lost, so that calls lost with it have a successor to go
/// to. It ends for good if one of these happens:
///
/// - an attempt to connect fails,
/// - its server drains, or closes it as idle,
/// - no call has used it for a while.
///
/// Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct ExtraConnection {
    state: Arc<ExtraState>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct ExtraState {
    current: SessionCell,
    /// Set by calls, cleared by the periodic check of use.
    used: AtomicBool,
    /// Set once the connection takes no further calls.
    is_closing: AtomicBool,
}

impl Drop for ExtraConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ExtraConnection {
    /// Starts to dial.
    pub(crate) fn start(dialer: Arc<Dialer>, target: Target, common: PoolShared) -> Self {
        let state = Arc::<ExtraState>::default();
        let runtime = dialer.runtime.clone();
        let task = runtime.handle().spawn(run(dialer, target, common, state.clone())).abort_handle();
        Self { state, task }
    }

    /// The session for a call that is made now; marks the connection as used.
    pub(crate) fn ready(&self) -> Option<Session> {
        let session = self.state.current.ready()?;
        if !self.state.used.load(Ordering::Relaxed) {
            self.state.used.store(true, Ordering::Relaxed);
        }
        Some(session)
    }

    /// Returns true if calls may be sent on it now.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.current.is_ready()
    }

    /// The number of our calls that wait for an answer; `None` if no calls may be sent now.
    pub(crate) fn outstanding(&self) -> Option<usize> {
        self.state.current.outstanding()
    }

    /// Returns true if it takes calls now or may do so later.
    pub(crate) fn may_take_calls(&self) -> bool {
        !self.state.is_closing.load(Ordering::Relaxed) && !self.is_over()
    }

    /// Returns true if its task has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

enum ExtraEnd {
    Lost,
    Draining,
    Unused,
}

async fn run(dialer: Arc<Dialer>, target: Target, common: PoolShared, state: Arc<ExtraState>) {
    let closing = common.closing.clone();
    tokio::select! {
        biased;
        () = closing.closed() => {}
        () = keep_connected(dialer, target, common, state) => {}
    }
}

async fn keep_connected(dialer: Arc<Dialer>, target: Target, common: PoolShared, state: Arc<ExtraState>) {
    let mut rng: SmallRng = SmallRng::from_rng(&mut rand::rng());
    let mut backoff = dialer.backoff.clone();
    loop {
        let epoch = common.epochs.present();
        let (session, mut driving) = match dialer.connect(&target, epoch.clone(), &common.closing).await {
            Ok(connected) => connected,
            Err(error) => {
                debug!(address = %target, error = chain(&error), "no extra connection could be made");
                sleep(REFUSED).await;
                return;
            }
        };
        let since = Instant::now();
        state.current.set(Some(&session));
        common.session_changes.send_replace(());
        let mut peer_state = session.peer_state();
        let end = tokio::select! {
            _ = &mut driving => ExtraEnd::Lost,
            _ = peer_state.wait_for(|now| now.draining) => ExtraEnd::Draining,
            () = unused(&dialer, &session, &state) => ExtraEnd::Unused,
        };
        if !matches!(end, ExtraEnd::Unused) {
            epoch.ends();
        }
        state.is_closing.store(!matches!(end, ExtraEnd::Lost), Ordering::Relaxed);
        state.current.set(None);
        common.session_changes.send_replace(());
        match end {
            ExtraEnd::Lost if session.peer_state().borrow().rests => return,
            ExtraEnd::Lost if since.elapsed() >= STABLE => backoff.reset(),
            ExtraEnd::Lost => sleep(backoff.next(&mut rng)).await,
            ExtraEnd::Draining => return finish(session, driving).await,
            ExtraEnd::Unused => {
                debug!(address = %target, "closing an extra connection: not used");
                return drain_unused(session, driving).await;
            }
        }
    }
}

/// Resolves when no call was made for at least [`IDLE`] and none is in flight.
async fn unused(dialer: &Dialer, session: &Session, state: &ExtraState) {
    loop {
        sleep(IDLE).await;
        let used = state.used.swap(false, Ordering::Relaxed);
        // A peer that may call us back may have kept a caller of this very connection: it is never unused.
        if !used && session.is_quiet() && !dialer.router.serves_users() {
            return;
        }
    }
}

/// Waits [`LAST`] for calls that picked the session just before it was withdrawn, and then until no call is
/// in flight. Then closes the connection.
async fn drain_unused(session: Session, driving: Driving) {
    let quiet = async {
        loop {
            sleep(LAST).await;
            if session.is_quiet() {
                return;
            }
        }
    };
    tokio::select! {
        _ = driving => {}
        () = quiet => session.connection().close(close::SHUTDOWN, "not used"),
    }
}
