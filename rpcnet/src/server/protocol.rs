//! Protocols beside calls, on the server's own port.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use super::{Server, ServerError};
use crate::{
    proto,
    transport::{Connection, ListenOptions},
};

/// The future returned by the methods of a [`ProtocolHandler`].
pub type ProtocolFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Handles the connections of one protocol (ALPN) other than the call protocol, on the server's own port.
///
/// ```
/// use std::sync::Arc;
///
/// use rpcnet::{ProtocolFuture, ProtocolHandler, transport::{Connection, DialOptions}};
///
/// struct Echo;
///
/// impl ProtocolHandler for Echo {
///     fn accept(&self, connection: Connection) -> ProtocolFuture<'static> {
///         Box::pin(async move {
///             while let Ok((mut send, mut receive)) = connection.accept_bi().await {
///                 let Ok(message) = receive.read_to_end(1024).await else { continue };
///                 if send.write(message).await.is_ok() {
///                     send.finish();
///                 }
///             }
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = rpcnet::testing::Network::new();
/// # let config = rpcnet::ServerConfig::builder().with_network(&network).build()?;
/// # let server = rpcnet::Server::new(config)?;
/// # let address = server.local_addr();
/// server.handle_protocol(b"echo/1", Arc::new(Echo))?;
/// # let address = address.to_string();
/// # let connector = rpcnet::Channel::builder().with_network(&network).connector()?;
///
/// let connection = connector.dial(&address, b"echo/1", &DialOptions::default()).await?;
/// let (mut send, mut receive) = connection.open_bi().await?;
/// send.write("hello".into()).await?;
/// send.finish();
/// assert_eq!(receive.read_to_end(1024).await?, "hello");
/// # Ok(())
/// # }
/// ```
pub trait ProtocolHandler: Send + Sync + 'static {
    /// Handles a connection whose peer is authenticated. The connection is closed when the future ends.
    fn accept(&self, connection: Connection) -> ProtocolFuture<'static>;

    /// Called during shutdown, after the server's calls have finished and before its connections close. The
    /// shutdown waits for the future, for at most 5 s. If a shutdown is dropped before the future has ended,
    /// the next one calls this again.
    fn shutdown(&self) -> ProtocolFuture<'_> {
        Box::pin(std::future::ready(()))
    }
}

impl Server {
    /// Accepts connections of another protocol (ALPN) from now on.
    ///
    /// # Errors
    ///
    /// [`ServerError::Protocol`] if the protocol has a handler already.
    pub fn handle_protocol(&self, alpn: &[u8], handler: Arc<dyn ProtocolHandler>) -> Result<(), ServerError> {
        let mut protocols = self.protocols();
        let is_ours = [proto::ALPN, proto::RELAY_ALPN].contains(&alpn);
        if is_ours || protocols.contains_key(alpn) || self.sockets().has(alpn) {
            return Err(ServerError::Protocol(String::from_utf8_lossy(alpn).into_owned()));
        }
        protocols.insert(alpn.to_vec(), handler);
        self.listen(&protocols)
    }

    /// Accepts connections of all protocols that have a handler here.
    pub(super) fn listen(
        &self,
        protocols: &HashMap<Vec<u8>, Arc<dyn ProtocolHandler>>,
    ) -> Result<(), ServerError> {
        let mut all = vec![proto::ALPN.to_vec()];
        all.extend(self.inner.relay.get().map(|_| proto::RELAY_ALPN.to_vec()));
        let sockets = self.sockets();
        all.extend(protocols.keys().filter(|alpn| !sockets.has(alpn)).cloned());
        drop(sockets);
        let listen = ListenOptions { room: self.limits().room(), handshakes: self.inner.max_handshakes };
        self.inner.dialer.endpoint.listen(all, listen)?;
        Ok(())
    }
}
