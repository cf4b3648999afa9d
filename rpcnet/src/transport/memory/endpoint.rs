//! Endpoints in a memory network, which listen and dial.

use std::{fmt, net::SocketAddr, sync::Arc};

use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

use super::{
    super::{ConnectionError, DialOptions, ListenOptions, Room, Side, connection},
    Connection, Network,
    link::{Half, MemoryLink},
    network::{Listener, visible},
};
use crate::PeerIdentity;

/// The number of dials that may wait to be accepted. Further dials are ignored, and the dialler retries.
pub(super) const BACKLOG: usize = 128;

#[derive(Clone)]
pub(crate) struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    network: Network,
    addr: SocketAddr,
    id: u64,
    incoming: AsyncMutex<mpsc::Receiver<Arc<MemoryLink>>>,
    closed: watch::Sender<bool>,
}

impl Inner {
    fn close(&self, code: u32, reason: &str) {
        self.network.places().close(self.addr, self.id);
        self.closed.send_replace(true);
        for link in self.network.links() {
            link.close_owned(self.id, code, reason);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close(0, "");
    }
}

impl Network {
    /// Binds an endpoint to this address. Port 0 takes a free one. Returns `None` if the address is taken.
    pub(crate) fn endpoint(&self, addr: SocketAddr) -> Option<Endpoint> {
        let (backlog, incoming) = mpsc::channel(BACKLOG);
        let (addr, id) = self.places().bind(self.at_home(addr), |id| Listener::new(id, backlog))?;
        let incoming = AsyncMutex::new(incoming);
        let closed = watch::Sender::new(false);
        Some(Endpoint { inner: Arc::new(Inner { network: self.clone(), addr, id, incoming, closed }) })
    }
}

impl Endpoint {
    pub(in crate::transport) fn listen(&self, protocols: Vec<Vec<u8>>, options: ListenOptions) {
        let mut places = self.inner.network.places();
        places.listen(self.inner.addr, self.inner.id, protocols, options.room.streams);
    }

    /// Takes one round trip. Without an answer, from the listener or the application behind it, it takes the idle
    /// timeout.
    pub(in crate::transport) async fn dial(
        &self,
        addr: SocketAddr,
        protocol: &[u8],
        options: &DialOptions,
        room: Room,
    ) -> Result<connection::Connection, ConnectionError> {
        let Inner { network, addr: own, id, closed, .. } = &*self.inner;
        if *closed.borrow() {
            return Err(ConnectionError::LocallyClosed);
        }
        let link =
            MemoryLink::dial(network, [visible(*own), visible(addr)], *id, protocol, options, room.streams);
        let half = Half { link, side: 0 };
        // Checks again, as the network knows the connection from here on: a close after this check finds the connection
        // there.
        if *closed.borrow() {
            return Err(ConnectionError::LocallyClosed);
        }
        half.link.drive();
        establish(half, Side::Client).await
    }

    pub(in crate::transport) async fn accept(&self) -> Option<Incoming> {
        let mut closed = self.inner.closed.subscribe();
        let mut incoming = self.inner.incoming.lock().await;
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            link = incoming.recv() => Some(Incoming { half: Some(Half { link: link?, side: 1 }) }),
        }
    }

    pub(in crate::transport) fn local_addr(&self) -> SocketAddr {
        self.inner.addr
    }

    pub(in crate::transport) fn close(&self, code: u32, reason: &str) {
        self.inner.close(code, reason);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("addr", &self.inner.addr).finish_non_exhaustive()
    }
}

/// A peer that has dialled. Dropping it refuses the connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    half: Option<Half>,
}

impl Incoming {
    pub(in crate::transport) fn remote_addr(&self) -> SocketAddr {
        self.half.as_ref().expect("only the handshake takes the half").link.addrs[0]
    }

    /// Takes one more round trip.
    pub(in crate::transport) async fn handshake(mut self) -> Result<connection::Connection, ConnectionError> {
        let half = self.half.take().expect("only the handshake takes the half");
        half.link.drive();
        half.link.with(|pair, io| pair.welcome(io));
        establish(half, Side::Server).await
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(half) = &self.half {
            half.link.with(|pair, io| pair.refuse(io));
        }
    }
}

async fn establish(half: Half, side: Side) -> Result<connection::Connection, ConnectionError> {
    let Half { link, side: index } = &half;
    link.until(&link.signals[*index].settled, |pair, _| pair.established(*index)).await?;
    let protocol = link.protocol.clone();
    Ok(connection::Connection::memory(Connection::new(half), PeerIdentity::default(), protocol, side))
}
