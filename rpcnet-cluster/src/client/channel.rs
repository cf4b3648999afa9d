//! A client's channel to a cluster: calls go to the workers that directors list, or through the directors.

use std::{error::Error, sync::Arc, time::Duration};

use rpcnet::{
    BalancedChannel, BalancedConfig, Caller, Channel, ChannelBuilder, ConfigError, ConnectError, Connector,
    EndpointCaller, EndpointStats, Limits, Replies, balance::Policy, discover::EndpointSet,
    resolve::HostPort,
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

/// The way of calls to the workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Directly. The directors list the workers. There is no further hop, and calls go on while no director answers.
    #[default]
    Direct,
    /// Through a director, for clients that can't reach the workers. The directors must
    /// [relay](crate::DirectorBuilder::with_relay).
    Relay,
}

/// A channel to all workers of a cluster. Cheap to clone.
///
/// In [`Mode::Direct`] the channel follows the list of workers at one director, and goes on with another director if that
/// one is lost. While no director answers, it keeps calling the workers that it knows, [however old](Self::routes_age) the
/// list is. It spreads and retries calls as a [`BalancedChannel`] does, with extra connections to workers that have many
/// calls ([`with_max_connections`](rpcnet::ChannelBuilder::with_max_connections)).
///
/// In [`Mode::Relay`] the channel spreads calls over the directors. A director picks the worker, and retries a failed call at
/// another worker. The channel retries a call at another director in two cases: the first director has not started it; or
/// the call was lost on the way and its method is `idempotent`. Directors relay messages of up to their own
/// [`Limits::max_message`](rpcnet::Limits::with_max_message). A worker sees the director as its peer, and can't call this
/// process back.
///
/// ```
/// use rpcnet::{Server, ServerConfig, dev::DevCa, rpc_impl, rpc_trait};
/// use rpcnet_cluster::{ClusterChannel, ClusterConfig, ClusterExt, Director};
///
/// #[rpc_trait]
/// pub trait Echo {
///     async fn echo(&self, text: String) -> rpcnet::Result<String>;
/// }
///
/// struct Worker;
///
/// #[rpc_impl]
/// impl Echo for Worker {
///     async fn echo(&self, text: String) -> rpcnet::Result<String> {
///         Ok(text)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let identity = ca.issue("node")?;
/// # let config = ServerConfig::builder()
/// #     .with_bind_addr(([127, 0, 0, 1], 0).into())
/// #     .with_cert_and_key(&identity.cert, &identity.key)?
/// #     .with_ca_cert(ca.ca_pem())?
/// #     .build()?;
/// // One node that is a worker and a director too; usually these are several.
/// let server = Server::new(config)?;
/// server.register(EchoServer::new(Worker))?;
/// let cluster = server.enable_cluster(ClusterConfig::new_local().with_tag("role", "worker")).await?;
/// let director = Director::new(&server, &cluster)?;
/// # let running = server.clone();
/// # tokio::spawn(async move { running.run().await });
///
/// let client = ca.issue("client")?;
/// let channel = ClusterChannel::builder()
///     .with_directors([server.local_addr().to_string()])
///     .with_ca_cert(ca.ca_pem())?
///     .with_cert_and_key(&client.cert, &client.key)?
///     .connect()
///     .await?;
/// assert_eq!(EchoClient::new(channel).echo("hello".into()).await?, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ClusterChannel {
    /// The channel to the workers, or to the directors in [`Mode::Relay`].
    channel: BalancedChannel,
    /// The filter by which directors choose workers, as text. `None` in [`Mode::Direct`], and for the empty filter.
    selector: Option<Arc<str>>,
    inner: Arc<ClusterChannelState>,
}

#[derive(Debug)]
struct ClusterChannelState {
    /// Empty in [`Mode::Relay`].
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
    /// Returns a builder of a channel.
    pub fn builder() -> ClusterChannelBuilder {
        ClusterChannelBuilder::default()
    }

    /// Returns the state of each worker, or of each director in [`Mode::Relay`].
    pub fn endpoints(&self) -> Vec<EndpointStats> {
        self.channel.endpoints()
    }

