//! Connections that come back: one address, dialled for as long as somebody holds on to it.

mod closing;
mod error;
mod extra;
mod local_port;
mod pool;

use std::{fmt, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tracing::{debug, info, warn};

pub use self::error::ConnectError;
use self::local_port::Outcome;
pub(crate) use self::{
    closing::{Closing, FAREWELL, closed, tell},
    extra::Further,
    local_port::LocalPort,
    pool::Lines,
};
use crate::{
    Backoff, Limits, Status, discover,
    error::chain,
    interceptor::Chain,
    proto::{self, close},
    resolve::{self, HostPort, Resolver},
    runtime::Runtime,
    session::{Current, Life, Lives, Router, Session},
    tls::Tls,
    transport::{Connection, ConnectionError, DialOptions, Endpoint},
};

/// A connection that stood this long was a success: the next pause is the first again.
const STABLE: Duration = Duration::from_secs(2);

/// What connections are dialled with: socket, certificates, limits, and the services that peers may call back.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    /// The one on which the endpoint was opened. Connections and their tasks belong to it.
    pub(crate) runtime: Runtime,
    /// Of calls: whether the peer serves them, or forwards them.
    pub(crate) protocol: &'static [u8],
    pub(crate) tls: Arc<Tls>,
    pub(crate) resolver: Resolver,
    pub(crate) router: Arc<Router>,
    pub(crate) interceptors: Chain,
    pub(crate) limits: Limits,
    pub(crate) options: DialOptions,
    pub(crate) connect_timeout: Duration,
    /// Where the socket only dials, and may take another local port.
    pub(crate) local_port: Option<Arc<LocalPort>>,
    pub(crate) backoff: Backoff,
    /// To one server.
    pub(crate) max_connections: usize,
}

/// Where to dial; a name is resolved anew each time.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    at: HostPort,
    /// The host in the certificate, where it is not the one that is dialled.
    host: Option<String>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

impl Target {
    pub(crate) fn parse(address: &str) -> Result<Self, ConnectError> {
        Ok(Self { at: address.parse()?, host: None })
    }

    /// An address, and the host that its certificate must name.
    pub(crate) fn at(addr: SocketAddr, host: impl Into<String>) -> Self {
        Self { at: addr.into(), host: Some(host.into()) }
    }

    /// An endpoint of a set.
    pub(crate) fn of(endpoint: &discover::Endpoint) -> Self {
        Self { at: endpoint.addr().into(), host: endpoint.host().map(str::to_owned) }
    }

    /// The host, against which a certificate without a node name is checked.
    pub(crate) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or(self.at.host())
    }
}

/// How long a connection that its server wanted closed is not made again while it is not needed; with jitter up to twice
/// that.
const REST: Duration = Duration::from_secs(15);

type Driving = Pin<Box<dyn Future<Output = ConnectionError> + Send>>;

impl Dialer {
    /// Whether peers forward calls.
    pub(crate) fn relays(&self) -> bool {
        self.protocol == proto::RELAY_ALPN
    }

    /// Dials a raw connection of any protocol: the first address of the name that answers. Cancel-safe.
    pub(crate) async fn dial(
        &self,
        target: &Target,
        protocol: &[u8],
        options: &DialOptions,
    ) -> Result<Connection, ConnectError> {
        options.check()?;
        let room = self.limits.room();
        self.first_of(target, |address| async move {
            let dialled = self.endpoint.dial(address, target.host(), protocol, options, room).await;
            dialled.map_err(|source| ConnectError::of(address, source))
        })
        .await
    }

