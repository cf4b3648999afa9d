//! A channel to a changing set of endpoints.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tracing::debug;

use super::{
    Caller, Times,
    channel::inherit_trace,
    member::{Member, Picked},
    resume::{self, Reopen},
    times::after,
};
use crate::{
    Code, ConnectError, Reply, Request, RetryBudget, Status,
    balance::{Picker, Policy},
    client::ChannelBuilder,
    discover::EndpointSet,
    interceptor::{self, Next},
    message::{Answer, ReplyFuture},
    pool::Dialer,
    session::Session,
};

/// How a [`BalancedChannel`] picks and retries.
#[derive(Debug, Clone)]
pub struct BalancedConfig {
    policy: Policy,
    max_attempts: usize,
    ready_timeout: Duration,
    budget: RetryBudget,
}

impl Default for BalancedConfig {
    /// Peak EWMA, four attempts a call, 5 s to wait for an endpoint, the default [`RetryBudget`].
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            max_attempts: 4,
            ready_timeout: Duration::from_secs(5),
            budget: RetryBudget::default(),
        }
    }
}

impl BalancedConfig {
    /// How an endpoint is picked.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How often a call is tried in all, each time on another connection.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// How long a call waits for an endpoint that takes calls, within its deadline.
    #[must_use]
    pub fn with_ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// The bound on retries of calls that may have run.
    #[must_use]
    pub fn with_retry_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }
}

/// What calls to one endpoint have come to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointStats {
    /// The endpoint's identity.
    pub id: Arc<str>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Calls can be sent there now.
    pub ready: bool,
    /// Calls at work there.
    pub pending: usize,
    /// Calls that were answered, or failed, there.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// When it was first picked.
    pub first_pick: Option<SystemTime>,
    /// When it was last picked.
    pub last_pick: Option<SystemTime>,
}

/// Spreads calls over a changing set of endpoints and sends them elsewhere where one fails. Cheap to clone.
///
/// A call is tried again, on a connection that it has not been tried on, where it was never started; and where it
/// may have run, if its method is `idempotent` and the [`RetryBudget`] allows. An `idempotent` call that waits at an
/// endpoint that has gone silent (see [`Limits::with_silence`](crate::Limits::with_silence)) does not wait for that
/// endpoint's death. While no endpoint takes calls, a call waits for one.
///
/// A stream of a `resumable` method goes on at another endpoint where its own drains, dies, or goes silent while there is
/// another: see [`Method::with_resumable`](crate::Method::with_resumable). For the next one it waits as long as a call
/// does.
#[derive(Debug, Clone)]
pub struct BalancedChannel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
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
struct Shared {
    dialer: Arc<Dialer>,
    config: BalancedConfig,
    members: ArcSwap<Vec<Arc<Member>>>,
    /// Told whenever an endpoint comes, goes, connects or disconnects.
    changed: Notify,
    picker: Mutex<(Picker, SmallRng)>,
    budget: Mutex<RetryBudget>,
    retries: AtomicU64,
}

impl BalancedChannel {
    /// Calls go to whatever `endpoints` says; it may change at any time.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where the builder's configuration is not complete or no socket can be opened. Connections
    /// are made in the background.
    pub fn new(
        builder: ChannelBuilder,
        endpoints: watch::Receiver<EndpointSet>,
        config: BalancedConfig,
    ) -> Result<Self, ConnectError> {
        Ok(Self::start(builder.dialer()?, endpoints, config))
    }

    pub(super) fn start(
        dialer: Arc<Dialer>,
        endpoints: watch::Receiver<EndpointSet>,
        config: BalancedConfig,
    ) -> Self {
        let rng = SmallRng::from_rng(&mut rand::rng());
        let shared = Arc::new(Shared {
            dialer,
            members: ArcSwap::default(),
            changed: Notify::new(),
            picker: Mutex::new((Picker::new(config.policy), rng)),
            budget: Mutex::new(config.budget.clone()),
            config,
            retries: AtomicU64::new(0),
        });
        let task = tokio::spawn(follow(shared.clone(), endpoints)).abort_handle();
        let chain = shared.dialer.interceptors.around(End(shared.clone()));
        Self { inner: Arc::new(Inner { shared, chain, task }) }
    }

    /// How it stands with each endpoint.
    pub fn endpoints(&self) -> Vec<EndpointStats> {
        let members = self.inner.shared.members.load();
        members
            .iter()
            .map(|member| EndpointStats {
                id: member.endpoint.id().clone(),
                addr: member.endpoint.addr(),
                tags: BTreeMap::clone(&member.tags.load()),
                ready: member.remote.ready().is_some(),
                pending: member.pending(),
                calls: member.calls.load(Ordering::Relaxed),
                failures: member.failures.load(Ordering::Relaxed),
                first_pick: member.first_pick(),
                last_pick: member.last_pick(),
            })
            .collect()
    }

