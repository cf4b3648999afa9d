//! The configuration of a server.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Admission, ConfigError, Interceptor, Limits,
    interceptor::Chain,
    limit::Bounds,
    resolve::{Resolve, Resolver},
    tls::{CaCertificates, OwnCertificate},
    transport::memory::Network,
};

/// The upper bound on the configurable numbers of connections and handshakes: more than any machine has.
const MOST: usize = 1 << 20;

/// A checked configuration of a [`Server`](crate::Server).
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{Admission, Limits, ServerConfig, dev::DevCa};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let own = ca.issue("server")?;
/// let config = ServerConfig::builder()
///     .with_bind_addr("0.0.0.0:8080".parse()?)
///     .with_cert_and_key(own.cert, own.key)?
///     .with_ca_cert(ca.ca_pem())?
///     .with_limits(Limits::default().with_max_message(16 << 20))
///     .with_admission(Admission::adaptive().with_queue(64))
///     .with_drain_timeout(Duration::from_secs(10))
///     .build()?;
/// # let _ = config;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub(super) bind_addr: SocketAddr,
    pub(super) own: Option<OwnCertificate>,
    pub(super) ca: CaCertificates,
    pub(super) limits: Limits,
    pub(super) drain_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) interceptors: Chain,
    pub(super) admission: Option<Admission>,
    pub(super) connections: Bounds,
    pub(super) max_handshakes: usize,
    pub(super) retry_above: usize,
    pub(super) network: Option<Network>,
    pub(super) resolver: Resolver,
}

impl ServerConfig {
    /// Returns a builder with the default settings.
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
    admission: Option<Admission>,
    connections: Bounds,
    max_handshakes: usize,
    retry_above: usize,
    network: Option<Network>,
    resolver: Resolver,
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
            admission: None,
            connections: Bounds { total: 16_384, per_peer: 1024 },
            max_handshakes: 1024,
            retry_above: 128,
            network: None,
            resolver: Resolver::default(),
        }
    }
}

impl ServerConfigBuilder {
    /// Sets the UDP address to listen on. A free port of 127.0.0.1 by default.
    #[must_use]
    pub fn with_bind_addr(mut self, addr: SocketAddr) -> Self {
        self.bind_addr = addr;
        self
    }

    /// Sets the server's certificate (with its chain) and key, as PEM text.
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

    /// Sets the CA certificates, as PEM text, that clients' certificates must come from.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text holds no usable certificate.
    pub fn with_ca_cert(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.ca = Some(CaCertificates::from_pem(pem.as_ref())?);
        Ok(self)
    }

    /// Sets message size, default deadline, and tolerance of silence. See [`Limits`] for the defaults.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bounds the time for which [`drain`](crate::Server::drain) and [`run_until`](crate::Server::run_until)
    /// wait for calls to finish. 30 s by default.
    #[must_use]
    pub fn with_drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Bounds the time of a handshake. 10 s by default.
    #[must_use]
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Adds an interceptor around each handler, inside the interceptors that were added before.
    #[must_use]
    pub fn with_interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Bounds the calls that run at once and the calls that wait; the server refuses others. Unbounded by
    /// default.
    #[must_use]
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = Some(admission);
        self
    }

    /// Bounds the connections that peers may have open here. 16 384 by default.
    ///
    /// At the bound, the connection of calls that has been idle longest makes room for a new one. A
    /// connection is idle if all of these hold:
    ///
    /// - no call is in flight on it, in either direction,
    /// - none was for the last 100 ms,
    /// - no handler has kept a [caller](crate::Context::caller) of it.
    ///
    /// The peer is asked to close it, and dials again when it needs a connection; no call is lost. If the
    /// peer does not close it within a second, the server does. While such connections are closing, up to an
    /// eighth more than the bound are open (at least 8). Once that limit is reached too, the next connection
    /// takes the place of one that was asked at least 100 ms ago and is closed at once: a call that is on its
    /// way there may be lost.
    ///
    /// The bound covers all protocols, gossip among them. A server that has other protocols than calls
    /// reserves an eighth of this bound, and of the bound for one peer, for them. So its clients cannot cut
    /// it off from its cluster.
    ///
    /// If no connection is idle, a new one is closed after its handshake. The peer is told the reason
    /// ([`ConnectError::TooManyConnections`](crate::ConnectError::TooManyConnections)).
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.connections.total = connections;
        self
    }

    /// Bounds the connections that one peer may have open here. 1024 by default.
    ///
    /// A peer is the name in its certificate together with its IP address: processes that share both count as
    /// one. At the bound, an idle connection of the same peer makes room for a new one, as
    /// [above](Self::with_max_connections).
    #[must_use]
    pub fn with_max_connections_per_peer(mut self, connections: usize) -> Self {
        self.connections.per_peer = connections;
        self
    }

    /// Bounds the handshakes in progress. As many more wait, and the server refuses others. 1024 by default.
    #[must_use]
    pub fn with_max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes;
        self
    }

    /// Sets the number of handshakes in progress from which on a new peer first has to prove that it can be
    /// reached at its address. The proof costs the peer a round trip (RFC 9000, section 8.1.2). So a flood
    /// from forged addresses takes no memory here and keeps no peer out. 128 by default; 0 for always,
    /// `usize::MAX` for never.
    #[must_use]
    pub fn with_retry_above(mut self, handshakes: usize) -> Self {
        self.retry_above = handshakes;
        self
    }

    /// Resolves names with `resolver` instead of the operating system, for everything that is dialled from
    /// this server's socket, such as a cluster's seeds.
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

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] without certificate or CA; [`ConfigError::Range`] for limits and bounds out
    /// of range.
    pub fn build(self) -> Result<ServerConfig, ConfigError> {
        let ca = match (self.ca, &self.network) {
            (Some(ca), _) => ca,
            (None, Some(_)) => CaCertificates::none(),
            (None, None) => return Err(ConfigError::Missing("the CA certificate", "with_ca_cert")),
        };
        if self.own.is_none() && self.network.is_none() {
            return Err(ConfigError::Missing("the server's certificate", "with_cert_and_key"));
        }
        for (name, value) in [
            ("max_connections", self.connections.total),
            ("max_connections_per_peer", self.connections.per_peer),
            ("max_handshakes", self.max_handshakes),
        ] {
            if !(1..=MOST).contains(&value) {
                let expected = "between 1 and 1048576";
                return Err(ConfigError::Range { name, value: value as u64, expected });
            }
        }
        if self.handshake_timeout.is_zero() {
            let name = "handshake_timeout (ms)";
            return Err(ConfigError::Range { name, value: 0, expected: "more than zero" });
        }
        Ok(ServerConfig {
            bind_addr: self.bind_addr,
            own: self.own,
            ca,
            limits: self.limits.check()?,
            drain_timeout: self.drain_timeout,
            handshake_timeout: self.handshake_timeout,
            interceptors: self.interceptors,
            admission: self.admission.map(Admission::check).transpose()?,
            connections: self.connections,
            max_handshakes: self.max_handshakes,
            retry_above: self.retry_above,
            network: self.network,
            resolver: self.resolver,
        })
    }
}
