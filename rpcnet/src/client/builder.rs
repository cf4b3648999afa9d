//! What a channel is made of.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    num::NonZero,
    sync::Arc,
    time::Duration,
};

use super::{Channel, Connector};
use crate::{
    Backoff, ConfigError, ConnectError, Interceptor, Limits, RegisterError, Service,
    connect::Dialer,
    interceptor::Chain,
    proto,
    resolve::{Resolve, Resolver},
    runtime::Runtime,
    session::Router,
    tls::{CaCertificates, OwnCertificate, Tls},
    transport::{DialOptions, Endpoint, MemoryNetwork},
};

const ANY_V4: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
const ANY_V6: SocketAddr = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));

/// Builds a [`Channel`], or several that share a socket.
#[derive(Debug, Clone)]
pub struct ChannelBuilder {
    own: Option<OwnCertificate>,
    ca: Option<CaCertificates>,
    limits: Limits,
    options: DialOptions,
    connect_timeout: Duration,
    backoff: Backoff,
    router: Arc<Router>,
    interceptors: Chain,
    network: Option<MemoryNetwork>,
    resolver: Resolver,
    max_connections: usize,
    protocol: &'static [u8],
}

impl Default for ChannelBuilder {
    fn default() -> Self {
        Self {
            own: None,
            ca: None,
            limits: Limits::default(),
            options: DialOptions::default(),
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            router: Arc::default(),
            interceptors: Chain::default(),
            network: None,
            resolver: Resolver::default(),
            max_connections: default_connections(),
            protocol: proto::ALPN,
        }
    }
}

pub(crate) fn default_connections() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(4)
}

impl ChannelBuilder {
    /// The CA certificates, as PEM text, by which servers are known.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the text holds no usable certificate.
    pub fn with_ca_cert(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.ca = Some(CaCertificates::from_pem(pem.as_ref())?);
        Ok(self)
    }

    /// Our own certificate and its key, as PEM text. Servers let nobody in without.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the text is not usable, or the two do not belong together.
    pub fn with_cert_and_key(
        mut self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        self.own = Some(OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?);
        Ok(self)
    }

    /// Message size, default deadline, tolerance of silence. See [`Limits`] for the defaults.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Transport settings of the connection. See [`DialOptions`] for the defaults.
    #[must_use]
    pub fn with_dial_options(mut self, options: DialOptions) -> Self {
        self.options = options;
        self
    }

    /// Bounds one attempt to connect, over all addresses of the name: from resolving it until the server has let the client in.
    /// 5 s by default.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The pauses between attempts to connect. From 100 ms up to 5 s by default, with jitter.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many connections a [`Channel`] may open to its server, and a [`BalancedChannel`](crate::BalancedChannel) to
    /// each endpoint: the further ones only while calls gather faster than those before can carry them, which takes
    /// hundreds at a time. A connection uses about one processor. By default as many as this machine has processors, at
    /// most 4.
    ///
    /// A further one that was not used for a minute or two is closed, unless there are [services](Self::with_service) that
    /// the server may call back: it may have kept a caller of that connection.
    #[must_use]
    pub fn with_max_connections(mut self, connections: NonZero<usize>) -> Self {
        self.max_connections = connections.get();
        self
    }

    /// A service that the server may call back on this channel's connection
    /// ([`Context::caller`](crate::Context::caller)).
    ///
    /// # Errors
    ///
    /// [`RegisterError`] where its name or a method's id is taken, or a type can't be encoded.
    pub fn with_service(self, service: impl Service) -> Result<Self, RegisterError> {
        self.router.register(Arc::new(service))?;
        Ok(self)
    }

    /// Puts an interceptor around each call, inside of those that were added before. It stands around all attempts of
    /// a call together.
    #[must_use]
    pub fn with_interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Dials servers that forward calls ([`relay`](crate::relay)) instead of such that serve them. Others refuse the
    /// connection.
    #[must_use]
    pub fn with_relay(mut self) -> Self {
        self.protocol = proto::RELAY_ALPN;
        self
    }

    /// Resolves names by other means than the operating system's.
    #[must_use]
    pub fn with_resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Resolver::new(resolver);
        self
    }

    /// In a network within this process in place of UDP, without certificates.
    #[must_use]
    pub fn with_network(mut self, network: &MemoryNetwork) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Dials `host:port` and waits until the server has let us in. From then on the channel reconnects by itself.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where this first attempt fails; [`ConnectError::NoRuntime`] where it is awaited outside of a
    /// tokio runtime. Cancel-safe.
    pub async fn connect(self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        self.build()?.connect(address).await
    }

    /// A channel that starts to dial and gives no error where that fails: its calls do.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for an address that is none, and where no socket can be opened; [`ConnectError::NoRuntime`] outside
    /// of a tokio runtime.
    pub fn connect_lazy(self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        self.build()?.connect_lazy(address)
    }

    /// Opens the socket, for several channels that share it. It belongs to the tokio runtime of this thread, which must
    /// have I/O and time enabled, and so do the channels' connections.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where the configuration is not complete or no socket can be opened; [`ConnectError::NoRuntime`]
    /// outside of a tokio runtime.
    pub fn build(self) -> Result<Connector, ConnectError> {
        Ok(Connector::new(self.dialer()?))
    }

    pub(crate) fn dialer(self) -> Result<Arc<Dialer>, ConnectError> {
        let runtime = Runtime::current().ok_or(ConnectError::NoRuntime)?;
        let limits = self.limits.check()?;
        self.options.check()?;
        if self.connect_timeout.is_zero() {
            let name = "connect_timeout (ms)";
            return Err(ConfigError::Range { name, value: 0, expected: "more than zero" }.into());
        }
        let ca = match (self.ca, &self.network) {
            (Some(ca), _) => ca,
            (None, Some(_)) => CaCertificates::none(),
            (None, None) => return Err(ConfigError::Missing("the CA certificate", "with_ca_cert").into()),
        };
        let tls = Tls::new(self.own.as_ref(), &ca)?;
        let endpoint = match &self.network {
            // One socket for both families; a host without IPv6 has the one for IPv4.
            None => Endpoint::bind(ANY_V6, tls.clone())
                .or_else(|_| Endpoint::bind(ANY_V4, tls.clone()))
                .map_err(ConnectError::Bind)?,
            Some(network) => Endpoint::Memory(
                network
                    .endpoint(ANY_V4)
                    .ok_or_else(|| ConnectError::Bind(std::io::ErrorKind::AddrInUse.into()))?,
            ),
        };
        Ok(Arc::new(Dialer {
            endpoint,
            runtime,
            tls,
            resolver: self.resolver,
            local_port: Some(Arc::default()),
            router: self.router,
            interceptors: self.interceptors,
            limits,
            options: self.options,
            connect_timeout: self.connect_timeout,
            backoff: self.backoff,
            max_connections: self.max_connections,
            protocol: self.protocol,
        }))
    }
}
