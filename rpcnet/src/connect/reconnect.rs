//! A connection that comes back: one address, dialled again whenever its connection is lost.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};
use tracing::{debug, info};

use super::{Closing, ConnectError, Dialer, Target, closed, dialer::Driving};
use crate::{
    Status,
    error::chain,
    proto::close,
    session::{Current, Life, Lives, Session},
};

/// A connection that stood this long was a success: the next pause is the first again.
pub(super) const STABLE: Duration = Duration::from_secs(2);

/// How long a connection that its server wanted closed is not made again while it is not needed; with jitter up to twice
/// that.
const REST: Duration = Duration::from_secs(15);

/// The state that all connections of a pool share. Dropping every clone ends [`changes`](Self::changes).
#[derive(Debug, Clone)]
pub(crate) struct PoolShared {
    pub(super) lives: Arc<Lives>,
    /// Notified whenever a session begins or ends.
    pub(super) told: watch::Sender<()>,
    pub(super) closing: Closing,
}

impl PoolShared {
    pub(crate) fn new(closing: Closing) -> Self {
        Self { lives: Arc::default(), told: watch::Sender::default(), closing }
    }

    /// Returns the scope in which the connections are closed.
    pub(crate) fn closing(&self) -> &Closing {
        &self.closing
    }

    /// Resolves when the next session begins or ends.
    pub(crate) fn changes(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut told = self.told.subscribe();
        async move {
            let _ = told.changed().await;
        }
    }
}

/// How it stands with the connection.
#[derive(Debug, Clone)]
enum ReconnectState {
    Connecting,
    Ready(Session),
    /// Pausing before the next attempt.
    Failed(Arc<ConnectError>),
    Closed,
}

/// A connection to one address that is dialled again whenever it is lost, with backoff and jitter.
///
/// Dropping it ends the dialling; sessions that are in use go on until they are dropped too.
#[derive(Debug)]
pub(crate) struct Reconnecting {
    state: watch::Receiver<ReconnectState>,
    /// The session in it, which each call looks at.
    current: Arc<Current>,
    /// Told when a connection is needed.
    wanted: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reconnecting {
    /// Starts to dial.
    pub(crate) fn start(dialer: Arc<Dialer>, target: Target, common: PoolShared) -> Self {
        Self::run(dialer, target, common, None)
    }

    /// Dials once; starts only if that succeeds.
    pub(crate) async fn connect(
        dialer: Arc<Dialer>,
        target: Target,
        common: PoolShared,
    ) -> Result<Self, ConnectError> {
        let life = common.lives.present();
        let first = dialer.connect(&target, life.clone(), &common.closing).await?;
        Ok(Self::run(dialer, target, common, Some((life, first))))
    }

    fn run(dialer: Arc<Dialer>, target: Target, common: PoolShared, first: Option<First>) -> Self {
        let session = first.as_ref().map(|(_, (session, _))| session);
        let initial =
            session.map_or(ReconnectState::Connecting, |session| ReconnectState::Ready(session.clone()));
        let (sender, state) = watch::channel(initial);
        let current = Arc::<Current>::default();
        current.set(session);
        let wanted = Arc::<Notify>::default();
        let progress =
            ConnectProgress { state: sender, current: current.clone(), wanted: wanted.clone(), common };
        let runtime = dialer.runtime.clone();
        let task = runtime.handle().spawn(keep_connected(dialer, target, progress, first)).abort_handle();
        Self { state, current, wanted, task }
    }

    /// The session that calls may be sent on now.
    pub(crate) fn ready(&self) -> Option<Session> {
        self.current.ready()
    }

    /// Whether there is one.
    pub(crate) fn is_ready(&self) -> bool {
        self.current.is_ready()
    }

    /// Returns whether a session stands, even one on which no calls may be sent now.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(&*self.state.borrow(), ReconnectState::Ready(_))
    }

    /// Why there is none, where dialling failed.
    pub(crate) fn failure(&self) -> Option<Arc<ConnectError>> {
        match &*self.state.borrow() {
            ReconnectState::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// The session, waiting for an attempt that is under way. Between attempts it fails at once with the last
    /// attempt's error. Cancel-safe.
    pub(crate) async fn session(&self) -> Result<Session, Status> {
        self.want();
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            ReconnectState::Connecting => false,
            // Between a session's GOAWAY and the next attempt there is a moment.
            ReconnectState::Ready(session) => {
                let condition = session.condition();
                let condition = condition.borrow();
                condition.closed.is_none() && !condition.draining
            }
            ReconnectState::Failed(_) | ReconnectState::Closed => true,
        });
        match settled.await.map(|state| state.clone()) {
            Ok(ReconnectState::Ready(session)) => Ok(session),
            Ok(ReconnectState::Failed(error)) => Err(error.into_status()),
            Ok(ReconnectState::Connecting | ReconnectState::Closed) | Err(_) => Err(closed()),
        }
    }

