//! A connection beside the first one to its address: opened where calls gather, and gone where nobody needs it.

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
    session::{Current, Session},
};

/// One on which no call was made for this long goes, or for up to twice as long: it is looked at now and then.
const IDLE: Duration = Duration::from_secs(60);
/// Between the moment when it gets no more calls and its end. A call that was to go there is begun at once.
const LAST: Duration = Duration::from_secs(10);
/// How long its place is kept where it could not be opened, so that it is not dialled in a circle.
const REFUSED: Duration = Duration::from_secs(5);

/// A connection that is dialled once, and once more whenever it is lost, so that calls which were lost with it have a
/// successor to go to. It is over when it can't be dialled, when its peer goes away, and when it is not used.
///
/// Dropping it ends it.
#[derive(Debug)]
pub(crate) struct ExtraConnection {
    state: Arc<ExtraState>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct ExtraState {
    current: Current,
    /// Since it was last looked at.
    used: AtomicBool,
    /// It takes no further calls.
    leaves: AtomicBool,
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
        let task = runtime.handle().spawn(stand(dialer, target, common, state.clone())).abort_handle();
        Self { state, task }
    }

    /// The session, for a call that is made now.
    pub(crate) fn ready(&self) -> Option<Session> {
        let session = self.state.current.ready()?;
        if !self.state.used.load(Ordering::Relaxed) {
            self.state.used.store(true, Ordering::Relaxed);
        }
        Some(session)
    }

    /// Whether there is one that calls may be sent on now.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.current.is_ready()
    }

    /// Our own calls that wait for an answer, where calls may be sent now.
    pub(crate) fn outstanding(&self) -> Option<usize> {
        self.state.current.outstanding()
    }

    /// Whether it takes calls, or may yet.
    pub(crate) fn stays(&self) -> bool {
        !self.state.leaves.load(Ordering::Relaxed) && !self.is_over()
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

enum ExtraEnd {
    Lost,
    Draining,
    Unused,
}

async fn stand(dialer: Arc<Dialer>, target: Target, common: PoolShared, state: Arc<ExtraState>) {
    let closing = common.closing.clone();
    tokio::select! {
        biased;
        () = closing.closed() => {}
        () = stand_open(dialer, target, common, state) => {}
    }
}

async fn stand_open(dialer: Arc<Dialer>, target: Target, common: PoolShared, state: Arc<ExtraState>) {
    let mut rng: SmallRng = SmallRng::from_rng(&mut rand::rng());
    let mut backoff = dialer.backoff.clone();
    loop {
        let life = common.lives.present();
        let (session, mut driving) = match dialer.connect(&target, life.clone(), &common.closing).await {
            Ok(connected) => connected,
            Err(error) => {
                debug!(address = %target, error = chain(&error), "no further connection");
                sleep(REFUSED).await;
                return;
            }
        };
        let since = Instant::now();
        state.current.set(Some(&session));
        common.told.send_replace(());
        let mut condition = session.condition();
        let end = tokio::select! {
            _ = &mut driving => ExtraEnd::Lost,
            _ = condition.wait_for(|now| now.draining) => ExtraEnd::Draining,
            () = unused(&dialer, &session, &state) => ExtraEnd::Unused,
        };
        if !matches!(end, ExtraEnd::Unused) {
            life.ends();
        }
        state.leaves.store(!matches!(end, ExtraEnd::Lost), Ordering::Relaxed);
        state.current.set(None);
        common.told.send_replace(());
        match end {
            ExtraEnd::Lost if session.condition().borrow().rests => return,
            ExtraEnd::Lost if since.elapsed() >= STABLE => backoff.reset(),
            ExtraEnd::Lost => sleep(backoff.next(&mut rng)).await,
            ExtraEnd::Draining => return finish(session, driving).await,
            ExtraEnd::Unused => {
                debug!(address = %target, "a further connection is not needed any more");
                return leave(session, driving).await;
            }
        }
    }
}

/// Resolves when no call was made on it for a while, and none is at work.
async fn unused(dialer: &Dialer, session: &Session, state: &ExtraState) {
    loop {
        sleep(IDLE).await;
        let used = state.used.swap(false, Ordering::Relaxed);
        // A peer that may call us back may have kept a caller of this very connection for later.
        if !used && session.is_quiet() && !dialer.router.serves_users() {
            return;
        }
    }
}

/// Lets the calls end that were to go there in the moment in which it was left, then closes it.
async fn leave(session: Session, driving: Driving) {
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
