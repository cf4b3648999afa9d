//! What a server is made of.

use std::{net::SocketAddr, time::Duration};

use crate::{
    ConfigError, Interceptor, Limits,
    interceptor::Chain,
    tls::{CaCertificates, OwnCertificate},
    transport::MemoryNetwork,
};

/// A checked configuration of a [`Server`](crate::Server).
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub(super) bind_addr: SocketAddr,
    pub(super) own: Option<OwnCertificate>,
    pub(super) ca: CaCertificates,
    pub(super) limits: Limits,
    pub(super) drain_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) interceptors: Chain,
    pub(super) network: Option<MemoryNetwork>,
}

impl ServerConfig {
    /// Starts to describe a server.
    pub fn builder() -> ServerConfigBuilder {
        ServerConfigBuilder::default()
    }
}

/// Builds a [`ServerConfig`].
#[derive(Debug, Clone)]
pub struct ServerConfigBuilder {
    bind_addr: SocketAddr,
    own: Option<OwnCertificate>,
    ca: Option<CaCertificates>,
    limits: Limits,
    drain_timeout: Duration,
    handshake_timeout: Duration,
    interceptors: Chain,
    network: Option<MemoryNetwork>,
}

impl Default for ServerConfigBuilder {
    fn default() -> Self {
        Self {
            bind_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            own: None,
            ca: None,
            limits: Limits::default(),
            drain_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            interceptors: Chain::default(),
            network: None,
        }
    }
}

impl ServerConfigBuilder {
    /// The UDP address to listen on. A free port of 127.0.0.1 by default.
    #[must_use]
    pub fn with_bind_addr(mut self, addr: SocketAddr) -> Self {
        self.bind_addr = addr;
        self
    }

    /// The server's certificate (with its chain) and key, as PEM text.
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

    /// The CA certificates, as PEM text, of which clients must present a certificate.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where the text holds no usable certificate.
    pub fn with_ca_cert(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.ca = Some(CaCertificates::from_pem(pem.as_ref())?);
        Ok(self)
    }

    /// Message size, default deadline, tolerance of silence. See [`Limits`] for the defaults.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long [`run_until`](crate::Server::run_until) waits for calls to finish. 30 s by default.
    #[must_use]
    pub fn with_drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// How long a peer may take for its handshake. 10 s by default.
    #[must_use]
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Puts an interceptor around each handler, inside of those that were added before.
    #[must_use]
    pub fn with_interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// In a network within this process in place of UDP, without certificates.
    #[must_use]
    pub fn with_network(mut self, network: &MemoryNetwork) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Checks it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] without certificate or CA, [`ConfigError::Range`] for limits out of range.
    pub fn build(self) -> Result<ServerConfig, ConfigError> {
        let ca = match (self.ca, &self.network) {
            (Some(ca), _) => ca,
            (None, Some(_)) => CaCertificates::none(),
            (None, None) => return Err(ConfigError::Missing("the CA certificate", "with_ca_cert")),
        };
        if self.own.is_none() && self.network.is_none() {
            return Err(ConfigError::Missing("the server's certificate", "with_cert_and_key"));
        }
        Ok(ServerConfig {
            bind_addr: self.bind_addr,
            own: self.own,
            ca,
            limits: self.limits.check()?,
            drain_timeout: self.drain_timeout,
            handshake_timeout: self.handshake_timeout,
            interceptors: self.interceptors,
            network: self.network,
        })
    }
}