    /// Returns how often a call was retried at another worker, or at another director in [`Mode::Relay`].
    pub fn retries(&self) -> u64 {
        self.channel.retries()
    }

    /// Returns how old the list of workers may be: the time since a director last sent something. A director that lives sends
    /// every second. `None` in [`Mode::Relay`], which has no list.
    pub fn routes_age(&self) -> Option<Duration> {
        self.inner.routes.borrow().heard.map(|heard| heard.elapsed())
    }

    /// Returns whether the list of workers is older than [`ClusterChannelBuilder::with_stale_after`]: no director lives, or
    /// none can be reached. Calls still go to the known workers, as long as those answer. Always `false` in [`Mode::Relay`].
    pub fn is_stale(&self) -> bool {
        self.routes_age().is_some_and(|age| age >= self.inner.stale_after)
    }

    /// Closes the channel and all its clones: stops following the directors, and closes the connections to them and to all
    /// workers with a goodbye. Returns when the goodbyes are acknowledged, usually within milliseconds, at most within two
    /// seconds.
    ///
    /// Calls in flight end as [`Unavailable`](rpcnet::Code::Unavailable), on all clones, and their handlers are dropped. So
    /// close the channel when the calls that matter have ended. Later calls fail at once as `Unavailable`, not executed.
    /// A second call does no harm.
    ///
    /// Cancel-safe: the first poll closes the channel, and dropping the future only ends the wait.
    pub async fn close(&self) {
        self.inner.task.abort();
        // The socket belongs to this channel alone.
        self.inner.connector.close().await;
    }

    /// Waits until a worker (in [`Mode::Relay`] a director) accepts calls, or the channel is closed. Cancel-safe.
    pub async fn ready(&self) {
        self.channel.ready().await;
    }

    /// Makes one call at each worker that matches the filter, all at once: to clear a cache, or to load new data. Returns the
    /// replies [one by one](Replies::next), [all together](Replies::all), or as a [quorum](Replies::quorum).
    ///
    /// Not for [`Mode::Relay`], in which the client does not know the workers: the filter then applies to the directors, which
    /// have no tags here.
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
    /// The limits are those of [`BalancedChannel::call_all`].
    pub fn broadcast<R>(&self, filter: &TagFilter, call: impl Fn(EndpointCaller) -> R) -> Replies<R::Output>
    where
        R: Future + Send + 'static,
        R::Output: Send + 'static,
    {
        self.channel.call_all(|worker| filter.matches(&worker.tags()), call)
    }

    /// Returns how often a late call was made a second time.
    pub fn hedges(&self) -> u64 {
        self.channel.hedges()
    }

    /// Uses another certificate in new handshakes. Open connections go on. Completes at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], and the former certificate stays in use:
    ///
    /// - the certificate or the key is not usable;
    /// - the certificate has expired or is not valid yet;
    /// - its CA is not trusted here, unless the CA of the former one is not trusted either.
    pub async fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ConfigError> {
        self.inner.connector.reload_certificate(cert, key)
    }

    /// Trusts these CAs, and no others, in new handshakes. Open connections go on. Completes at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for text without a usable certificate. The former CAs stay in use.
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
    /// Sets the directors, as `host:port`. One is enough; with several, the channel survives the loss of one. Required.
    ///
    /// A name stands for a set of addresses, each of a director, so one name for all directors is as good as a list. Names are
    /// resolved again whenever directors are asked, and every 5 s in [`Mode::Relay`].
    #[must_use]
    pub fn with_directors<S: Into<String>>(mut self, directors: impl IntoIterator<Item = S>) -> Self {
        self.directors = directors.into_iter().map(Into::into).collect();
        self
    }

    /// Trusts these CAs: [`ChannelBuilder::with_ca_cert`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text contains no usable certificate.
    pub fn with_ca_cert(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.channel = self.channel.with_ca_cert(pem)?;
        Ok(self)
    }

    /// Sets the client's certificate: [`ChannelBuilder::with_cert_and_key`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a text is not usable, or if the two do not belong together.
    pub fn with_cert_and_key(
        mut self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        self.channel = self.channel.with_cert_and_key(cert, key)?;
        Ok(self)
    }

