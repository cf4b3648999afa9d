//! One connection to one address, dialled again whenever it is lost.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};
use tracing::{debug, info};

use super::{Closing, ConnectError, Dialer, Target, channel_closed, dialer::Driving};
use crate::{
    Status,
    error::chain,
    proto::close,
    session::{Epoch, Epochs, Session, SessionCell},
};

/// The time after which a connection counts as a success and resets the backoff.
pub(super) const STABLE: Duration = Duration::from_secs(2);

/// The time for which a server that closed an idle connection is not dialled while no call needs it. Jitter
/// extends it to at most twice that.
const REST: Duration = Duration::from_secs(15);

/// The state that all connections of a pool share. Dropping every clone ends [`changes`](Self::changes).
#[derive(Debug, Clone)]
pub(crate) struct PoolShared {
    pub(super) epochs: Arc<Epochs>,
    /// Notified whenever a session begins or ends.
    pub(super) session_changes: watch::Sender<()>,
    pub(super) closing: Closing,
}

impl PoolShared {
    pub(crate) fn new(closing: Closing) -> Self {
        Self { epochs: Arc::default(), session_changes: watch::Sender::default(), closing }
    }

    /// Returns the scope in which the connections are closed.
    pub(crate) fn closing(&self) -> &Closing {
        &self.closing
    }

    /// Resolves when the next session begins or ends.
    pub(crate) fn changes(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changes = self.session_changes.subscribe();
        async move {
            let _ = changes.changed().await;
        }
    }
}

/// The state of the connection.
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
/// Dropping it stops the dialling. Sessions in use go on until they are dropped too.
#[derive(Debug)]
pub(crate) struct Reconnecting {
    state: watch::Receiver<ReconnectState>,
    /// The session of the state, kept where each call can read it cheaply.
    current: Arc<SessionCell>,
    /// Notified when a call needs a connection.
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

    /// Dials once and goes on only if that succeeds.
    pub(crate) async fn connect(
        dialer: Arc<Dialer>,
        target: Target,
        common: PoolShared,
    ) -> Result<Self, ConnectError> {
        let epoch = common.epochs.present();
        let first = dialer.connect(&target, epoch.clone(), &common.closing).await?;
        Ok(Self::run(dialer, target, common, Some((epoch, first))))
    }

    fn run(dialer: Arc<Dialer>, target: Target, common: PoolShared, first: Option<First>) -> Self {
        let session = first.as_ref().map(|(_, (session, _))| session);
        let initial =
            session.map_or(ReconnectState::Connecting, |session| ReconnectState::Ready(session.clone()));
        let (sender, state) = watch::channel(initial);
        let current = Arc::<SessionCell>::default();
        current.set(session);
        let wanted = Arc::<Notify>::default();
        let progress =
            ConnectProgress { state: sender, current: current.clone(), wanted: wanted.clone(), common };
        let runtime = dialer.runtime.clone();
        let task = runtime.handle().spawn(keep_connected(dialer, target, progress, first)).abort_handle();
        Self { state, current, wanted, task }
    }

    /// The session, if calls may be sent on it now.
    pub(crate) fn ready(&self) -> Option<Session> {
        self.current.ready()
    }

    /// Returns true if calls may be sent now.
    pub(crate) fn is_ready(&self) -> bool {
        self.current.is_ready()
    }