    /// Waits until some endpoint takes calls. Cancel-safe.
    pub async fn ready(&self) {
        let shared = &self.inner.shared;
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if shared.members.load().iter().any(|member| member.remote.ready().is_some()) {
                return;
            }
            // A silent endpoint that is heard from again tells nobody: look again in a moment.
            let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
        }
    }

    /// How often a call was sent again.
    pub fn retries(&self) -> u64 {
        self.inner.shared.retries.load(Ordering::Relaxed)
    }
}

/// Keeps the members as the set says.
async fn follow(shared: Arc<Shared>, mut endpoints: watch::Receiver<EndpointSet>) {
    let mut watchers = tokio::task::JoinSet::new();
    loop {
        let set = endpoints.borrow_and_update().clone();
        let before = shared.members.load_full();
        let mut members = Vec::with_capacity(set.len());
        for endpoint in &*set {
            let same = |member: &&Arc<Member>| {
                member.endpoint.id() == endpoint.id() && member.endpoint.addr() == endpoint.addr()
            };
            if let Some(member) = before.iter().find(same) {
                if **member.tags.load() != *endpoint.tags() {
                    member.tags.store(Arc::new(endpoint.tags().clone()));
                }
                members.push(member.clone());
                continue;
            }
            debug!(id = %endpoint.id(), addr = %endpoint.addr(), "endpoint added");
            let member = Member::start(&shared.dialer, endpoint.clone());
            watchers.spawn(watch_member(Arc::downgrade(&shared), Arc::downgrade(&member)));
            members.push(member);
        }
        shared.members.store(Arc::new(members));
        drop(before);
        shared.changed.notify_waiters();
        while watchers.try_join_next().is_some() {}
        if endpoints.changed().await.is_err() {
            // Nobody changes the set any more; it stands.
            std::future::pending::<()>().await;
        }
    }
}

/// Tells those who wait for an endpoint when this one connects or disconnects.
async fn watch_member(shared: std::sync::Weak<Shared>, member: std::sync::Weak<Member>) {
    loop {
        let Some(changes) = member.upgrade().map(|member| member.remote.changes()) else { return };
        if let Some(shared) = shared.upgrade() {
            shared.changed.notify_waiters();
        }
        changes.await;
    }
}

impl Shared {
    fn picker(&self) -> MutexGuard<'_, (Picker, SmallRng)> {
        self.picker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An endpoint that takes calls, on a connection on which this call was not tried.
    fn pick(&self, tried: &[Session]) -> Option<Picked> {
        let members = self.members.load();
        let now = Instant::now();
        let load = |index: usize| {
            let member = &members[index];
            untried(member, tried).map(|_| member.load(now))
        };
        let (picker, rng) = &mut *self.picker();
        let member = &members[picker.pick(members.len(), load, rng)?];
        // It may have disconnected in this moment: then it is as if there were none.
        Some(member.picked(untried(member, tried)?))
    }

