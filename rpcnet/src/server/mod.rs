//! A server: an endpoint that listens and dials, its services, and its shutdown.

mod accept;
mod config;
mod error;
mod protocol;
mod readiness;
mod refusals;
mod relay;
mod shutdown;
mod socket;

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, MutexGuard, OnceLock, Weak},
    time::Duration,
};

use rustls_pki_types::UnixTime;
use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::Instant};

pub use self::{
    config::{ServerConfig, ServerConfigBuilder},
    error::ServerError,
    protocol::{ProtocolFuture, ProtocolHandler},
    readiness::ReadinessCondition,
    shutdown::{Hurry, NextSignal, shutdown_signal},
    socket::ProtocolSocket,
};
use self::{readiness::Conditions, refusals::RefusalLog, socket::Sockets};
use crate::{
    Backoff, Connector, HealthServer, HealthState, Limits, Metrics, PeerIdentity, Readiness, RegisterError,
    Service,
    client::default_connections,
    connect::Dialer,
    discover::ServiceSet,
    health::ServerHealth,
    interceptor::Chain,
    limit::{Connections, Gate},
    lock::Mutex,
    proto,
    runtime::Runtime,
    session::{Router, Session, WeakSession},
    tls::{CaCertificates, OwnCertificate, Tls},
    transport::{DialOptions, ListenOptions, memory::Network},
};

/// A handle on a server. Cheap to clone.
///
/// A server belongs to the tokio runtime on which it was made ([`runtime`](Server::runtime)). Its methods may
/// be awaited on any executor. Dropping the last handle closes its connections at once;
/// [`run_until`](Server::run_until) shuts down gracefully.
///
/// ```
/// use rpcnet::{Server, ServerConfig, dev::DevCa, shutdown_signal};
///
/// # #[rpcnet::rpc_trait]
/// # trait Greeter {
/// #     async fn greet(&self, name: String) -> rpcnet::Result<String>;
/// # }
/// # struct English;
/// # #[rpcnet::rpc_impl]
/// # impl Greeter for English {
/// #     async fn greet(&self, name: String) -> rpcnet::Result<String> {
/// #         Ok(format!("hello, {name}"))
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = DevCa::generate()?;
/// let own = ca.issue("greeter")?;
/// let config = ServerConfig::builder().with_cert_and_key(own.cert, own.key)?.with_ca_cert(ca.ca_pem())?;
/// let server = Server::new(config.build()?)?;
/// server.register(GreeterServer::new(English))?;
/// println!("listening on {}", server.local_addr());
/// # let shutdown_signal = || std::future::ready(());
/// // Serves until SIGTERM or ctrl-c. Then the calls in flight may finish.
/// server.run_until(shutdown_signal()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// A handle that does not keep the server alive.
#[derive(Debug, Clone)]
pub(crate) struct WeakServer(Weak<Inner>);

impl WeakServer {
    pub(crate) fn upgrade(&self) -> Option<Server> {
        self.0.upgrade().map(|inner| Server { inner })
    }
}

/// The phase of a server's life. It only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ServerPhase {
    /// Other protocols are served; calls wait.
    Bound,
    Running,
    /// New calls and new connections for calls are refused.
    Draining,
    Closed,
}

