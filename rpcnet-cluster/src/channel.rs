//! A client's channel to a cluster: directors tell where the workers are, calls go to them directly.

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use rpcnet::{
    __private::{Request, encode},
    Backoff, BalancedChannel, BalancedConfig, Caller, Channel, ChannelBuilder, ConfigError, ConnectError, Connector,
    EndpointStats, Limits, ReplyStream, Status,
    balance::Policy,
    discover::EndpointSet,
    transport::MemoryNetwork,
};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout},
};
use tracing::{debug, info};

use crate::{
    TagFilter, director,
    routes::{self, RouteTable, Update},
};

/// A director from which nothing came for so long is given up.
const SILENT: Duration = director::HEARTBEAT.saturating_mul(3);
/// Pauses between rounds through all directors.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A channel to all workers of a cluster. Cheap to clone.
///
/// It follows the list of workers at one of the directors, goes on with another where that one is lost, and keeps
/// calling the workers that it knows while none answers. Calls are spread and retried as by a [`BalancedChannel`].
#[derive(Debug, Clone)]
pub struct ClusterChannel {
    workers: BalancedChannel,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    routes: watch::Receiver<Routes>,
    connector: Connector,
    task: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the directors said last.
#[derive(Debug, Clone, Default)]
struct Routes {
    table: Option<RouteTable>,
    /// When a director was last heard from.
    heard: Option<Instant>,
    /// Why none answers.
    failure: Option<String>,
}

impl ClusterChannel {
    /// Starts to describe a channel.
    pub fn builder() -> ClusterChannelBuilder {
        ClusterChannelBuilder::default()
    }

    /// How it stands with each worker.
    pub fn endpoints(&self) -> Vec<EndpointStats> {
        self.workers.endpoints()
    }

    /// How often a call was sent to another worker.
    pub fn retries(&self) -> u64 {
        self.workers.retries()
    }

    /// How old the list of workers may be: the time since a director was last heard from.
    pub fn routes_age(&self) -> Option<Duration> {
        self.inner.routes.borrow().heard.map(|heard| heard.elapsed())
    }

    /// Waits until a worker takes calls. Cancel-safe.
    pub async fn ready(&self) {
        self.workers.ready().await;
    }

    /// Shows another certificate in new handshakes; connections that stand go on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a certificate or key that is not usable; the one before stays in force.
    pub async fn reload_certificate(&self, cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<(), ConfigError> {
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

    fn call(&self, request: Request) -> Self::Future {
        self.workers.call(request)
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
        }
    }
}

impl ClusterChannelBuilder {
    /// The directors, as `host:port`. One is enough; with several the channel survives the loss of one.
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
    pub fn with_cert_and_key(mut self, cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
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

    /// How a worker is picked. By default as the directors suggest.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Attempts, waiting and budget of calls.
    #[must_use]
    pub fn with_balancing(mut self, config: BalancedConfig) -> Self {
        self.balanced = config;
        self
    }

    /// Only workers whose tags match.
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
    /// calls wait for them.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for a director that is no address and where no socket can be opened;
    /// [`ConnectError::NoAnswer`] where no director answers in time.
    pub async fn connect(self) -> Result<ClusterChannel, ConnectError> {
        let connector = self.channel.build()?;
        if self.directors.is_empty() {
            return Err(ConfigError::Missing("a director", "with_directors").into());
        }
        let directors = self
            .directors
            .iter()
            .map(|address| Ok((address.clone(), connector.connect_lazy(address)?)))
            .collect::<Result<Vec<_>, ConnectError>>()?;
        let (sender, mut routes) = watch::channel(Routes::default());
        let (endpoints, set) = watch::channel(EndpointSet::from([]));
        let following = Following { directors, routes: sender, endpoints, filter: self.filter };
        let task = tokio::spawn(following.run()).abort_handle();
        // Held from here on, so that an early return ends the task.
        let inner = Arc::new(Inner { routes: routes.clone(), connector: connector.clone(), task });
        let answered = timeout(self.timeout, routes.wait_for(|routes| routes.table.is_some())).await;
        let suggested = match answered {
            Ok(Ok(routes)) => routes.table.as_ref().map(|table| table.policy.into()),
            _ => {
                let failure = inner.routes.borrow().failure.clone();
                return Err(ConnectError::NoAnswer {
                    addresses: self.directors.join(", "),
                    after: self.timeout,
                    failure: failure.unwrap_or_else(|| "nothing came back".into()),
                });
            }
        };
        let policy = self.policy.or(suggested).unwrap_or_default();
        let workers = connector.balanced(set, self.balanced.with_policy(policy));
        Ok(ClusterChannel { workers, inner })
    }
}

/// Follows the list of workers at one director after the other.
struct Following {
    directors: Vec<(String, Channel)>,
    routes: watch::Sender<Routes>,
    endpoints: watch::Sender<EndpointSet>,
    filter: TagFilter,
}

impl Following {
    async fn run(mut self) {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        // So that clients spread over the directors.
        self.directors.shuffle(&mut rng);
        loop {
            for (address, channel) in &self.directors {
                match self.follow(address, channel).await {
                    Followed::Lost(status) => {
                        info!(director = %address, %status, "director lost");
                        backoff.reset();
                    }
                    Followed::NoAnswer(status) => {
                        debug!(director = %address, %status, "director does not answer");
                        self.routes.send_modify(|routes| routes.failure = Some(format!("{address}: {status}")));
                    }
                }
            }
            tokio::time::sleep(backoff.next(&mut rng)).await;
        }
    }

    async fn follow(&self, address: &str, channel: &Channel) -> Followed {
        let mut updates = match subscribe(channel).await {
            Ok(updates) => updates,
            Err(status) => return Followed::NoAnswer(status),
        };
        let mut heard = false;
        loop {
            let status = match timeout(SILENT, updates.next()).await {
                Ok(Ok(Some(update))) => {
                    if !heard {
                        debug!(director = %address, "following");
                    }
                    heard = true;
                    self.heard(update);
                    continue;
                }
                Ok(Ok(None)) => Status::unavailable("the director ended the list"),
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable("the director has gone silent"),
            };
            return if heard { Followed::Lost(status) } else { Followed::NoAnswer(status) };
        }
    }

    fn heard(&self, update: Update) {
        if let Update::Table(table) = &update {
            let set: EndpointSet =
                table.endpoints().iter().filter(|endpoint| self.filter.matches(endpoint.tags())).cloned().collect();
            self.endpoints.send_replace(set);
        }
        self.routes.send_modify(|routes| {
            routes.heard = Some(Instant::now());
            routes.failure = None;
            if let Update::Table(table) = update {
                routes.table = Some(table);
            }
        });
    }
}

enum Followed {
    /// It answered, and then no more.
    Lost(Status),
    /// It did not answer.
    NoAnswer(Status),
}

async fn subscribe(channel: &Channel) -> Result<ReplyStream<Update>, Status> {
    let arguments = encode(&()).map_err(|error| Status::internal(error.to_string()))?;
    let request = Request::new(routes::watch_method(), arguments).with_timeout(SILENT);
    channel.call_items(request).await
}
