//! A socket from which channels dial.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls_pki_types::UnixTime;
use tokio::{sync::watch, time::timeout};

use super::{BalancedChannel, BalancedConfig, Channel};
use crate::{
    ConfigError, ConnectError,
    connect::{Closing, ConnectionPool, Dialer, FAREWELL, Target, tell},
    discover::EndpointSet,
    proto::close,
    tls::{CaCertificates, OwnCertificate},
    transport::{Connection, DialOptions},
};

/// A socket with certificates and limits, from which any number of channels dial. Cheap to clone.
///
/// Made by [`ChannelBuilder::build`](crate::ChannelBuilder::build), or taken from a server
/// ([`Server::connector`](crate::Server::connector)): then channels dial from the server's own port.
///
/// The socket belongs to the tokio runtime on which it was opened. So do the connections and tasks of all its channels,
/// whichever threads make and use them: their methods and calls may be awaited on any runtime, and on executors that are
/// not tokio's. Once that runtime is shut down, they end in errors.
#[derive(Debug, Clone)]
pub struct Connector {
    dialer: Arc<Dialer>,
    /// Of its channels.
    closing: Closing,
    /// True once a connection of another protocol was dialled. `None` if the socket is a server's.
    dialled: Option<Arc<AtomicBool>>,
}

impl Connector {
    /// One with a socket of its own.
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, closing: Closing::default(), dialled: Some(Arc::default()) }
    }

    /// One that dials from a server's socket.
    pub(crate) fn of_server(dialer: Arc<Dialer>) -> Self {
        Self { dialer, closing: Closing::default(), dialled: None }
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
        let connecting = Box::pin(ConnectionPool::connect(self.dialer.clone(), target, self.open()?));
        let pool = self.dialer.runtime.within(connecting).await?;
        Ok(Channel::new(self.dialer.clone(), pool))
    }

    /// A channel that starts to dial and gives no error where that fails: its calls do. Needs no runtime on this thread.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] for an address that is none; [`ConnectError::Closed`] once the connector is closed.
    pub fn connect_lazy(&self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        let target = Target::parse(address.as_ref())?;
        let pool = ConnectionPool::start(self.dialer.clone(), target, self.open()?);
        Ok(Channel::new(self.dialer.clone(), pool))
    }

    /// A channel to whatever `endpoints` says; connections are made in the background. Of a closed connector, a closed one.
    /// Needs no runtime on this thread.
    pub fn balanced(
        &self,
        endpoints: watch::Receiver<EndpointSet>,
        config: BalancedConfig,
    ) -> BalancedChannel {
        BalancedChannel::start(self.dialer.clone(), self.closing.below(), endpoints, config)
    }

    /// Resolves `host:port` with this socket's resolver: each address once, the families taking turns, at most
    /// [`MAX_ADDRESSES`](crate::resolve::MAX_ADDRESSES).
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] for a text that is not `host:port`; [`ConnectError::Resolve`] where the name has no address,
    /// and where the resolver takes longer than the connect timeout. Cancel-safe.
    pub async fn resolve(&self, address: &str) -> Result<Vec<SocketAddr>, ConnectError> {
        let address = address.parse()?;
        self.dialer.runtime.within(Box::pin(self.dialer.resolve(&address))).await
    }

    /// Dials one address, and waits until its server has let us in, as [`connect`](Self::connect). `host` is what the
    /// server's certificate must name, unless it names a node of our cluster.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where this first attempt fails. Cancel-safe.
    pub async fn connect_addr(&self, addr: SocketAddr, host: &str) -> Result<Channel, ConnectError> {
        let connecting =
            Box::pin(ConnectionPool::connect(self.dialer.clone(), Target::at(addr, host), self.open()?));
        let pool = self.dialer.runtime.within(connecting).await?;
        Ok(Channel::new(self.dialer.clone(), pool))
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
        self.dial_target(&Target::at(addr, host), alpn, options).await
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
        self.dial_target(&Target::parse(address)?, alpn, options).await
    }

    async fn dial_target(
        &self,
        target: &Target,
        alpn: &[u8],
        options: &DialOptions,
    ) -> Result<Connection, ConnectError> {
        if self.closing.is_closed() {
            return Err(ConnectError::Closed);
        }
        if let Some(dialled) = &self.dialled {
            dialled.store(true, Ordering::Relaxed);
        }
        let dialling = Box::pin(self.dialer.dial(target, alpn, options));
        self.dialer.runtime.within(dialling).await
    }

    /// Closes all channels that this connector and its clones have made, and its socket with what was
    /// [dialled](Self::dial) from it. Returns when the servers were told: mostly within milliseconds, at most within two
    /// seconds.
    ///
    /// Where the connector is a server's ([`Server::connector`](crate::Server::connector)) the socket stays open: neither
    /// connections that peers have opened nor those that other connectors of the server have made are closed, nor what was
    /// [dialled](Self::dial) of other protocols.
    ///
    /// For calls, see [`Channel::close`]. Nothing can be dialled any more: [`ConnectError::Closed`]. Closing twice does no
    /// harm. Cancel-safe: all is closed at the first poll, and what is dropped is the wait.
    pub async fn close(&self) {
        let sessions = self.closing.close();
        let endpoint = &self.dialer.endpoint;
        if self.dialled.is_some() {
            endpoint.close(close::SHUTDOWN, "the client has closed its socket");
        }
        let told = async {
            tell(sessions).await;
            if self.dialled.as_ref().is_some_and(|dialled| dialled.load(Ordering::Relaxed)) {
                let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
            }
        };
        self.dialer.runtime.run(told).await;
    }

    /// The scope for a new channel.
    fn open(&self) -> Result<Closing, ConnectError> {
        if self.closing.is_closed() { Err(ConnectError::Closed) } else { Ok(self.closing.below()) }
    }

    /// Shows another certificate in new handshakes; connections that stand go on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a certificate or key that is not usable, for a certificate that has expired or is not valid yet, and
    /// for one of a CA that is not trusted here, unless the one in force is of such a CA too. The one in force stays so.
    pub fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ConfigError> {
        self.dialer.tls.replace_own(&OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?, UnixTime::now())
    }

    /// Trusts these CAs, and no others, in new handshakes; connections that stand go on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for text that holds no usable certificate; those before stay in force.
    pub fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?, UnixTime::now())
    }
}