    /// Sets the limits of connections: [`ChannelBuilder::with_limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.channel = self.channel.with_limits(limits);
        self
    }

    /// Connects in memory: [`ChannelBuilder::with_network`].
    #[cfg(feature = "testing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
    #[must_use]
    pub fn with_network(mut self, network: &rpcnet::testing::Network) -> Self {
        self.channel = self.channel.with_network(network);
        self
    }

    /// Sets certificates, limits and timeouts of connections together. Replaces what was set before.
    #[must_use]
    pub fn with_channel(mut self, channel: ChannelBuilder) -> Self {
        self.channel = channel;
        self
    }

    /// Sets the way of calls to the workers. Default: [`Mode::Direct`].
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the time without an update from any director after which the list of workers is
    /// [stale](ClusterChannel::is_stale). Default: 10 s. A lost director is noticed after 3 s, and another one, if there is one,
    /// is found within the next second.
    #[must_use]
    pub fn with_stale_after(mut self, after: Duration) -> Self {
        self.stale_after = after;
        self
    }

    /// Sets how a worker is picked. Default: as the directors suggest. In [`Mode::Relay`] it sets how a director is picked, and
    /// the default is peak EWMA.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Sets attempts, waiting and budget of calls, in [`Mode::Relay`] of the calls between this process and the directors.
    #[must_use]
    pub fn with_balancing(mut self, config: BalancedConfig) -> Self {
        self.balanced = config;
        self
    }

    /// Calls only workers whose tags match. Default: all. In [`Mode::Relay`] each call carries the filter, so keep it short.
    #[must_use]
    pub fn with_filter(mut self, filter: TagFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets the time that [`connect`](Self::connect) waits for a director's answer. Default: 10 s.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks the directors, and returns when one has answered. In [`Mode::Relay`] it returns when a director accepts calls.
    /// Connections to workers are made in the background, and calls wait for them.
    ///
    /// Cancel-safe: dropping the future ends its task and its connections.
    ///
    /// # Errors
    ///
    /// - [`ConnectError`] if a director is no address, or if no socket can be opened.
    /// - [`ConnectError::NoAnswer`] if no director answers in time, and at once if each director refuses this client's
    ///   certificate or has one that is refused here.
    pub async fn connect(self) -> Result<ClusterChannel, ConnectError> {
        let channel = self.channel.clone();
        let connector = match self.mode {
            Mode::Direct => channel.connector()?,
            Mode::Relay => channel.with_relay().connector()?,
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
        // Holds the task, so that an early return ends it.
        let inner = Arc::new(ClusterChannelState {
            routes: routes.clone(),
            stale_after: self.stale_after,
            connector: connector.clone(),
            task,
        });
        let since = Instant::now();
        // A client that all directors refuse need not wait.
        let settled = routes.wait_for(|routes| {
            routes.table.is_some() || routes.failures.as_ref().is_some_and(|failures| failures.are_final())
        });
        let _ = timeout(self.timeout, settled).await;
        let last = routes.borrow().clone();
        let Some(table) = last.table else {
            let failures = last.failures.unwrap_or_default();
            return Err(self.no_answer(since.elapsed().min(self.timeout), failures));
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
                // A client that all directors refuse need not wait.
                () = refused(&channel) => false,
            }
        };
        if !timeout(self.timeout, settled).await.unwrap_or(false) {
            let failures = resolve::EndpointFailures(channel.endpoints());
            return Err(self.no_answer(since.elapsed().min(self.timeout), failures));
        }
        let directors = self.directors.join(", ");
        channel.set_origin(move || format!("the directors {directors} are to hand calls on"));
        let filter = self.filter.to_string();
        let selector = (!filter.is_empty()).then(|| filter.into());
        Ok(ClusterChannel { channel, selector, inner })
    }

    fn no_answer(&self, after: Duration, failures: impl Error + Send + Sync + 'static) -> ConnectError {
        ConnectError::NoAnswer { addresses: self.directors.join(", "), after, source: Box::new(failures) }
    }
}

/// Resolves once each known director has refused this client's certificate, or has one that this client refuses.
async fn refused(channel: &BalancedChannel) {
    /// The pause between two looks.
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
