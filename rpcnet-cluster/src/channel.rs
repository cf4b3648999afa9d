//! A client's channel to a cluster: directors tell where the workers are, calls go to them directly.

use std::{sync::Arc, time::Duration};

use rpcnet::{
    BalancedChannel, BalancedConfig, Caller, Channel, ChannelBuilder, ConfigError, ConnectError, Connector,
    EndpointStats, Limits, balance::Policy, discover::EndpointSet, transport::MemoryNetwork,
};
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use crate::{
    TagFilter, config,
    following::{Following, Routes},
};

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

    fn call(&self, request: rpcnet::Request) -> Self::Future {
        let moves = request.method().resumable();
        let call = self.workers.call(request);
        if !moves {
            return call;
        }
        // The directors are followed for as long as the stream may have to go on elsewhere.
        let channel = self.clone();
        Box::pin(async move { Ok(call.await?.on_end(move || drop(channel))) })
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
        if let Some(wrong) = self.directors.iter().find(|address| !config::is_address(address)) {
            return Err(ConnectError::Address(wrong.clone()));
        }
        let (sender, mut routes) = watch::channel(Routes::default());
        let (endpoints, set) = watch::channel(EndpointSet::from([]));
        let following =
            Following::new(self.directors.clone(), connector.clone(), sender, endpoints, self.filter);
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
