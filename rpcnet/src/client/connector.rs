//! The socket from which channels dial.

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
    connect::{Closing, ConnectionPool, Dialer, FAREWELL, Target, wait_close_sent},
    discover::EndpointSet,
    proto::close,
    tls::{CaCertificates, OwnCertificate},
    transport::{Connection, DialOptions},
};

/// A socket with certificates and limits, from which any number of channels dial. Cheap to clone.
///
/// [`ChannelBuilder::connector`](crate::ChannelBuilder::connector) makes a connector with a socket of its own.
/// [`Server::connector`](crate::Server::connector) returns one that dials from the server's port.
///
/// The socket belongs to the tokio runtime on which it was opened. The connections and tasks of its channels
/// run on that runtime too, whichever threads make and use them. Methods and calls may be awaited on any
/// runtime and on executors that are not tokio's. Once the socket's runtime is shut down, they fail.
///
/// ```
/// use rpcnet::{Channel, HealthClient, dev::DevCa};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca = DevCa::generate()?;
/// # let own = ca.issue("server")?;
/// # let config = rpcnet::ServerConfig::builder().with_cert_and_key(own.cert, own.key)?;
/// # let server = rpcnet::Server::new(config.with_ca_cert(ca.ca_pem())?.build()?)?;
/// # let address = server.local_addr().to_string();
/// # tokio::spawn(async move { server.run().await });
/// # let own = ca.issue("client")?;
/// let builder = Channel::builder().with_cert_and_key(own.cert, own.key)?.with_ca_cert(ca.ca_pem())?;
/// let connector = builder.connector()?;
/// let orders = connector.connect(address).await?;
/// let stock = connector.connect_lazy("127.0.0.1:8081")?;
/// HealthClient::new(orders).health().await?;
/// # drop(stock);
/// // Closes the connections of all its channels.
/// connector.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Connector {
    dialer: Arc<Dialer>,
    /// The scope of the channels that this connector makes.
    closing: Closing,
    /// Set to true once a connection of another protocol was dialled. `None` if the socket is a server's.
    dialled: Option<Arc<AtomicBool>>,
}