    /// As [`pick`](Self::pick), waiting for one.
    async fn pick_or_wait(&self, tried: &[Session], deadline: Instant) -> Option<Picked> {
        let deadline = deadline.min(after(Instant::now(), self.config.ready_timeout));
        timeout_at(deadline, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(picked) = self.pick(tried) {
                    return picked;
                }
                // A silent endpoint that is heard from again tells nobody: look again in a moment.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        })
        .await
        .ok()
    }

    fn none_ready(&self) -> Status {
        let members = self.members.load();
        if members.is_empty() {
            return Status::unavailable("no endpoint is known").not_executed();
        }
        let failure = members.iter().find_map(|member| member.remote.failure());
        let message = format!("none of {} endpoints takes calls", members.len());
        match failure {
            Some(error) => Status::unavailable(format!("{message}: {}", crate::error::chain(&*error)))
                .with_source(error as Arc<dyn std::error::Error + Send + Sync>)
                .not_executed(),
            None => Status::unavailable(message).not_executed(),
        }
    }

    /// One attempt. An idempotent call leaves an endpoint that has gone silent if there is another.
    async fn attempt(
        &self,
        picked: &Picked,
        tried: &[Session],
        request: &Request,
        times: &Times,
    ) -> Result<Reply, Status> {
        let call = picked.session.call(request, times);
        if !request.method.idempotent() || tried.len() + 1 >= self.config.max_attempts {
            return call.await;
        }
        let elsewhere = async {
            picked.session.unresponsive().await;
            // Items that were sent are gone: then there is nothing to send elsewhere.
            while !request.is_repeatable() || !self.has_other(picked, tried) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            biased;
            result = call => result,
            () = elsewhere => Err(Status::unavailable("the endpoint has gone silent")),
        }
    }

    /// Whether another connection takes calls.
    fn has_elsewhere(&self, session: &Session) -> bool {
        self.members.load().iter().any(|member| untried(member, std::slice::from_ref(session)).is_some())
    }

    fn has_other(&self, picked: &Picked, tried: &[Session]) -> bool {
        self.members
            .load()
            .iter()
            .any(|member| !Arc::ptr_eq(member, &picked.member) && untried(member, tried).is_some())
    }

    /// Whether a failed attempt may be followed by another.
    fn may_retry(&self, status: &Status, request: &Request, attempts: usize) -> bool {
        if attempts >= self.config.max_attempts || !request.is_repeatable() {
            return false;
        }
        // A relay has tried what it could; one that knows no server may be followed by one that does.
        if status.is_handed_on() && (status.maybe_executed() || status.code() != Code::Unavailable) {
            return false;
        }
        if !status.maybe_executed() {
            return match status.code() {
                Code::Unavailable | Code::Unauthenticated => true,
                // It was full, and says when it will not be: another may have room. Where none has, retries must not
                // make it worse.
                Code::ResourceExhausted => status.retry_after().is_some() && self.budget().withdraw(),
                _ => false,
            };
        }
        request.method.idempotent() && status.code() == Code::Unavailable && self.budget().withdraw()
    }

    async fn call(self: Arc<Self>, request: Request) -> Result<Reply, Status> {
        let times = Times::of(&request, &self.dialer.limits);
        self.budget().deposit();
        if request.method.resumable() {
            let patience = self.config.ready_timeout;
            return resume::call(self, request, times, patience).await;
        }
        self.attempts(&request, &times, None).await.map(|(reply, _)| reply)
    }

    /// All attempts of a call; best elsewhere than where its stream was `left`. Gives the session that has answered.
    async fn attempts(
        &self,
        request: &Request,
        times: &Times,
        left: Option<&Session>,
    ) -> Result<(Reply, Session), Status> {
        let mut tried: Vec<Session> = Vec::new();
        let mut last: Option<Status> = None;
        let mut maybe_executed = false;
        loop {
            let picked = match &last {
                // Where all others are full too, or there is none, the caller is to know at once.
                Some(status) if status.code() == Code::ResourceExhausted => self.pick(&tried),
                Some(_) => self.pick_or_wait(&tried, times.open_by()).await,
                None => match left.and_then(|left| self.pick(std::slice::from_ref(left))) {
                    None => self.pick_or_wait(&tried, times.open_by()).await,
                    elsewhere => elsewhere,
                },
            };
            let Some(picked) = picked else {
                return Err(last.unwrap_or_else(|| self.none_ready()));
            };
            if last.is_some() || left.is_some() {
                self.retries.fetch_add(1, Ordering::Relaxed);
            }
            let result = self.attempt(&picked, &tried, request, times).await;
            let failed = matches!(&result, Err(status) if blames_endpoint(&picked.session, status));
            picked.done(!failed);
            let session = picked.session.clone();
            let status = match result {
                Ok(mut reply) => {
                    // A stream is at work there until it ends.
                    if let Answer::Items(items) = &mut reply.answer {
                        items.keep(picked);
                    }
                    return Ok((reply, session));
                }
                Err(status) => status,
            };
            let repeated = self.may_retry(&status, request, tried.len() + 1);
            // What the caller is told is about all attempts: an earlier one may have run.
            maybe_executed |= status.maybe_executed();
            let status = status.with_maybe_executed(maybe_executed);
            if !repeated {
                return Err(status);
            }
            debug!(method = %request.method, endpoint = %picked.member.endpoint.addr(), %status, "sent again");
            tried.push(session);
            last = Some(status);
        }
    }
}

impl Reopen for Arc<Shared> {
    async fn open(
        self,
        request: Request,
        times: Times,
        left: Option<Session>,
    ) -> Result<(Reply, Session), Status> {
        self.attempts(&request, &times, left.as_ref()).await
    }

    async fn better_elsewhere(self, session: Session) {
        loop {
            session.unresponsive().await;
            if self.has_elsewhere(&session) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The connection on which a call may be sent there. One that it was tried on is none; a new one to the same endpoint
/// is: the endpoint was restarted, or has come back.
fn untried(member: &Member, tried: &[Session]) -> Option<Session> {
    member.remote.ready().filter(|session| !tried.iter().any(|other| other.is(session)))
}

/// Whether such an error says something of the endpoint, rather than of the call.
fn blames_endpoint(session: &Session, status: &Status) -> bool {
    // Neither what a relay hands on says anything of the relay, nor how long somebody behind it takes.
    if session.is_relayed() && (status.is_handed_on() || status.code() == Code::DeadlineExceeded) {
        return false;
    }
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::DataLoss
    )
}

impl Caller for BalancedChannel {
    type Future = ReplyFuture;

    fn call(&self, mut request: Request) -> ReplyFuture {
        let channel = self.clone();
        let moves = request.method.resumable();
        Box::pin(async move {
            inherit_trace(&mut request);
            let reply = match &channel.inner.chain {
                None => channel.inner.shared.clone().call(request).await,
                Some(chain) => chain.run(request).await,
            };
            match reply {
                // The set is followed for as long as the stream may have to go on elsewhere.
                Ok(reply) if moves => Ok(reply.on_end(move || drop(channel))),
                reply => reply,
            }
        })
    }
}

/// The end of the chain of a channel's interceptors: the call, with all its attempts.
#[derive(Debug)]
struct End(Arc<Shared>);

impl interceptor::Service for End {
    fn call(&self, request: Request) -> ReplyFuture {
        Box::pin(self.0.clone().call(request))
    }
}