    /// Dials a session in this life of the endpoint, and waits until the peer has let us in: with the first address of the
    /// name whose server does. Cancel-safe.
    async fn connect(
        &self,
        target: &Target,
        life: Life,
        closing: &Closing,
    ) -> Result<(Session, Driving), ConnectError> {
        let Some(local_port) = &self.local_port else {
            return self.connect_from_here(target, life, closing).await;
        };
        let dial = local_port.dial();
        let connected = self.connect_from_here(target, life, closing).await;
        let outcome = match &connected {
            Ok(_) => Outcome::Answered,
            Err(ConnectError::Resolve { .. } | ConnectError::Closed) => Outcome::Unknown,
            Err(error) if error.is_unanswered() => Outcome::Unanswered,
            Err(_) => Outcome::Answered,
        };
        if dial.ends(outcome) {
            match self.endpoint.rebind() {
                Ok(()) => debug!(%target, "nobody answers: dialling from another local port"),
                Err(error) => warn!(%target, %error, "no other local port to dial from"),
            }
        }
        let (session, driving) = connected?;
        let standing = local_port.stand();
        let driving = async move {
            let _standing = standing;
            driving.await
        };
        Ok((session, Box::pin(driving)))
    }

    async fn connect_from_here(
        &self,
        target: &Target,
        life: Life,
        closing: &Closing,
    ) -> Result<(Session, Driving), ConnectError> {
        let room = self.limits.room();
        self.first_of(target, |address| {
            let life = life.clone();
            async move {
                let failed = |source| ConnectError::of(address, source);
                let dialled =
                    self.endpoint.dial(address, target.host(), self.protocol, &self.options, room).await;
                let connection = dialled.map_err(failed)?;
                let (router, runtime) = (self.router.clone(), self.runtime.clone());
                let (session, driver) = Session::dialled(connection, router, self.limits, runtime, life);
                let opened = closing.opened(&session).ok_or(ConnectError::Closed)?;
                let mut driving: Driving = Box::pin(async move {
                    let _opened = opened;
                    driver.drive().await
                });
                let settled = tokio::select! {
                    ready = session.ready() => ready,
                    error = &mut driving => Err(error),
                };
                settled.map_err(failed)?;
                Ok((session, driving))
            }
        })
        .await
    }

    /// The addresses of a name, within the connect timeout. Cancel-safe.
    pub(crate) async fn resolve(&self, name: &HostPort) -> Result<Vec<SocketAddr>, ConnectError> {
        self.resolver.addresses(name, after(self.connect_timeout), self.connect_timeout).await
    }

    /// Attempts all addresses of the target, staggered; the first success counts. All of it, resolving the name included,
    /// takes the connect timeout at most.
    async fn first_of<T, F>(
        &self,
        target: &Target,
        attempt: impl Fn(SocketAddr) -> F,
    ) -> Result<T, ConnectError>
    where
        F: Future<Output = Result<T, ConnectError>>,
    {
        let (deadline, limit) = (after(self.connect_timeout), self.connect_timeout);
        let addrs = self.resolver.addresses(&target.at, deadline, limit).await?;
        let count = addrs.len();
        let raced = resolve::race(addrs, |address| {
            let attempt = attempt(address);
            (Instant::now() < deadline).then_some(async move {
                let ended = timeout_at(deadline, attempt).await;
                ended.unwrap_or(Err(ConnectError::TimedOut { address, after: limit }))
            })
        });
        raced.await.map_err(|mut failures| match failures.pop() {
            Some(only) if count == 1 => only,
            last => {
                failures.extend(last);
                ConnectError::Unreachable { name: target.to_string(), addresses: count, failures }
            }
        })
    }
}

/// The moment in so much time; one that can't be told is decades away.
fn after(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(30 * 365 * 86_400))
}

/// What the connections to one address have in common. Whoever drops all of it ends [`changes`](Self::changes).
#[derive(Debug, Clone)]
pub(crate) struct Common {
    lives: Arc<Lives>,
    /// Told whenever a session comes or goes.
    told: watch::Sender<()>,
    closing: Closing,
}

impl Common {
    pub(crate) fn new(closing: Closing) -> Self {
        Self { lives: Arc::default(), told: watch::Sender::default(), closing }
    }

    /// The scope in which its connections are closed.
    pub(crate) fn closing(&self) -> &Closing {
        &self.closing
    }

    /// Resolves at the next change: a session came or went.
    pub(crate) fn changes(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut told = self.told.subscribe();
        async move {
            let _ = told.changed().await;
        }
    }
}

