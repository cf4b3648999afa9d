//! What a channel is made of.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{Channel, Connector};
use crate::{
    Backoff, ConfigError, ConnectError, Limits, RegisterError, Service,
    pool::{Dialer, Target},
    session::Router,
    tls::{CaCertificates, OwnCertificate, Tls},
    transport::{DialOptions, Endpoint, MemoryNetwork},
};

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
    network: Option<MemoryNetwork>,
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
            network: None,
        }
    }
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

    /// How long one attempt to connect may take. 5 s by default.
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

    /// A service that the server may call back on this channel's connection
    /// ([`Context::caller`](crate::Context::caller)).
    ///
    /// # Errors
    ///
    /// [`RegisterError`] where its name or a method's id is taken.
    pub fn with_service(self, service: impl Service) -> Result<Self, RegisterError> {
        self.router.register(Arc::new(service))?;
        Ok(self)
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
    /// [`ConnectError`] where this first attempt fails. Cancel-safe.
    pub async fn connect(self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        let target = Target::parse(address.as_ref())?;
        let v6 = target.resolve().await?.iter().all(SocketAddr::is_ipv6);
        Connector::new(self.dialer(v6)?).connect(address).await
    }

    /// A channel that starts to dial and gives no error where that fails: its calls do.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] for an address that is none, and where no socket can be opened.
    pub fn connect_lazy(self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        let target = Target::parse(address.as_ref())?;
        let v6 = target.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
        Connector::new(self.dialer(v6)?).connect_lazy(address)
    }

    /// Opens the socket, for several channels that share it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where the configuration is not complete or no socket can be opened.
    pub fn build(self) -> Result<Connector, ConnectError> {
        Ok(Connector::new(self.dialer(false)?))
    }

    pub(crate) fn dialer(self, v6: bool) -> Result<Arc<Dialer>, ConnectError> {
        let limits = self.limits.check()?;
        let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let addr = SocketAddr::new(any, 0);
        let ca = match (self.ca, &self.network) {
            (Some(ca), _) => ca,
            (None, Some(_)) => CaCertificates::none(),
            (None, None) => return Err(ConfigError::Missing("the CA certificate", "with_ca_cert").into()),
        };
        let tls = Tls::new(self.own.as_ref(), &ca)?;
        let endpoint = match &self.network {
            None => Endpoint::bind(addr, tls.clone()).map_err(ConnectError::Bind)?,
            Some(network) => Endpoint::Memory(
                network
                    .endpoint(addr)
                    .ok_or_else(|| ConnectError::Bind(std::io::ErrorKind::AddrInUse.into()))?,
            ),
        };
        Ok(Arc::new(Dialer {
            endpoint,
            tls,
            router: self.router,
            limits,
            options: self.options,
            connect_timeout: self.connect_timeout,
            backoff: self.backoff,
        }))
    }
}