struct Inner {
    dialer: Arc<Dialer>,
    router: Arc<Router>,
    drain_timeout: Duration,
    handshake_timeout: Duration,
    connections: Connections<WeakSession>,
    /// The refusals that were logged recently.
    refusals: Mutex<RefusalLog>,
    max_handshakes: usize,
    retry_above: usize,
    started: Instant,
    phase: watch::Sender<ServerPhase>,
    conditions: Mutex<Conditions>,
    /// The readiness that follows from phase and conditions.
    readiness: watch::Sender<Readiness>,
    protocols: Mutex<HashMap<Vec<u8>, Arc<dyn ProtocolHandler>>>,
    /// If both are locked, `protocols` is locked first.
    sockets: Mutex<Sockets>,
    network: Option<Network>,
    /// The target of forwarded calls, if calls are forwarded.
    relay: OnceLock<relay::RelayEntry>,
    sessions: Mutex<Sessions>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// The open sessions of calls.
#[derive(Debug, Default)]
struct Sessions {
    next: u64,
    open: HashMap<u64, Session>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().drain(..) {
            task.abort();
        }
        self.sockets.get_mut().close("server dropped");
        self.dialer.endpoint.close(proto::close::SHUTDOWN, "server dropped");
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr())
            .field("phase", &*self.inner.phase.borrow())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("phase", &*self.phase.borrow()).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the address. Other protocols are served from here on, calls once [`run`](Self::run) runs.
    ///
    /// # Errors
    ///
    /// [`ServerError::Bind`] if the address cannot be bound; [`ServerError::NoRuntime`] outside of a tokio
    /// runtime.
    pub fn new(config: ServerConfig) -> Result<Self, ServerError> {
        let runtime = Runtime::current().ok_or(ServerError::NoRuntime)?;
        let tls = Tls::new(config.own.as_ref(), &config.ca)?;
        let endpoint = socket::open(config.bind_addr, config.network.as_ref(), tls.clone())?;
        let listen = ListenOptions { room: config.limits.room(), handshakes: config.max_handshakes };
        endpoint.listen(vec![proto::ALPN.to_vec()], listen)?;
        let metrics = Metrics::default();
        let gate = config.admission.map(|admission| Gate::new(&admission, metrics.clone()));
        let router = Arc::new(Router::new(metrics, &config.interceptors).with_gate(gate));
        let dialer = Dialer {
            endpoint: endpoint.clone(),
            runtime,
            protocol: proto::ALPN,
            tls,
            resolver: config.resolver,
            // Peers know this server by its port, so it never moves to another.
            local_port: None,
            router: router.clone(),
            interceptors: Chain::default(),
            limits: config.limits,
            options: DialOptions::default(),
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            max_connections: default_connections(),
        };
        let inner = Arc::new(Inner {
            dialer: Arc::new(dialer),
            router,
            drain_timeout: config.drain_timeout,
            handshake_timeout: config.handshake_timeout,
            connections: Connections::new(config.connections),
            refusals: Mutex::default(),
            max_handshakes: config.max_handshakes,
            retry_above: config.retry_above,
            started: Instant::now(),
            phase: watch::Sender::new(ServerPhase::Bound),
            conditions: Mutex::default(),
            readiness: watch::Sender::default(),
            protocols: Mutex::default(),
            sockets: Mutex::default(),
            network: config.network,
            relay: OnceLock::new(),
            sessions: Mutex::default(),
            tasks: Mutex::default(),
        });
        let server = Self { inner };
        server.advance(ServerPhase::Bound);
        server.spawn_owned(accept::accept(endpoint, Arc::downgrade(&server.inner)));
        let health = ServerHealth(server.downgrade());
        server.register(HealthServer::new(health)).expect("the first service of an empty router");
        Ok(server)
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.dialer.endpoint.local_addr()
    }

    /// Adds a service. This is possible at any time.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the service's name or a method's id is taken, or if a type cannot be encoded.
    /// Nothing has been added then.
    pub fn register(&self, service: impl Service) -> Result<(), RegisterError> {
        self.inner.router.register(Arc::new(service))
    }