/// How it stands with the connection.
#[derive(Debug, Clone)]
enum State {
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
pub(crate) struct Remote {
    state: watch::Receiver<State>,
    /// The session in it, which each call looks at.
    current: Arc<Current>,
    /// Told when a connection is needed.
    wanted: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Remote {
    /// Starts to dial.
    pub(crate) fn start(dialer: Arc<Dialer>, target: Target, common: Common) -> Self {
        Self::run(dialer, target, common, None)
    }

    /// Dials once; starts only if that succeeds.
    pub(crate) async fn connect(
        dialer: Arc<Dialer>,
        target: Target,
        common: Common,
    ) -> Result<Self, ConnectError> {
        let life = common.lives.present();
        let first = dialer.connect(&target, life.clone(), &common.closing).await?;
        Ok(Self::run(dialer, target, common, Some((life, first))))
    }

    fn run(dialer: Arc<Dialer>, target: Target, common: Common, first: Option<First>) -> Self {
        let session = first.as_ref().map(|(_, (session, _))| session);
        let initial = session.map_or(State::Connecting, |session| State::Ready(session.clone()));
        let (sender, state) = watch::channel(initial);
        let current = Arc::<Current>::default();
        current.set(session);
        let wanted = Arc::<Notify>::default();
        let progress = Progress { state: sender, current: current.clone(), wanted: wanted.clone(), common };
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
        matches!(&*self.state.borrow(), State::Ready(_))
    }

    /// Why there is none, where dialling failed.
    pub(crate) fn failure(&self) -> Option<Arc<ConnectError>> {
        match &*self.state.borrow() {
            State::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// The session, waiting for an attempt that is under way. Between attempts it fails at once with the last
    /// attempt's error. Cancel-safe.
    pub(crate) async fn session(&self) -> Result<Session, Status> {
        self.want();
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            State::Connecting => false,
            // Between a session's GOAWAY and the next attempt there is a moment.
            State::Ready(session) => {
                let condition = session.condition();
                let condition = condition.borrow();
                condition.closed.is_none() && !condition.draining
            }
            State::Failed(_) | State::Closed => true,
        });
        match settled.await.map(|state| state.clone()) {
            Ok(State::Ready(session)) => Ok(session),
            Ok(State::Failed(error)) => Err(error.into_status()),
            Ok(State::Connecting | State::Closed) | Err(_) => Err(closed()),
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
struct Progress {
    state: watch::Sender<State>,
    current: Arc<Current>,
    wanted: Arc<Notify>,
    common: Common,
}

impl Progress {
    fn is(&self, state: State) {
        let session = if let State::Ready(session) = &state { Some(session) } else { None };
        // Whoever waits for a change finds the session.
        self.current.set(session);
        self.state.send_replace(state);
        self.common.told.send_replace(());
    }
}

/// Keeps a connection until it is closed.
async fn keep_connected(dialer: Arc<Dialer>, target: Target, progress: Progress, first: Option<First>) {
    let closing = progress.common.closing.clone();
    tokio::select! {
        biased;
        () = closing.closed() => {}
        () = dial_again(dialer, target, &progress, first) => {}
    }
    progress.is(State::Closed);
}

async fn dial_again(dialer: Arc<Dialer>, target: Target, progress: &Progress, mut first: Option<First>) {
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
                progress.is(State::Ready(session.clone()));
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
                    progress.is(State::Connecting);
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
                    progress.is(State::Connecting);
                    continue;
                }
                ConnectError::of(session.connection().remote_addr(), source)
            }
            Err(error) => error,
        };
        let pause = backoff.next(&mut rng);
        debug!(address = %target, error = chain(&failure), ?pause, "no connection");
        progress.is(State::Failed(Arc::new(failure)));
        tokio::time::sleep(pause).await;
        progress.is(State::Connecting);
    }
}

/// Lets a draining session's calls end, then closes it.
async fn finish(session: Session, driving: Driving) {
    tokio::select! {
        _ = driving => {}
        () = session.quiet() => session.connection().close(close::SHUTDOWN, "drained"),
    }
}
