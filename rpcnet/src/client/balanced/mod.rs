//! A channel to a changing set of endpoints.
//!
//! `picking` chooses, `groups` has the endpoints of each service, `served` remembers which services there were; `call_all` does not choose, `member` is what is known of one endpoint, `attempts` makes a call until it has an answer, `hedge`
//! makes it twice where it is late, `call` is the short way of small calls that succeed at once, `follow` keeps up with
//! the set and looks for outliers, `unready` says why no endpoint takes a call.

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
    call_all::{EndpointCaller, FromEndpoint, QuorumError, Replies},
    config::BalancedConfig,
    stats::EndpointStats,
};
use crate::{
    ConnectError, Reply, Request, Status,
    balance::{Detector, Policy},
    client::{
        ChannelBuilder, Connector,
        resume::{self, Reopen},
    },
    connect::{Closing, Dialer, tell},
    discover::EndpointSet,
    interceptor::{self, Next},
    lock::Mutex,
    message::ReplyFuture,
    retry::{FreeHedges, RetryBudget},
    runtime::Runtime,
    session::{Session, Times},
};

/// Spreads calls over a changing set of endpoints and sends them elsewhere where one fails. Cheap to clone.
///
/// A call is tried again, elsewhere, where it was never started; and where it may have run, if its method is `idempotent`
/// and the [`RetryBudget`] allows. Elsewhere is another endpoint, or the same one after a connection to it was lost and made
/// again: it was restarted, or has come back. An `idempotent` call that waits at an endpoint that has gone silent (see
/// [`Limits::with_silence`](crate::Limits::with_silence)) does not wait for that endpoint's death. While no endpoint takes
/// calls, a call waits for one.
///
/// A stream of a `resumable` method goes on at another endpoint where its own drains, dies, or goes silent while there is
/// another: see [`Method::with_resumable`](crate::Method::with_resumable). For the next one it waits as long as a call
/// does.
///
/// An endpoint at which calls keep failing is left out for a while
/// ([`OutlierConfig`](crate::balance::OutlierConfig)). A call of a method with the option `hedge` that is late is made a
/// second time elsewhere; the first answer counts, the other call is cancelled.
///
/// There is one connection to each endpoint, and further ones to those where more calls gather than it can carry
/// ([`ChannelBuilder::with_max_connections`]). They lead to the same process, so none of them is elsewhere.
#[derive(Debug, Clone)]
pub struct BalancedChannel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<BalancedShared>,
    /// The interceptors, where there are some.
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
    /// Told whenever an endpoint comes, goes, connects or disconnects.
    changed: Notify,
    rng: Mutex<SmallRng>,
    budget: Mutex<AttemptBudgets>,
    /// Calls that have not been counted in the budget yet.
    made: AtomicU64,
    hedges: Hedges,
    retries: AtomicU64,
    /// Says where the endpoints come from, where somebody has set it.
    origin: OnceLock<Origin>,
}

/// What bounds further attempts.
#[derive(Debug)]
struct AttemptBudgets {
    retries: RetryBudget,
    hedges: FreeHedges,
}

impl BalancedChannel {
    /// Calls go to whatever `endpoints` says; it may change at any time.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where the builder's configuration is not complete or no socket can be opened;
    /// [`ConnectError::NoRuntime`] outside of a tokio runtime. Connections are made in the background.
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

    /// How it stands with each endpoint.
    pub fn endpoints(&self) -> Vec<EndpointStats> {
        let now = Instant::now();
        self.inner.shared.members.load().all.iter().map(|member| member.stats(now)).collect()
    }

    /// Closes the channel, for all its clones: ends the connections to all endpoints and says goodbye to them, as
    /// [`Channel::close`](crate::Channel::close) does to one server, and within the same bound. The set of endpoints is
    /// followed no longer.
    ///
    /// Cancel-safe: the channel is closed at the first poll, and what is dropped is the wait.
    pub async fn close(&self) {
        let shared = &self.inner.shared;
        let sessions = shared.closing.close();
        shared.changed.notify_waiters();
        shared.dialer.runtime.run(tell(sessions)).await;
    }

    /// Waits until some endpoint takes calls, or the channel is closed. Cancel-safe.
    pub async fn ready(&self) {
        let shared = &self.inner.shared;
        if shared.dialer.runtime.run(shared.ready()).await.is_none() {
            // None ever will.
            std::future::pending().await
        }
    }

    /// The endpoints that are left out for what calls there came to, by their ids. Costs nothing while there are none.
    pub fn ejected(&self) -> Vec<Arc<str>> {
        let shared = &self.inner.shared;
        if shared.common.detector.ejected() == 0 {
            return Vec::new();
        }
        let now = Instant::now();
        let members = shared.members.load();
        members.all.iter().filter(|member| !member.admits(now)).map(|member| member.id().clone()).collect()
    }

    /// How often a call was sent again.
    pub fn retries(&self) -> u64 {
        self.inner.shared.retries.load(Ordering::Relaxed)
    }

    /// How often a late call was made a second time.
    pub fn hedges(&self) -> u64 {
        self.inner.shared.hedges.made()
    }
}

impl BalancedShared {
    /// What bounds further attempts, with all calls counted.
    fn budget(&self) -> MutexGuard<'_, AttemptBudgets> {
        let mut budget = self.budget.lock();
        let made = self.made.swap(0, Ordering::Relaxed);
        budget.retries.deposit(made);
        budget.hedges.deposit(made);
        budget
    }
}

/// The end of the chain of a channel's interceptors: the call, with all its attempts.
#[derive(Debug)]
struct BalancedEnd(Arc<BalancedShared>);

impl interceptor::Service for BalancedEnd {
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
        let times = Times::of(&request, &self.dialer.limits);
        let patience = self.config.ready_timeout;
        resume::call(self, request, times, patience).await
    }

    /// Waits until some endpoint takes calls, or the channel is closed.
    async fn ready(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_ready = self.members.load().all.iter().any(|member| member.is_untried(&[]));
            if is_ready || self.closing.is_closed() {
                return;
            }
            // A silent endpoint that is heard from again tells nobody: look again in a moment.
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
        times: Times,
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
