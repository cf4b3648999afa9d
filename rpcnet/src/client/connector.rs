//! A socket from which channels dial.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::watch;

use super::{BalancedChannel, BalancedConfig, Channel, lines::Lines};
use crate::{
    ConfigError, ConnectError,
    discover::EndpointSet,
    pool::{Dialer, Target},
    tls::{CaCertificates, OwnCertificate},
    transport::{Connection, DialOptions},
};

/// A socket with certificates and limits, from which any number of channels dial. Cheap to clone.
///
/// Made by [`ChannelBuilder::build`](crate::ChannelBuilder::build), or taken from a server
/// ([`Server::connector`](crate::Server::connector)): then channels dial from the server's own port.
#[derive(Debug, Clone)]
pub struct Connector {
    dialer: Arc<Dialer>,
}

impl Connector {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer }
    }

    /// Dials `host:port` and waits until the server has let us in. From then on the channel reconnects by itself.
    ///
    /// A name stands for a set of addresses, which is resolved anew for each attempt. All are tried in the resolver's order,
    /// the families taking turns: the next one as soon as one has failed or has not answered for 250 ms (RFC 8305). An attempt
    /// takes the connect timeout at most, with the time for resolving the name in it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where this first attempt fails. Cancel-safe.
    pub async fn connect(&self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        let target = Target::parse(address.as_ref())?;
        let lines = Lines::connect(self.dialer.clone(), target).await?;
        Ok(Channel::new(self.dialer.clone(), lines))
    }

    /// A channel that starts to dial and gives no error where that fails: its calls do.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] for an address that is none.
    pub fn connect_lazy(&self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        let target = Target::parse(address.as_ref())?;
        let lines = Lines::start(self.dialer.clone(), target);
        Ok(Channel::new(self.dialer.clone(), lines))
    }

    /// A channel to whatever `endpoints` says; connections are made in the background.
    pub fn balanced(
        &self,
        endpoints: watch::Receiver<EndpointSet>,
        config: BalancedConfig,
    ) -> BalancedChannel {
        BalancedChannel::start(self.dialer.clone(), endpoints, config)
    }

    /// Resolves `host:port` with this socket's resolver: each address once, the families taking turns, at most
    /// [`MAX_ADDRESSES`](crate::resolve::MAX_ADDRESSES).
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] for a text that is not `host:port`; [`ConnectError::Resolve`] where the name has no address,
    /// and where the resolver takes longer than the connect timeout. Cancel-safe.
    pub async fn resolve(&self, address: &str) -> Result<Vec<SocketAddr>, ConnectError> {
        self.dialer.resolve(&address.parse()?).await
    }

    /// Dials one address, and waits until its server has let us in, as [`connect`](Self::connect). `host` is what the
    /// server's certificate must name, unless it names a node of our cluster.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where this first attempt fails. Cancel-safe.
    pub async fn connect_addr(&self, addr: SocketAddr, host: &str) -> Result<Channel, ConnectError> {
        let lines = Lines::connect(self.dialer.clone(), Target::at(addr, host)).await?;
        Ok(Channel::new(self.dialer.clone(), lines))
    }

    /// Dials a raw connection of a protocol (ALPN) at one address. `host` is what the peer's certificate must name, unless it
    /// names a node of our cluster.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. Cancel-safe.
    pub async fn dial_addr(
        &self,
        addr: SocketAddr,
        host: &str,
        alpn: &[u8],
        options: &DialOptions,
    ) -> Result<Connection, ConnectError> {
        self.dialer.dial(&Target::at(addr, host), alpn, options).await
    }

    /// Dials a raw connection of a protocol (ALPN) beside calls. All addresses of the name are tried, staggered; the first
    /// that answers counts.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. Cancel-safe.
    pub async fn dial(
        &self,
        address: &str,
        alpn: &[u8],
        options: &DialOptions,
    ) -> Result<Connection, ConnectError> {
        self.dialer.dial(&Target::parse(address)?, alpn, options).await
    }

    /// Shows another certificate in new handshakes; connections that stand go on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a certificate or key that is not usable; the one before stays in force.
    pub fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ConfigError> {
        self.dialer.tls.replace_own(&OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?)
    }

    /// Trusts these CAs, and no others, in new handshakes; connections that stand go on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for text that holds no usable certificate; those before stay in force.
    pub fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?)
    }
}
