//! What a server is made of.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Admission, ConfigError, Interceptor, Limits,
    interceptor::Chain,
    limit::Bounds,
    resolve::{Resolve, Resolver},
    tls::{CaCertificates, OwnCertificate},
    transport::MemoryNetwork,
};

/// More connections or handshakes than any machine has.
const MOST: usize = 1 << 20;

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
    pub(super) admission: Option<Admission>,
    pub(super) connections: Bounds,
    pub(super) max_handshakes: usize,
    pub(super) retry_above: usize,
    pub(super) network: Option<MemoryNetwork>,
    pub(super) resolver: Resolver,
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
    admission: Option<Admission>,
    connections: Bounds,
    max_handshakes: usize,
    retry_above: usize,
    network: Option<MemoryNetwork>,
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

    /// How long [`drain`](crate::Server::drain) and [`run_until`](crate::Server::run_until) wait for calls to finish. 30 s by default.
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

    /// How many calls run at once, and how many wait; further ones are refused. Any number by default.
    #[must_use]
    pub fn with_admission(mut self, admission: Admission) -> Self {
        self.admission = Some(admission);
        self
    }

    /// How many connections peers may have open here. 16 384 by default.
    ///
    /// For one more, the connection of calls goes that was idle longest: no call is at work on it in either direction,
    /// none was for 100 ms, and no handler has kept a [caller](crate::Context::caller). Its peer is asked to close it, and
    /// dials again when it needs one; no call is lost. One that does not go within a second is closed. So at most an eighth
    /// more are open (at least 8), on their way. While that many are, an idle one that was asked 100 ms ago is closed for the
    /// next: a call that is just on its way there may be lost.
    ///
    /// All protocols count, gossip among them. A server that has protocols beside calls keeps an eighth of this, and
    /// of the bound for one peer, for them: its clients can't cut it off from its cluster. Where none is
    /// idle, connections beyond are closed after the handshake, with a reason that the peer is shown
    /// ([`ConnectError::TooManyConnections`](crate::ConnectError::TooManyConnections)).
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.connections.total = connections;
        self
    }

    /// How many connections one peer may have open here. 1024 by default.
    ///
    /// A peer is the name in its certificate together with its IP address: processes that share both count as one. For one
    /// more, an idle one of the same peer goes, as [above](Self::with_max_connections).
    #[must_use]
    pub fn with_max_connections_per_peer(mut self, connections: usize) -> Self {
        self.connections.per_peer = connections;
        self
    }

    /// How many handshakes are at work at a time. As many more wait, and further ones are refused. 1024 by default.
    #[must_use]
    pub fn with_max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes;
        self
    }

    /// With so many handshakes at work, whoever dials has to prove first that it can be reached at its address, at
    /// the price of a round trip (RFC 9000, section 8.1.2). So a flood from forged addresses keeps no memory here, and
    /// nobody out. 128 by default; 0 for always, `usize::MAX` for never.
    #[must_use]
    pub fn with_retry_above(mut self, handshakes: usize) -> Self {
        self.retry_above = handshakes;
        self
    }

    /// Resolves names for what is dialled from this server's socket, such as a cluster's seeds, by other means than the
    /// operating system's.
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

    /// Checks it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] without certificate or CA, [`ConfigError::Range`] for limits and bounds out of
    /// range.
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