impl Connector {
    /// A connector with a socket of its own.
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, closing: Closing::default(), dialled: Some(Arc::default()) }
    }

    /// A connector that dials from a server's socket.
    pub(crate) fn of_server(dialer: Arc<Dialer>) -> Self {
        Self { dialer, closing: Closing::default(), dialled: None }
    }

    /// Dials `host:port` and waits until the server has accepted the connection. The channel reconnects by
    /// itself afterwards. Cancel-safe.
    ///
    /// A name is resolved anew for each attempt, and all its addresses are tried in the resolver's order,
    /// with IPv6 and IPv4 alternating. The next address is tried as soon as one has failed, or has not
    /// answered for 250 ms (RFC 8305). The connect timeout bounds the attempt, including the time to resolve
    /// the name.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if this first attempt fails.
    pub async fn connect(&self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        let target = Target::parse(address.as_ref())?;
        let connecting = Box::pin(ConnectionPool::connect(self.dialer.clone(), target, self.open()?));
        let pool = self.dialer.runtime.within(connecting).await?;
        Ok(Channel::new(self.dialer.clone(), pool))
    }

    /// Returns a channel at once and dials in the background. If dialling fails, calls fail. Needs no runtime
    /// on this thread.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] if `address` is not `host:port`; [`ConnectError::Closed`] once the connector
    /// is closed.
    pub fn connect_lazy(&self, address: impl AsRef<str>) -> Result<Channel, ConnectError> {
        let target = Target::parse(address.as_ref())?;
        let pool = ConnectionPool::start(self.dialer.clone(), target, self.open()?);
        Ok(Channel::new(self.dialer.clone(), pool))
    }

    /// Returns a channel to the endpoints that `endpoints` lists at any moment. Connections are made in the
    /// background. Needs no runtime on this thread. If the connector is closed, the channel is closed too.
    pub fn balanced(
        &self,
        endpoints: watch::Receiver<EndpointSet>,
        config: BalancedConfig,
    ) -> BalancedChannel {
        BalancedChannel::start(self.dialer.clone(), self.closing.below(), endpoints, config)
    }

    /// Resolves `host:port` with this socket's resolver. Returns each address once, with IPv6 and IPv4
    /// alternating, and at most [`MAX_ADDRESSES`](crate::resolve::MAX_ADDRESSES). Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] if the text is not `host:port`. [`ConnectError::Resolve`] if the name has no
    /// address or the resolver takes longer than the connect timeout.
    pub async fn resolve(&self, address: &str) -> Result<Vec<SocketAddr>, ConnectError> {
        let address = address.parse()?;
        self.dialer.runtime.within(Box::pin(self.dialer.resolve(&address))).await
    }

    /// Dials one address and waits until its server has accepted the connection, as
    /// [`connect`](Self::connect) does. The server's certificate must name `host`, unless it names a node of
    /// our cluster. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if this first attempt fails.
    pub async fn connect_addr(&self, addr: SocketAddr, host: &str) -> Result<Channel, ConnectError> {
        let connecting =
            Box::pin(ConnectionPool::connect(self.dialer.clone(), Target::at(addr, host), self.open()?));
        let pool = self.dialer.runtime.within(connecting).await?;
        Ok(Channel::new(self.dialer.clone(), pool))
    }

    /// Dials a raw connection of a protocol (ALPN) at one address. The peer's certificate must name `host`,
    /// unless it names a node of our cluster. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if no connection is made.
    pub async fn dial_addr(
        &self,
        addr: SocketAddr,
        host: &str,
        alpn: &[u8],
        options: &DialOptions,
    ) -> Result<Connection, ConnectError> {
        self.dial_target(&Target::at(addr, host), alpn, options).await
    }

    /// Dials a raw connection of a protocol (ALPN) other than the call protocol. All addresses of the name
    /// are tried, staggered; the first that answers wins. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if no connection is made.
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

    /// Closes all channels that this connector and its clones have made, its socket, and the connections
    /// [dialled](Self::dial) from it. Returns when the servers have been told: usually within milliseconds,
    /// at most within two seconds.
    ///
    /// The connector of a server ([`Server::connector`](crate::Server::connector)) closes only the channels
    /// that it made. These stay open:
    ///
    /// - the socket,
    /// - connections that peers have opened,
    /// - channels of other connectors of the server,
    /// - [dialled](Self::dial) connections of other protocols.
    ///
    /// [`Channel::close`] describes what happens to calls. Dialling fails afterwards with
    /// [`ConnectError::Closed`]. Closing twice does no harm.
    ///
    /// # Cancel safety
    ///
    /// Everything is closed at the first poll. Dropping the future only ends the wait.
    pub async fn close(&self) {
        let sessions = self.closing.close();
        let endpoint = &self.dialer.endpoint;
        if self.dialled.is_some() {
            endpoint.close(close::SHUTDOWN, "the client has closed its socket");
        }
        let told = async {
            wait_close_sent(sessions).await;
            if self.dialled.as_ref().is_some_and(|dialled| dialled.load(Ordering::Relaxed)) {
                let _ = timeout(FAREWELL, endpoint.wait_idle()).await;
            }
        };
        self.dialer.runtime.run(told).await;
    }

    /// Returns the scope for a new channel.
    fn open(&self) -> Result<Closing, ConnectError> {
        if self.closing.is_closed() { Err(ConnectError::Closed) } else { Ok(self.closing.below()) }
    }

    /// Presents another certificate in new handshakes. Open connections are not affected.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] in these cases; the previous certificate then stays in force:
    ///
    /// - the certificate or the key is not usable,
    /// - the certificate has expired or is not valid yet,
    /// - its CA is not trusted here, unless the CA of the previous certificate is not trusted either.
    pub fn reload_certificate(
        &self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<(), ConfigError> {
        self.dialer.tls.replace_own(&OwnCertificate::from_pem(cert.as_ref(), key.as_ref())?, UnixTime::now())
    }

    /// Trusts these CAs, and no others, in new handshakes. Open connections are not affected.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text holds no usable certificate; the previous CAs then stay in force.
    pub fn reload_ca_cert(&self, pem: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        self.dialer.tls.replace_trust(&CaCertificates::from_pem(pem.as_ref())?, UnixTime::now())
    }
}
