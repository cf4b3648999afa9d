//! The builder of channels.

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
    transport::{DialOptions, Endpoint, memory::Network},
};

const ANY_V4: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
const ANY_V6: SocketAddr = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));

/// Builds a [`Channel`], or a [`Connector`] for several channels that share a socket.
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{Backoff, Channel, Limits, dev::DevCa};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let own = ca.issue("client")?;
/// let channel = Channel::builder()
///     .with_cert_and_key(own.cert, own.key)?
///     .with_ca_cert(ca.ca_pem())?
///     .with_limits(Limits::default().with_default_timeout(Duration::from_secs(5)))
///     .with_connect_timeout(Duration::from_secs(2))
///     .with_backoff(Backoff::new(Duration::from_millis(50), Duration::from_secs(2)))
///     .connect_lazy("127.0.0.1:8080")?;
/// // The channel dials in the background.
/// assert!(!channel.is_connected());
/// # Ok(())
/// # }
/// ```
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
    network: Option<Network>,
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
    /// Sets the CA certificates, as PEM text, that servers' certificates must come from.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text holds no usable certificate.
    pub fn with_ca_cert(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.ca = Some(CaCertificates::from_pem(pem.as_ref())?);
        Ok(self)
    }

    /// Sets the client's certificate and its key, as PEM text. Servers refuse clients without a certificate.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text is not usable, or if certificate and key do not belong together.
    pub fn with_cert_and_key(
        mut self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        self.own = Some(OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?);
        Ok(self)
    }

    /// Sets message size, default deadline, and tolerance of silence. See [`Limits`] for the defaults.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the transport settings of connections. See [`DialOptions`] for the defaults.
    #[must_use]
    pub fn with_dial_options(mut self, options: DialOptions) -> Self {
        self.options = options;
        self
    }

    /// Bounds one attempt to connect, over all addresses of the name: from resolving the name until a server
    /// has accepted the connection. 5 s by default.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the pauses between attempts to connect. From 100 ms up to 5 s by default, with jitter.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Bounds the connections that a [`Channel`] opens to its server, and a
    /// [`BalancedChannel`](crate::BalancedChannel) to each endpoint. The default is the number of this
    /// machine's processors, at most 4.
    ///
    /// A connection uses about one processor. An extra connection is opened only while calls pile up faster
    /// than the open ones can carry them, which takes hundreds of calls at a time.
    ///
    /// An extra connection closes after a minute or two without use. It stays open if there are
    /// [services](Self::with_service) that the server may call back: the server may have kept a caller of
    /// that connection.
    #[must_use]
    pub fn with_max_connections(mut self, connections: NonZero<usize>) -> Self {
        self.max_connections = connections.get();
        self
    }

    /// Adds a service that the server may call back on this channel's connections
    /// ([`Context::caller`](crate::Context::caller)).
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the service's name or a method's id is taken, or if a type cannot be encoded.
    pub fn with_service(self, service: impl Service) -> Result<Self, RegisterError> {
        self.router.register(Arc::new(service))?;
        Ok(self)
    }

    /// Adds an interceptor around each call, inside the interceptors that were added before. An interceptor
    /// runs once for a call, around all its attempts.
    #[must_use]
    pub fn with_interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Dials servers that forward calls ([`relay`](crate::relay)), not servers that serve them. A server that
    /// does not forward calls refuses the connection.
    #[must_use]
    pub fn with_relay(mut self) -> Self {
        self.protocol = proto::RELAY_ALPN;
        self
    }

    /// Resolves names with `resolver` instead of the operating system.
    #[must_use]
    pub fn with_resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Resolver::new(resolver);
        self
    }

    /// Uses an in-process network instead of UDP, without certificates.
    #[must_use]
    #[cfg(feature = "testing")]
    pub fn with_network(mut self, network: &Network) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Dials `host:port` and waits until the server has accepted the connection. The channel reconnects by
    /// itself afterwards. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if this first attempt fails; [`ConnectError::NoRuntime`] if it is awaited outside of
    /// a tokio runtime.
    pub async fn connect(self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        self.connector()?.connect(address).await
    }

    /// Returns a channel at once and dials in the background. If dialling fails, calls fail.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if `address` is not `host:port`, or if no socket can be opened;
    /// [`ConnectError::NoRuntime`] outside of a tokio runtime.
    pub fn connect_lazy(self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        self.connector()?.connect_lazy(address)
    }

    /// Opens a socket for several channels that share it. The socket and the channels' connections belong to
    /// the tokio runtime of this thread, which must have I/O and time enabled.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if the configuration is not complete or no socket can be opened;
    /// [`ConnectError::NoRuntime`] outside of a tokio runtime.
    pub fn connector(self) -> Result<Connector, ConnectError> {
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
            // One dual-stack socket serves both families. A host without IPv6 gets a socket for IPv4.
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
