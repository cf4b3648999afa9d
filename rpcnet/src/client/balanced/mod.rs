//! A channel to a changing set of endpoints.
//!
//! - `picking` picks an endpoint for a call, and `groups` holds the endpoints of each service.
//! - `attempts` makes a call until it has an answer, `hedge` makes a late call a second time, and `call` is
//!   the fast path of small calls that succeed at once.
//! - `call_all` makes one call at each endpoint.
//! - `endpoint` is the state of one endpoint.
//! - `update` follows the set of endpoints and looks for outliers, and `served` remembers which services were
//!   served.
//! - `unready` explains why no endpoint takes a call.

mod attempts;
mod call;
mod call_all;
mod config;
mod endpoint;
mod groups;
mod hedge;
mod picking;
mod served;
mod stats;
mod unready;
mod update;

use std::sync::{
    Arc, MutexGuard, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Duration, Instant},
};

use self::{
    attempts::Attempts,
    endpoint::SharedCounts,
    groups::{Arrange, Members},
    hedge::Hedges,
    served::ServedServices,
    unready::Origin,
};
pub use self::{
    call::BalancedCall,
    call_all::{EndpointCaller, EndpointReply, QuorumError, Replies},
    config::BalancedConfig,
    stats::EndpointStats,
};
use crate::{
    Caller, ConnectError, Reply, Request, Status,
    balance::{Detector, Policy},
    client::{
        ChannelBuilder, Connector,
        resume::{self, Reopen},
    },
    connect::{Closing, Dialer, wait_close_sent},
    discover::EndpointSet,
    interceptor::{self, Next},
    lock::Mutex,
    message::ReplyFuture,
    relay::Forward,
    retry::{FreeHedges, RetryBudget},
    runtime::Runtime,
    session::{Deadlines, Session},
};

/// Spreads calls over a changing set of endpoints and retries failed calls elsewhere. Cheap to clone.
///
/// A call is tried again elsewhere in two cases:
///
/// - it was never started,
/// - it may have run, but its method is `idempotent` and the [`RetryBudget`] allows a retry.
///
/// Elsewhere is another endpoint, or the same one once a connection to it was lost and made again: the server
/// has then been restarted, or has come back. An `idempotent` call that waits at an endpoint that has gone
/// silent (see [`Limits::with_silence`](crate::Limits::with_silence)) moves on without waiting for that
/// endpoint's death. While no endpoint takes calls, a call waits for one.
///
/// A stream of a `resumable` method resumes at another endpoint if its own drains, dies, or goes silent while
/// there is another: see [`Method::with_resumable`](crate::Method::with_resumable). It waits for the next
/// endpoint as long as a call does.
///
/// An endpoint at which calls keep failing is ejected for a while
/// ([`OutlierConfig`](crate::balance::OutlierConfig)). A late call of a method with the option `hedge` is
/// made a second time elsewhere. The first answer wins, and the other call is cancelled.
///
/// The channel keeps one connection to each endpoint, and extra ones to an endpoint where more calls pile up
/// than one connection can carry ([`ChannelBuilder::with_max_connections`]). They lead to the same process,
/// so none of them counts as elsewhere.
///
/// ```
/// use rpcnet::{BalancedChannel, BalancedConfig, HealthClient, discover::{Endpoint, EndpointSet}};
/// use tokio::sync::watch;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
/// # let builder = rpcnet::Channel::builder().with_network(&network);
/// let workers: EndpointSet = [Endpoint::new("worker-1", address)].into();
/// let (workers, watched) = watch::channel(workers);
/// let channel = BalancedChannel::new(builder, watched, BalancedConfig::default())?;
/// HealthClient::new(channel.clone()).health().await?;
///
/// // Service discovery sends a new set whenever a worker comes or goes.
/// workers.send([].into())?;
/// channel.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BalancedChannel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<BalancedShared>,
    /// The interceptors, if there are any.
    chain: Option<Next>,
    task: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct BalancedShared {
    dialer: Arc<Dialer>,
    closing: Closing,
    config: BalancedConfig,
    members: ArcSwap<Members>,
    common: Arc<SharedCounts>,
    arrange: Arrange,
    served: ServedServices,
    /// Notified whenever an endpoint is added, removed, connected or disconnected.
    changed: Notify,
    rng: Mutex<SmallRng>,
    budget: Mutex<AttemptBudgets>,
    /// Calls that have not been deposited in the budget yet.
    made: AtomicU64,
    hedges: Hedges,
    retries: AtomicU64,
    /// The description of where the endpoints come from, if one was set.
    origin: OnceLock<Origin>,
}

/// The budgets of retries and hedges.
#[derive(Debug)]
struct AttemptBudgets {
    retries: RetryBudget,
    hedges: FreeHedges,
}

impl BalancedChannel {
    /// Creates a channel to the endpoints that `endpoints` lists. The list may change at any time.
    /// Connections are made in the background.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if the builder's configuration is not complete or no socket can be opened;
    /// [`ConnectError::NoRuntime`] outside of a tokio runtime.
    pub fn new(
        builder: ChannelBuilder,
        endpoints: watch::Receiver<EndpointSet>,
        config: BalancedConfig,
    ) -> Result<Self, ConnectError> {
        Ok(Connector::new(builder.dialer()?).balanced(endpoints, config))
    }

