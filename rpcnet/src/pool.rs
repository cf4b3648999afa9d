//! Connections that come back: one address, dialled for as long as somebody holds on to it.

mod further;

use std::{fmt, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};
use tracing::{debug, info};

pub(crate) use self::further::Further;
use crate::{
    Backoff, ConnectError, Limits, Status, discover,
    error::chain,
    interceptor::Chain,
    proto::{self, close},
    session::{Current, Life, Lives, Router, Session},
    tls::Tls,
    transport::{Connection, ConnectionError, DialOptions, Endpoint},
};

/// A connection that stood this long was a success: the next pause is the first again.
const STABLE: Duration = Duration::from_secs(2);

/// What connections are dialled with: socket, certificates, limits, and the services that peers may call back.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    /// Of calls: whether the peer serves them, or forwards them.
    pub(crate) protocol: &'static [u8],
    pub(crate) tls: Arc<Tls>,
    pub(crate) router: Arc<Router>,
    pub(crate) interceptors: Chain,
    pub(crate) limits: Limits,
    pub(crate) options: DialOptions,
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: Backoff,
    /// To one server.
    pub(crate) max_connections: usize,
}

/// Where to dial; a name is resolved anew each time.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: String,
    host: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Target {
    pub(crate) fn parse(address: &str) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Address(address.to_owned());
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self { address: address.to_owned(), host: host.to_owned() })
    }

    /// An endpoint of a set.
    pub(crate) fn of(endpoint: &discover::Endpoint) -> Self {
        let addr = endpoint.addr();
        let host = endpoint.host().map_or_else(|| addr.ip().to_string(), str::to_owned);
        Self { address: addr.to_string(), host }
    }

    /// The host, against which a certificate without a node name is checked.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// All addresses of the name, in the resolver's order; never empty.
    pub(crate) async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let failed = |source| ConnectError::Resolve { name: self.address.clone(), source };
        let addrs: Vec<_> = tokio::net::lookup_host(&self.address).await.map_err(failed)?.collect();
        if addrs.is_empty() {
            return Err(failed(std::io::Error::other("no address")));
        }
        Ok(addrs)
    }
}

type Driving = Pin<Box<dyn Future<Output = ConnectionError> + Send>>;

impl Dialer {
    /// Whether peers forward calls.
    pub(crate) fn relays(&self) -> bool {
        self.protocol == proto::RELAY_ALPN
    }

    /// Dials a raw connection of any protocol: the first address of the name that answers.
    pub(crate) async fn dial(
        &self,
        target: &Target,
        protocol: &[u8],
        options: &DialOptions,
    ) -> Result<Connection, ConnectError> {
        let room = self.limits.room();
        let mut last = None;
        for address in target.resolve().await? {
            let dialled = self.endpoint.dial(address, target.host(), protocol, options, room);
            match timeout(self.connect_timeout, dialled).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(source)) => last = Some(ConnectError::of(address, source)),
                Err(_) => last = Some(ConnectError::TimedOut { address, after: self.connect_timeout }),
            }
        }
        Err(last.unwrap_or_else(|| ConnectError::Address(target.address.clone())))
    }

    /// Dials a session in this life of the endpoint, and waits until the peer has let us in. Cancel-safe.
    async fn connect(&self, target: &Target, life: Life) -> Result<(Session, Driving), ConnectError> {
        let connection = self.dial(target, self.protocol, &self.options).await?;
        let address = connection.remote_addr();
        let (session, driver) = Session::dialled(connection, self.router.clone(), self.limits, life);
        let mut driving: Driving = Box::pin(driver.drive());
        let settled = async {
            tokio::select! {
                ready = session.ready() => ready,
                error = &mut driving => Err(error),
            }
        };
        match timeout(self.connect_timeout, settled).await {
            Ok(Ok(())) => Ok((session, driving)),
            Ok(Err(source)) => Err(ConnectError::of(address, source)),
            Err(_) => Err(ConnectError::TimedOut { address, after: self.connect_timeout }),
        }
    }
}

