//! A client's channel to a cluster: directors tell where the workers are, and calls go to them directly; or directors hand
//! the calls on.

use std::{sync::Arc, time::Duration};

use rpcnet::{
    BalancedChannel, BalancedConfig, Caller, Channel, ChannelBuilder, ConfigError, ConnectError, Connector,
    EndpointCaller, EndpointStats, Limits, Replies, balance::Policy, discover::EndpointSet,
    resolve::HostPort, transport::MemoryNetwork,
};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    resolve,
    routes::{RouteFollower, Routes},
};
use crate::TagFilter;

/// How calls come to the workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Directly: the directors tell where the workers are. No further hop, and while no director answers, calls go on.
    #[default]
    Direct,
    /// Through a director, for clients who can't reach the workers. The directors must
    /// [relay](crate::DirectorBuilder::with_relay).
    Relay,
}

/// A channel to all workers of a cluster. Cheap to clone.
///
/// In [`Mode::Direct`] it follows the list of workers at one of the directors, goes on with another where that one is lost,
/// and keeps calling the workers that it knows while none answers, [however old](Self::routes_age) the list is. Calls are
/// spread and retried as by a [`BalancedChannel`], with further connections to workers where calls gather
/// ([`with_max_connections`](rpcnet::ChannelBuilder::with_max_connections)).
///
/// In [`Mode::Relay`] calls are spread over the directors. A director picks the worker, and sends a call elsewhere where one
/// fails; from here it is sent to another director where the first has not started it, and where it was lost on the way and
/// the method is `idempotent`. Messages of up to the directors' own
/// [`Limits::max_message`](rpcnet::Limits::with_max_message) are handed on. A worker sees the director as its peer, and can't
/// call this process back.
#[derive(Debug, Clone)]
pub struct ClusterChannel {
    /// To the workers, or to the directors.
    channel: BalancedChannel,
    /// What tells directors which workers to choose among.
    selector: Option<Arc<str>>,
    inner: Arc<ClusterChannelState>,
}

#[derive(Debug)]
struct ClusterChannelState {
    /// None are known in relay mode.
    routes: watch::Receiver<Routes>,
    stale_after: Duration,
    connector: Connector,
    task: AbortHandle,
}

impl Drop for ClusterChannelState {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ClusterChannel {
    /// Starts to describe a channel.
    pub fn builder() -> ClusterChannelBuilder {
        ClusterChannelBuilder::default()
    }

    /// How it stands with each worker; in [`Mode::Relay`], with each director.
    pub fn endpoints(&self) -> Vec<EndpointStats> {
        self.channel.endpoints()
    }

    /// How often a call was sent to another worker; in [`Mode::Relay`], to another director.
    pub fn retries(&self) -> u64 {
        self.channel.retries()
    }

    /// How old the list of workers may be: the time since a director was last heard from, which is every second while one
    /// lives. `None` in [`Mode::Relay`], where there is no list.
    pub fn routes_age(&self) -> Option<Duration> {
        self.inner.routes.borrow().heard.map(|heard| heard.elapsed())
    }

    /// Whether no director was heard from for so long that the list of workers should not be trusted any more
    /// ([`ClusterChannelBuilder::with_stale_after`]): none lives, or none is reached. Calls go on to the workers that are
    /// known, as long as those answer. Never in [`Mode::Relay`].
    pub fn is_stale(&self) -> bool {
        self.routes_age().is_some_and(|age| age >= self.inner.stale_after)
    }

    /// Closes the channel, for all its clones: follows the directors no longer, ends the connections to them and to all
    /// workers, and says goodbye. Returns when all were told: mostly within milliseconds, at most within two seconds.
    ///
    /// Calls at work end as [`Unavailable`](rpcnet::Code::Unavailable), on all clones, and their handlers are dropped:
    /// close the channel when the calls that matter have ended. Calls made after that fail at once as `Unavailable`, not
    /// executed. Closing twice does no harm.
    ///
    /// Cancel-safe: the channel is closed at the first poll, and what is dropped is the wait.
    pub async fn close(&self) {
        self.inner.task.abort();
        // The socket is this channel's own.
        self.inner.connector.close().await;
    }

    /// Waits until a worker, or in [`Mode::Relay`] a director, takes calls, or the channel is closed. Cancel-safe.
    pub async fn ready(&self) {
        self.channel.ready().await;
    }

