//! A socket of a server for one protocol other than calls.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use super::{Inner, ProtocolHandler, Server, WeakServer, accept};
use crate::{
    Connector, ServerError,
    connect::Dialer,
    proto::{self, close},
    transport::{Endpoint, ListenOptions, memory::Network},
};

/// A socket of a server for one protocol, made by [`Server::bind_protocol`]. It uses the server's
/// certificates, also after a reload, and counts against the same bounds. It closes with the server.
#[derive(Debug)]
pub struct ProtocolSocket {
    server: WeakServer,
    alpn: Vec<u8>,
    dialer: Arc<Dialer>,
}

impl Drop for ProtocolSocket {
    /// Closes the socket if the protocol has no handler yet. The protocol may then get another socket.
    fn drop(&mut self) {
        let Some(server) = self.server.upgrade() else { return };
        let protocols = server.protocols();
        if !protocols.contains_key(&self.alpn) && !server.inner.router.is_draining() {
            self.dialer.endpoint.close(close::SHUTDOWN, "nobody handles it");
            server.sockets().0.remove(&self.alpn);
        }
    }
}

impl ProtocolSocket {
    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.dialer.endpoint.local_addr()
    }

    /// Returns a connector that dials from this socket with the server's certificate. It does not keep the
    /// server alive.
    pub fn connector(&self) -> Connector {
        Connector::of_server(self.dialer.clone())
    }
}

/// The sockets of a server for single protocols, by the protocol that each serves.
#[derive(Debug, Default)]
pub(super) struct Sockets(HashMap<Vec<u8>, Endpoint>);

impl Sockets {
    /// Returns true if the protocol is served on a socket of its own, and nowhere else.
    pub(super) fn has(&self, alpn: &[u8]) -> bool {
        self.0.contains_key(alpn)
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.0.values().cloned().collect()
    }

    /// Closes all sockets at once.
    pub(super) fn close(&self, reason: &str) {
        for endpoint in self.0.values() {
            endpoint.close(close::SHUTDOWN, reason);
        }
    }
}

/// Opens a UDP socket, or an endpoint of an in-process network.
pub(super) fn open(
    address: SocketAddr,
    network: Option<&Network>,
    tls: Arc<crate::tls::Tls>,
) -> Result<Endpoint, ServerError> {
    let bind = |source| ServerError::Bind { address, source };
    match network {
        None => Endpoint::bind(address, tls).map_err(bind),
        Some(network) => {
            let endpoint = network.endpoint(address).ok_or_else(|| std::io::ErrorKind::AddrInUse.into());
            endpoint.map(Endpoint::Memory).map_err(bind)
        }
    }
}

impl Server {
    /// Binds a socket for one protocol (ALPN) other than the call protocol. Its connections are accepted once
    /// [`handle_protocol_on`](Self::handle_protocol_on) has set a handler. The protocol is then served on
    /// this socket only, and calls are not served there.
    ///
    /// # Errors
    ///
    /// [`ServerError::Bind`] if the address cannot be bound; [`ServerError::Protocol`] if the protocol has a
    /// handler or a socket already; [`ServerError::Closed`] if the server was shut down.
    pub fn bind_protocol(&self, alpn: &[u8], address: SocketAddr) -> Result<ProtocolSocket, ServerError> {
        let protocols = self.protocols();
        let mut sockets = self.sockets();
        let is_ours = [proto::ALPN, proto::RELAY_ALPN].contains(&alpn);
        if is_ours || protocols.contains_key(alpn) || sockets.has(alpn) {
            return Err(ServerError::Protocol(String::from_utf8_lossy(alpn).into_owned()));
        }
        if self.is_closed() {
            return Err(ServerError::Closed);
        }
        let Inner { dialer, network, .. } = &*self.inner;
        let _entered = dialer.runtime.enter();
        let endpoint = open(address, network.as_ref(), dialer.tls.clone())?;
        sockets.0.insert(alpn.to_vec(), endpoint.clone());
        let dialer = Arc::new(Dialer { endpoint, ..(**dialer).clone() });
        Ok(ProtocolSocket { server: self.downgrade(), alpn: alpn.to_vec(), dialer })
    }

    /// Accepts the connections of a socket from now on.
    ///
    /// # Errors
    ///
    /// [`ServerError::Protocol`] if the protocol has a handler already.
    pub fn handle_protocol_on(
        &self,
        socket: &ProtocolSocket,
        handler: Arc<dyn ProtocolHandler>,
    ) -> Result<(), ServerError> {
        let mut protocols = self.protocols();
        if protocols.contains_key(&socket.alpn) {
            return Err(ServerError::Protocol(String::from_utf8_lossy(&socket.alpn).into_owned()));
        }
        let endpoint = &socket.dialer.endpoint;
        let listen = ListenOptions { room: self.limits().room(), handshakes: self.inner.max_handshakes };
        endpoint.listen(vec![socket.alpn.clone()], listen)?;
        protocols.insert(socket.alpn.clone(), handler);
        drop(protocols);
        self.spawn_owned(accept::accept(endpoint.clone(), Arc::downgrade(&self.inner)));
        Ok(())
    }
}