    /// Has a server dialled that wanted no connection while it was not needed.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Our own calls that wait for an answer, where calls may be sent now.
    pub(crate) fn outstanding(&self) -> Option<usize> {
        self.current.outstanding()
    }
}

/// A session that stands already, and the life that it belongs to.
type First = (Life, (Session, Driving));

/// Where it is told how it stands.
struct ConnectProgress {
    state: watch::Sender<ReconnectState>,
    current: Arc<Current>,
    wanted: Arc<Notify>,
    common: PoolShared,
}

impl ConnectProgress {
    fn is(&self, state: ReconnectState) {
        let session = if let ReconnectState::Ready(session) = &state { Some(session) } else { None };
        // Whoever waits for a change finds the session.
        self.current.set(session);
        self.state.send_replace(state);
        self.common.told.send_replace(());
    }
}

/// Keeps a connection until it is closed.
async fn keep_connected(
    dialer: Arc<Dialer>,
    target: Target,
    progress: ConnectProgress,
    first: Option<First>,
) {
    let closing = progress.common.closing.clone();
    tokio::select! {
        biased;
        () = closing.closed() => {}
        () = dial_again(dialer, target, &progress, first) => {}
    }
    progress.is(ReconnectState::Closed);
}

async fn dial_again(
    dialer: Arc<Dialer>,
    target: Target,
    progress: &ConnectProgress,
    mut first: Option<First>,
) {
    let mut rng: SmallRng = SmallRng::from_rng(&mut rand::rng());
    let mut backoff = dialer.backoff.clone();
    // Sessions that drain: each ends when its calls have, or when the server closes it.
    let mut leaving = JoinSet::new();
    loop {
        while leaving.try_join_next().is_some() {}
        let (life, attempt) = match first.take() {
            Some((life, first)) => (life, Ok(first)),
            None => {
                let life = progress.common.lives.present();
                (life.clone(), dialer.connect(&target, life, &progress.common.closing).await)
            }
        };
        let failure = match attempt {
            Ok((session, mut driving)) => {
                let since = Instant::now();
                progress.is(ReconnectState::Ready(session.clone()));
                // Those who wanted it have it.
                let _ = std::pin::pin!(progress.wanted.notified()).enable();
                let mut condition = session.condition();
                let ended = tokio::select! {
                    error = &mut driving => Some(error),
                    _ = condition.wait_for(|now| now.draining) => None,
                };
                life.ends();
                let rests = condition.borrow().rests;
                let has_ended = ended.is_some();
                let Some(source) = ended.filter(|_| !rests) else {
                    debug!(address = %target, rests, "the server wants no more calls on this connection");
                    if !has_ended {
                        leaving.spawn(finish(session, driving));
                    }
                    // Not a failure: calls wait for the successor. A pause all the same where it came at once.
                    progress.is(ReconnectState::Connecting);
                    if since.elapsed() < STABLE {
                        tokio::time::sleep(backoff.next(&mut rng)).await;
                    }
                    if rests {
                        let _ = timeout(REST.mul_f64(rng.random_range(1.0..2.0)), progress.wanted.notified())
                            .await;
                    }
                    continue;
                };
                if since.elapsed() >= STABLE {
                    backoff.reset();
                    info!(address = %target, error = %source, "connection lost, dialling again");
                    progress.is(ReconnectState::Connecting);
                    continue;
                }
                ConnectError::of(session.connection().remote_addr(), source)
            }
            Err(error) => error,
        };
        let pause = backoff.next(&mut rng);
        debug!(address = %target, error = chain(&failure), ?pause, "no connection");
        progress.is(ReconnectState::Failed(Arc::new(failure)));
        tokio::time::sleep(pause).await;
        progress.is(ReconnectState::Connecting);
    }
}

/// Lets a draining session's calls end, then closes it.
pub(super) async fn finish(session: Session, driving: Driving) {
    tokio::select! {
        _ = driving => {}
        () = session.quiet() => session.connection().close(close::SHUTDOWN, "drained"),
    }
}