    pub(super) fn start(
        dialer: Arc<Dialer>,
        closing: Closing,
        endpoints: watch::Receiver<EndpointSet>,
        config: BalancedConfig,
    ) -> Self {
        let arrange = Arrange { policy: config.policy, hash: config.hash.clone() };
        let budget = AttemptBudgets { retries: config.budget.clone(), hedges: FreeHedges::new() };
        let shared = Arc::new(BalancedShared {
            dialer,
            closing,
            members: ArcSwap::from_pointee(Members::none(&arrange)),
            arrange,
            served: ServedServices::default(),
            common: Arc::new(SharedCounts {
                detector: Detector::new(config.outliers.clone()),
                counts: config.policy == Policy::ConsistentHash,
                pending: AtomicUsize::new(0),
            }),
            changed: Notify::new(),
            rng: Mutex::new(SmallRng::from_rng(&mut rand::rng())),
            budget: Mutex::new(budget),
            made: AtomicU64::new(0),
            hedges: Hedges::default(),
            config,
            retries: AtomicU64::new(0),
            origin: OnceLock::new(),
        });
        let follow = update::follow(shared.clone(), endpoints);
        let task = shared.dialer.runtime.handle().spawn(follow).abort_handle();
        let chain = shared.dialer.interceptors.around(BalancedEnd(shared.clone()));
        Self { inner: Arc::new(Inner { shared, chain, task }) }
    }

    /// The state and statistics of each endpoint.
    pub fn endpoints(&self) -> Vec<EndpointStats> {
        let now = Instant::now();
        self.inner.shared.members.load().all.iter().map(|member| member.stats(now)).collect()
    }

    /// Closes the channel for all its clones: closes the connections to all endpoints and tells them, as
    /// [`Channel::close`](crate::Channel::close) does for one server and within the same bound. The channel
    /// stops following the set of endpoints.
    ///
    /// Cancel-safe: the channel is closed at the first poll, and dropping the future only ends the wait.
    pub async fn close(&self) {
        let shared = &self.inner.shared;
        let sessions = shared.closing.close();
        shared.changed.notify_waiters();
        shared.dialer.runtime.run(wait_close_sent(sessions)).await;
    }

    /// Waits until an endpoint takes calls or the channel is closed. Cancel-safe.
    pub async fn ready(&self) {
        let shared = &self.inner.shared;
        if shared.dialer.runtime.run(shared.ready()).await.is_none() {
            // The runtime is shut down: no endpoint will ever take calls.
            std::future::pending().await
        }
    }

    /// The ids of the ejected endpoints. Cheap while there are none.
    pub fn ejected(&self) -> Vec<Arc<str>> {
        let shared = &self.inner.shared;
        if shared.common.detector.ejected() == 0 {
            return Vec::new();
        }
        let now = Instant::now();
        let members = shared.members.load();
        members.all.iter().filter(|member| !member.admits(now)).map(|member| member.id().clone()).collect()
    }

    /// The number of retries.
    pub fn retries(&self) -> u64 {
        self.inner.shared.retries.load(Ordering::Relaxed)
    }

    /// The number of late calls that were made a second time.
    pub fn hedges(&self) -> u64 {
        self.inner.shared.hedges.made()
    }
}

impl BalancedShared {
    /// Locks the budgets and deposits the calls that have not been counted yet.
    fn budget(&self) -> MutexGuard<'_, AttemptBudgets> {
        let mut budget = self.budget.lock();
        let made = self.made.swap(0, Ordering::Relaxed);
        budget.retries.deposit(made);
        budget.hedges.deposit(made);
        budget
    }
}

/// The end of a channel's chain of interceptors: it makes the call with all its attempts.
#[derive(Debug)]
struct BalancedEnd(Arc<BalancedShared>);

impl interceptor::RequestHandler for BalancedEnd {
    fn call(&self, request: Request) -> ReplyFuture {
        Box::pin(self.0.clone().call(request))
    }
}

impl BalancedShared {
    async fn call(self: Arc<Self>, request: Request) -> Result<Reply, Status> {
        if !request.method.resumable() {
            return Attempts::new(&self, request).run().await;
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        let times = Deadlines::of(&request, &self.dialer.limits);
        let patience = self.config.ready_timeout;
        resume::call(self, request, times, patience).await
    }

    /// Waits until an endpoint takes calls or the channel is closed.
    async fn ready(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_ready = self.members.load().all.iter().any(|member| member.is_untried(&[]));
            if is_ready || self.closing.is_closed() {
                return;
            }
            // A silent endpoint that answers again sends no notification: look again in a moment.
            let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
        }
    }
}

impl Reopen for Arc<BalancedShared> {
    fn is_closed(&self) -> bool {
        self.closing.is_closed()
    }

    async fn open(
        self,
        request: Request,
        times: Deadlines,
        left: Option<Session>,
    ) -> Result<(Reply, Session), Status> {
        Attempts::begun(&self, request, times).run_elsewhere(left).await
    }

    async fn better_elsewhere(self, session: Session, service: Option<u64>) {
        loop {
            session.unresponsive().await;
            if self.has_untried(service, std::slice::from_ref(&session)) {
                return;
            }
            self.dialer.runtime.sleep(Duration::from_millis(50)).await;
        }
    }

    fn runtime(&self) -> &Runtime {
        &self.dialer.runtime
    }
}

impl Forward for BalancedChannel {
    fn forward(&self, call: Request) -> ReplyFuture {
        Box::pin(self.call(call))
    }
}