/// What the connections to one address have in common. Whoever drops all of it ends [`changes`](Self::changes).
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    lives: Arc<Lives>,
    /// Told whenever a session comes or goes.
    told: watch::Sender<()>,
}

impl Common {
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
}

/// A connection to one address that is dialled again whenever it is lost, with backoff and jitter.
///
/// Dropping it ends the dialling; sessions that are in use go on until they are dropped too.
#[derive(Debug)]
pub(crate) struct Remote {
    state: watch::Receiver<State>,
    /// The session in it, which each call looks at.
    current: Arc<Current>,
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
        let first = dialer.connect(&target, life.clone()).await?;
        Ok(Self::run(dialer, target, common, Some((life, first))))
    }

    fn run(dialer: Arc<Dialer>, target: Target, common: Common, first: Option<First>) -> Self {
        let session = first.as_ref().map(|(_, (session, _))| session);
        let initial = session.map_or(State::Connecting, |session| State::Ready(session.clone()));
        let (sender, state) = watch::channel(initial);
        let current = Arc::<Current>::default();
        current.set(session);
        let progress = Progress { state: sender, current: current.clone(), common };
        let task = tokio::spawn(keep_connected(dialer, target, progress, first)).abort_handle();
        Self { state, current, task }
    }

    /// The session that calls may be sent on now.
    pub(crate) fn ready(&self) -> Option<Session> {
        self.current.ready()
    }

    /// Whether there is one.
    pub(crate) fn is_ready(&self) -> bool {
        self.current.is_ready()
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
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            State::Connecting => false,
            // Between a session's GOAWAY and the next attempt there is a moment.
            State::Ready(session) => {
                let condition = session.condition();
                let condition = condition.borrow();
                condition.closed.is_none() && !condition.draining
            }
            State::Failed(_) => true,
        });
        match settled.await.map(|state| state.clone()) {
            Ok(State::Ready(session)) => Ok(session),
            Ok(State::Failed(error)) => Err(error.into_status()),
            Ok(State::Connecting) | Err(_) => {
                Err(Status::unavailable("the channel has been closed").not_executed())
            }
        }
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

async fn keep_connected(dialer: Arc<Dialer>, target: Target, progress: Progress, mut first: Option<First>) {
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
                (life.clone(), dialer.connect(&target, life).await)
            }
        };
        let failure = match attempt {
            Ok((session, mut driving)) => {
                let since = Instant::now();
                progress.is(State::Ready(session.clone()));
                let mut condition = session.condition();
                let ended = tokio::select! {
                    error = &mut driving => Some(error),
                    _ = condition.wait_for(|now| now.draining) => None,
                };
                life.ends();
                let Some(source) = ended else {
                    debug!(address = %target.address, "the server is going away");
                    leaving.spawn(finish(session, driving));
                    // Not a failure: calls wait for the successor. A pause all the same where it came at once.
                    progress.is(State::Connecting);
                    if since.elapsed() < STABLE {
                        tokio::time::sleep(backoff.next(&mut rng)).await;
                    }
                    continue;
                };
                if since.elapsed() >= STABLE {
                    backoff.reset();
                    info!(address = %target.address, error = %source, "connection lost, dialling again");
                    progress.is(State::Connecting);
                    continue;
                }
                ConnectError::of(session.connection().remote_addr(), source)
            }
            Err(error) => error,
        };
        let pause = backoff.next(&mut rng);
        debug!(address = %target.address, error = chain(&failure), ?pause, "no connection");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, host) in [
            ("worker-1.example:8081", "worker-1.example"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]:8081", "::1"),
        ] {
            assert_eq!(Target::parse(address).expect(address).host(), host);
        }
        for wrong in ["worker-1.example", "worker:port", ":8081", "", "a:99999"] {
            assert!(matches!(Target::parse(wrong), Err(ConnectError::Address(_))), "{wrong}");
        }
    }
}