    /// Makes one call at each worker that matches the filter, all at a time: to clear a cache, to load what has changed.
    /// The answers come [one by one](Replies::next), [all together](Replies::all), or as a
    /// [quorum](Replies::quorum). Not for [`Mode::Relay`], where the workers are not known here: the filter is applied to
    /// directors, which have no tags here.
    ///
    /// ```no_run
    /// # use rpcnet::rpc_trait;
    /// # use rpcnet_cluster::ClusterChannel;
    /// # #[rpc_trait]
    /// # pub trait Cache { async fn clear(&self) -> rpcnet::Result<u64>; }
    /// # async fn example(channel: ClusterChannel) -> Result<(), Box<dyn std::error::Error>> {
    /// let cleared = channel.broadcast(&"zone=x".parse()?, |worker| CacheClient::new(worker).clear());
    /// for from in cleared.all().await {
    ///     println!("{}: {:?}", from.addr, from.output);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// As [`BalancedChannel::call_all`], whose limits it has.
    pub fn broadcast<R>(&self, filter: &TagFilter, call: impl Fn(EndpointCaller) -> R) -> Replies<R::Output>
    where
        R: Future + Send + 'static,
        R::Output: Send + 'static,
    {
        self.channel.call_all(|worker| filter.matches(&worker.tags()), call)
    }

    /// How often a late call was made a second time.
    pub fn hedges(&self) -> u64 {
        self.channel.hedges()
    }

    /// Shows another certificate in new handshakes; connections that stand go on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a certificate or key that is not usable, for a certificate that has expired or is not valid yet, and
    /// for one of a CA that is not trusted here, unless the one in force is of such a CA too. The one in force stays so.
    pub async fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ConfigError> {
        self.inner.connector.reload_certificate(cert, key)
    }

    /// Trusts these CAs, and no others, in new handshakes; connections that stand go on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for text that holds no usable certificate; those before stay in force.
    pub async fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.inner.connector.reload_ca_cert(pem)
    }
}

impl Caller for ClusterChannel {
    type Future = <BalancedChannel as Caller>::Future;

    fn call(&self, mut request: rpcnet::Request) -> Self::Future {
        if let Some(selector) = &self.selector {
            request.set_selector(selector.clone());
        }
        let moves = request.method().resumable();
        let call = self.channel.call(request);
        // The directors are followed for as long as the stream may have to go on elsewhere.
        if moves { call.keep(self.clone()) } else { call }
    }
}

/// Builds a [`ClusterChannel`].
#[derive(Debug, Clone)]
pub struct ClusterChannelBuilder {
    directors: Vec<String>,
    channel: ChannelBuilder,
    balanced: BalancedConfig,
    policy: Option<Policy>,
    filter: TagFilter,
    timeout: Duration,
    mode: Mode,
    stale_after: Duration,
}

impl Default for ClusterChannelBuilder {
    fn default() -> Self {
        Self {
            directors: Vec::new(),
            channel: Channel::builder(),
            balanced: BalancedConfig::default(),
            policy: None,
            filter: TagFilter::default(),
            timeout: Duration::from_secs(10),
            mode: Mode::default(),
            stale_after: Duration::from_secs(10),
        }
    }
}

impl ClusterChannelBuilder {
    /// The directors, as `host:port`. One is enough; with several the channel survives the loss of one. A name stands for a
    /// set of addresses, each a director: one name for all directors is as good as a list. Names are resolved again
    /// whenever directors are asked, and in [`Mode::Relay`] every 5 s.
    #[must_use]
    pub fn with_directors<S: Into<String>>(mut self, directors: impl IntoIterator<Item = S>) -> Self {
        self.directors = directors.into_iter().map(Into::into).collect();
        self
    }

    /// As [`ChannelBuilder::with_ca_cert`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the text holds no usable certificate.
    pub fn with_ca_cert(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.channel = self.channel.with_ca_cert(pem)?;
        Ok(self)
    }

    /// As [`ChannelBuilder::with_cert_and_key`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the text is not usable, or the two do not belong together.
    pub fn with_cert_and_key(
        mut self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        self.channel = self.channel.with_cert_and_key(cert, key)?;
        Ok(self)
    }