    /// Returns true if a session is open, even if no calls may be sent on it now.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(&*self.state.borrow(), ReconnectState::Ready(_))
    }

    /// The failure of the last attempt, during the pause before the next one.
    pub(crate) fn failure(&self) -> Option<Arc<ConnectError>> {
        match &*self.state.borrow() {
            ReconnectState::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// Returns the session and waits for an attempt that is in progress. During a pause it fails at once with
    /// the error of the last attempt. Cancel-safe.
    pub(crate) async fn session(&self) -> Result<Session, Status> {
        self.want();
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            ReconnectState::Connecting => false,
            // A session that has received GOAWAY stays in this state for a moment, until the next attempt
            // begins.
            ReconnectState::Ready(session) => {
                let peer_state = session.peer_state();
                let peer_state = peer_state.borrow();
                peer_state.closed.is_none() && !peer_state.draining
            }
            ReconnectState::Failed(_) | ReconnectState::Closed => true,
        });
        match settled.await.map(|state| state.clone()) {
            Ok(ReconnectState::Ready(session)) => Ok(session),
            Ok(ReconnectState::Failed(error)) => Err(error.into_status()),
            Ok(ReconnectState::Connecting | ReconnectState::Closed) | Err(_) => Err(channel_closed()),
        }
    }

    /// Dials a server that closed an idle connection and was left alone since.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// The number of our calls that wait for an answer; `None` if no calls may be sent now.
    pub(crate) fn outstanding(&self) -> Option<usize> {
        self.current.outstanding()
    }
}

/// A session that is open already, and its epoch.
type First = (Epoch, (Session, Driving));

/// Publishes the state of the connection.
struct ConnectProgress {
    state: watch::Sender<ReconnectState>,
    current: Arc<SessionCell>,
    wanted: Arc<Notify>,
    common: PoolShared,
}

impl ConnectProgress {
    fn set(&self, state: ReconnectState) {
        let session = if let ReconnectState::Ready(session) = &state { Some(session) } else { None };
        // Set before the notifications, so that a task that they wake finds the session.
        self.current.set(session);
        self.state.send_replace(state);
        self.common.session_changes.send_replace(());
    }
}

/// Keeps the connection up until the scope is closed.
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
    progress.set(ReconnectState::Closed);
}

async fn dial_again(
    dialer: Arc<Dialer>,
    target: Target,
    progress: &ConnectProgress,
    mut first: Option<First>,
) {
    let mut rng: SmallRng = SmallRng::from_rng(&mut rand::rng());
    let mut backoff = dialer.backoff.clone();
    // Draining sessions. Each ends when its calls have ended, or when the server closes it.
    let mut leaving = JoinSet::new();
    loop {
        while leaving.try_join_next().is_some() {}
        let (epoch, attempt) = match first.take() {
            Some((epoch, first)) => (epoch, Ok(first)),
            None => {
                let epoch = progress.common.epochs.present();
                (epoch.clone(), dialer.connect(&target, epoch, &progress.common.closing).await)
            }
        };
        let failure = match attempt {
            Ok((session, mut driving)) => {
                let since = Instant::now();
                progress.set(ReconnectState::Ready(session.clone()));
                // This connection satisfies a pending request for one.
                let _ = std::pin::pin!(progress.wanted.notified()).enable();
                let mut peer_state = session.peer_state();
                let ended = tokio::select! {
                    error = &mut driving => Some(error),
                    _ = peer_state.wait_for(|now| now.draining) => None,
                };
                epoch.ends();
                let rests = peer_state.borrow().rests;
                let has_ended = ended.is_some();
                let Some(source) = ended.filter(|_| !rests) else {
                    debug!(address = %target, rests, "the server takes no more calls on this connection");
                    if !has_ended {
                        leaving.spawn(finish(session, driving));
                    }
                    // This is no failure: calls wait for the successor. A connection that ended at once is
                    // still followed by a pause.
                    progress.set(ReconnectState::Connecting);
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
                    progress.set(ReconnectState::Connecting);
                    continue;
                }
                ConnectError::of(session.connection().remote_addr(), source)
            }
            Err(error) => error,
        };
        let pause = backoff.next(&mut rng);
        debug!(address = %target, error = chain(&failure), ?pause, "could not connect");
        progress.set(ReconnectState::Failed(Arc::new(failure)));
        tokio::time::sleep(pause).await;
        progress.set(ReconnectState::Connecting);
    }
}

/// Waits until the calls of a draining session have ended, then closes the connection.
pub(super) async fn finish(session: Session, driving: Driving) {
    tokio::select! {
        _ = driving => {}
        () = session.quiet() => session.connection().close(close::SHUTDOWN, "drained"),
    }
}