    /// The wire names of the registered services, sorted.
    pub fn services(&self) -> Vec<&'static str> {
        self.inner.router.services()
    }

    /// Watches the set of registered services. Services whose names begin with `rpcnet.` are not in it.
    pub fn watch_services(&self) -> watch::Receiver<ServiceSet> {
        self.inner.router.watch_services()
    }

    /// Returns a connector that dials from the server's own port with its certificate, for channels to other
    /// servers and for other protocols. It does not keep the server alive.
    pub fn connector(&self) -> Connector {
        Connector::of_server(self.inner.dialer.clone())
    }

    /// Answers calls until the server is shut down. Cancel-safe: dropping the future leaves the server
    /// running and only ends the wait.
    ///
    /// # Errors
    ///
    /// [`ServerError::Closed`] if the server has been shut down before.
    pub async fn run(&self) -> Result<(), ServerError> {
        if *self.inner.phase.borrow() == ServerPhase::Closed {
            return Err(ServerError::Closed);
        }
        self.advance(ServerPhase::Running);
        self.closed().await;
        Ok(())
    }

    /// Presents another certificate in new handshakes, as client and as server. Open connections are not
    /// affected. Completes at once.
    ///
    /// # Errors
    ///
    /// [`ServerError::Config`] in these cases; the previous certificate then stays in force:
    ///
    /// - the certificate or the key is not usable,
    /// - the certificate has expired or is not valid yet,
    /// - its CA is not trusted here, unless the CA of the previous certificate is not trusted either.
    pub async fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ServerError> {
        Ok(self
            .inner
            .dialer
            .tls
            .replace_own(&OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?, UnixTime::now())?)
    }

    /// Trusts these CAs, and no others, in new handshakes, as client and as server. Open connections are not
    /// affected. Completes at once.
    ///
    /// To change a cluster's CA without a gap:
    ///
    /// - load both CAs on every node (one PEM text with both),
    /// - then give out the new certificates,
    /// - then load the new CA alone.
    ///
    /// # Errors
    ///
    /// [`ServerError::Config`] if the text holds no usable certificate; the previous CAs then stay in force.
    pub async fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ServerError> {
        Ok(self.inner.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?, UnixTime::now())?)
    }

    /// The identity in the server's own certificate.
    pub fn identity(&self) -> Option<PeerIdentity> {
        self.inner.dialer.tls.own_identity()
    }

    /// The metrics of this server's calls.
    pub fn metrics(&self) -> &Metrics {
        self.inner.router.metrics()
    }

    /// The limits that the server was configured with.
    pub fn limits(&self) -> &Limits {
        &self.inner.dialer.limits
    }

    /// The number of calls in flight.
    pub fn in_flight(&self) -> usize {
        self.inner.router.in_flight()
    }

    /// The state that `rpcnet.Health/health` returns.
    pub fn health(&self) -> HealthState {
        HealthState {
            uptime_ms: self.inner.started.elapsed().as_millis() as u64,
            in_flight: self.in_flight() as u64,
            services: self.services().into_iter().map(str::to_owned).collect(),
        }
    }

    /// Resolves once the server is shut down.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.inner.phase.subscribe();
        async move {
            // An error means that the server has been dropped, which closes it as well.
            let _ = phase.wait_for(|phase| *phase == ServerPhase::Closed).await;
        }
    }

    /// The tokio runtime on which the server was made. Its connections, handlers and tasks run there.
    pub fn runtime(&self) -> &Handle {
        self.inner.dialer.runtime.handle()
    }

    /// Polls a future within the server's runtime, whichever executor polls the result. Returns `None` once
    /// that runtime is shut down.
    pub(crate) async fn on_runtime<F: Future>(&self, future: F) -> Option<F::Output> {
        self.inner.dialer.runtime.run(future).await
    }

    pub(crate) fn downgrade(&self) -> WeakServer {
        WeakServer(Arc::downgrade(&self.inner))
    }

    /// Spawns a task that is aborted when the server is dropped.
    pub(crate) fn spawn_owned(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.inner.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(self.runtime().spawn(task).abort_handle());
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.inner.sockets.lock()
    }

    fn is_closed(&self) -> bool {
        *self.inner.phase.borrow() == ServerPhase::Closed
    }

    fn protocols(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Arc<dyn ProtocolHandler>>> {
        self.inner.protocols.lock()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.inner.sessions.lock()
    }
}