    /// As [`ChannelBuilder::with_limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.channel = self.channel.with_limits(limits);
        self
    }

    /// As [`ChannelBuilder::with_network`].
    #[must_use]
    pub fn with_network(mut self, network: &MemoryNetwork) -> Self {
        self.channel = self.channel.with_network(network);
        self
    }

    /// Connections as described here: certificates, limits, timeouts, in place of what was set before.
    #[must_use]
    pub fn with_channel(mut self, channel: ChannelBuilder) -> Self {
        self.channel = channel;
        self
    }

    /// How calls come to the workers. [`Mode::Direct`] by default.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// After how long without a word from any director the list of workers [is called
    /// stale](ClusterChannel::is_stale). 10 s by default: a director that is lost is known to be after 3 s, and another is
    /// found within the next second, where there is one.
    #[must_use]
    pub fn with_stale_after(mut self, after: Duration) -> Self {
        self.stale_after = after;
        self
    }

    /// How a worker is picked. By default as the directors suggest. In [`Mode::Relay`], how a director is picked; peak EWMA
    /// by default.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Attempts, waiting and budget of calls; in [`Mode::Relay`], of those between this process and the directors.
    #[must_use]
    pub fn with_balancing(mut self, config: BalancedConfig) -> Self {
        self.balanced = config;
        self
    }

    /// Only workers whose tags match. In [`Mode::Relay`] the filter goes with each call, so a short one is a good one.
    #[must_use]
    pub fn with_filter(mut self, filter: TagFilter) -> Self {
        self.filter = filter;
        self
    }

    /// How long [`connect`](Self::connect) waits for a director's answer. 10 s by default.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks the directors, and returns when one has answered. Connections to workers are made in the background;
    /// calls wait for them. In [`Mode::Relay`] it returns when a director takes calls.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for a director that is no address and where no socket can be opened;
    /// [`ConnectError::NoAnswer`] where no director answers in time, and in [`Mode::Direct`] at once where each of them
    /// refuses this client's certificate, or has one that is refused here.
    pub async fn connect(self) -> Result<ClusterChannel, ConnectError> {
        let channel = self.channel.clone();
        let connector = match self.mode {
            Mode::Direct => channel.build()?,
            Mode::Relay => channel.with_relay().build()?,
        };
        if self.directors.is_empty() {
            return Err(ConfigError::Missing("a director", "with_directors").into());
        }
        let directors: Vec<HostPort> =
            self.directors.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        match self.mode {
            Mode::Direct => self.connect_directly(directors, connector).await,
            Mode::Relay => self.connect_through(directors, connector).await,
        }
    }

    async fn connect_directly(
        self,
        directors: Vec<HostPort>,
        connector: Connector,
    ) -> Result<ClusterChannel, ConnectError> {
        let (sender, mut routes) = watch::channel(Routes::default());
        let (endpoints, set) = watch::channel(EndpointSet::from([]));
        let following =
            RouteFollower::new(directors, connector.clone(), sender, endpoints, self.filter.clone());
        let task = tokio::spawn(following.run()).abort_handle();
        // Held from here on, so that an early return ends the task.
        let inner = Arc::new(ClusterChannelState {
            routes: routes.clone(),
            stale_after: self.stale_after,
            connector: connector.clone(),
            task,
        });
        let since = Instant::now();
        // Whom all directors refuse need not wait.
        let settled = routes.wait_for(|routes| {
            routes.table.is_some() || routes.failures.as_ref().is_some_and(|failures| failures.are_final())
        });
        let _ = timeout(self.timeout, settled).await;
        let last = routes.borrow().clone();
        let Some(table) = last.table else {
            let failures = last.failures.unwrap_or_default();
            return Err(self.no_answer(since.elapsed().min(self.timeout), failures.to_string()));
        };
        let suggested = Some(table.policy.into());
        let policy = self.policy.or(suggested).unwrap_or_default();
        let directors = self.directors.join(", ");
        let channel = connector.balanced(set, self.balanced.with_policy(policy));
        channel.set_origin(move || routes.borrow().describe(&directors, &self.filter));
        Ok(ClusterChannel { channel, selector: None, inner })
    }

    async fn connect_through(
        self,
        directors: Vec<HostPort>,
        connector: Connector,
    ) -> Result<ClusterChannel, ConnectError> {
        let (endpoints, set) = watch::channel(EndpointSet::from([]));
        let task = tokio::spawn(resolve::resolve(directors, connector.clone(), endpoints)).abort_handle();
        let (_, routes) = watch::channel(Routes::default());
        let inner = Arc::new(ClusterChannelState {
            routes,
            stale_after: self.stale_after,
            connector: connector.clone(),
            task,
        });
        let policy = self.policy.unwrap_or_default();
        let channel = connector.balanced(set, self.balanced.clone().with_policy(policy));
        let since = Instant::now();
        let settled = async {
            tokio::select! {
                () = channel.ready() => true,
                // Whom all directors refuse need not wait.
                () = refused(&channel) => false,
            }
        };
        if !timeout(self.timeout, settled).await.unwrap_or(false) {
            let failure = resolve::failures(&channel.endpoints());
            return Err(self.no_answer(since.elapsed().min(self.timeout), failure));
        }
        let directors = self.directors.join(", ");
        channel.set_origin(move || format!("the directors {directors} are to hand calls on"));
        let filter = self.filter.to_string();
        let selector = (!filter.is_empty()).then(|| filter.into());
        Ok(ClusterChannel { channel, selector, inner })
    }

    fn no_answer(&self, after: Duration, failure: String) -> ConnectError {
        ConnectError::NoAnswer { addresses: self.directors.join(", "), after, failure }
    }
}

/// Resolves once each director that is known has refused this client, or was refused, for its certificate.
async fn refused(channel: &BalancedChannel) {
    /// Between two looks.
    const AGAIN: Duration = Duration::from_millis(20);

    loop {
        let endpoints = channel.endpoints();
        let is_refused = |endpoint: &EndpointStats| {
            endpoint.failure.as_ref().is_some_and(|failure| failure.is_certificate())
        };
        if !endpoints.is_empty() && endpoints.iter().all(is_refused) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
