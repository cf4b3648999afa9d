//! The in-memory backend: connections within one process, for tests under paused time.
//!
//! No packets, no loss, no TLS; what it does have is what the layers above must get right: streams that are
//! bounded, finished, reset and stopped, connections that close with a code, peers that are not there.

mod pipe;

use std::{
    collections::HashMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

use self::pipe::Pipe;
pub(super) use self::pipe::{RecvStream, SendStream};
use super::{ConnectionError, DatagramError, Side, backend, connection};
use crate::PeerIdentity;

/// Connections that wait to be accepted; a dial beyond waits.
const BACKLOG: usize = 128;
/// Streams and datagrams that wait to be accepted.
const STREAMS: usize = 256;
const DATAGRAMS: usize = 1024;
const DATAGRAM_SIZE: usize = 1200;

/// A network within this process: servers and channels that are given the same one reach each other by the
/// addresses that they bind, without sockets and certificates.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    inner: Arc<Mutex<Places>>,
}

#[derive(Default)]
struct Places {
    listeners: HashMap<SocketAddr, Listener>,
    next_port: u16,
    next_id: u64,
}

impl Places {
    /// Frees the address, unless a successor has taken it.
    fn leave(&mut self, addr: SocketAddr, id: u64) {
        if self.listeners.get(&addr).is_some_and(|listener| listener.id == id) {
            self.listeners.remove(&addr);
        }
    }
}

#[derive(Clone)]
struct Listener {
    id: u64,
    protocols: Vec<Vec<u8>>,
    backlog: mpsc::Sender<connection::Connection>,
}

impl MemoryNetwork {
    /// An empty network.
    pub fn new() -> Self {
        Self::default()
    }

    /// A place at this address; port 0 takes a free one. `None` when the address is taken.
    pub(crate) fn endpoint(&self, mut addr: SocketAddr) -> Option<Endpoint> {
        let mut places = self.places();
        while addr.port() == 0 || (addr.ip().is_unspecified() && places.listeners.contains_key(&addr)) {
            places.next_port = places.next_port.wrapping_add(1).max(1);
            let candidate = SocketAddr::new(addr.ip(), places.next_port);
            if !places.listeners.contains_key(&candidate) {
                addr = candidate;
            }
        }
        if places.listeners.contains_key(&addr) {
            return None;
        }
        let (backlog, incoming) = mpsc::channel(BACKLOG);
        let id = places.next_id;
        places.next_id += 1;
        places.listeners.insert(addr, Listener { id, protocols: Vec::new(), backlog });
        drop(places);
        Some(Endpoint {
            inner: Arc::new(EndpointInner {
                network: self.clone(),
                addr,
                id,
                incoming: AsyncMutex::new(incoming),
                closed: watch::Sender::new(None),
            }),
        })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.places();
        f.debug_struct("MemoryNetwork").field("addresses", &places.listeners.keys()).finish()
    }
}

#[derive(Clone)]
pub(crate) struct Endpoint {
    inner: Arc<EndpointInner>,
}

struct EndpointInner {
    network: MemoryNetwork,
    addr: SocketAddr,
    id: u64,
    incoming: AsyncMutex<mpsc::Receiver<connection::Connection>>,
    closed: watch::Sender<Option<(u32, String)>>,
}

impl Drop for EndpointInner {
    fn drop(&mut self) {
        self.network.places().leave(self.addr, self.id);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("addr", &self.inner.addr).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) fn listen(&self, protocols: Vec<Vec<u8>>) {
        if let Some(listener) = self.inner.network.places().listeners.get_mut(&self.inner.addr)
            && listener.id == self.inner.id
        {
            listener.protocols = protocols;
        }
    }

    pub(super) async fn dial(
        &self,
        addr: SocketAddr,
        protocol: &[u8],
    ) -> Result<connection::Connection, ConnectionError> {
        if self.inner.closed.borrow().is_some() {
            return Err(ConnectionError::LocallyClosed);
        }
        let Some(listener) = self.inner.network.places().listeners.get(&addr).cloned() else {
            return Err(ConnectionError::TimedOut);
        };
        if !listener.protocols.iter().any(|known| known == protocol) {
            return Err(ConnectionError::Transport("the peer does not speak this protocol (ALPN)".into()));
        }
        let (ours, theirs) = Connection::pair(self.inner.addr, addr);
        self.close_with(&ours);
        let wrap = |inner, side| {
            connection::Connection::memory(inner, PeerIdentity::default(), protocol.to_vec(), side)
        };
        listener.backlog.send(wrap(theirs, Side::Server)).await.map_err(|_| ConnectionError::TimedOut)?;
        Ok(wrap(ours, Side::Client))
    }

    /// The endpoint's end is the end of its connections.
    fn close_with(&self, connection: &Connection) {
        let weak = Arc::downgrade(&connection.side.link);
        let side = connection.side.index;
        let mut closed = self.inner.closed.subscribe();
        tokio::spawn(async move {
            let reason = closed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            if let Some(link) = weak.upgrade() {
                let (code, reason) = reason.unwrap_or_default();
                link.close(side, code, &reason);
            }
        });
    }

    pub(super) async fn accept(&self) -> Option<connection::Connection> {
        let mut closed = self.inner.closed.subscribe();
        let mut incoming = self.inner.incoming.lock().await;
        tokio::select! {
            biased;
            _ = closed.wait_for(Option::is_some) => None,
            connection = incoming.recv() => {
                let connection = connection?;
                if let Some(memory) = connection.as_memory() {
                    self.close_with(memory);
                }
                Some(connection)
            }
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.inner.addr
    }

    pub(super) fn close(&self, code: u32, reason: &str) {
        self.inner.network.places().leave(self.inner.addr, self.inner.id);
        self.inner.closed.send_replace(Some((code, reason.to_owned())));
    }
}

/// What the two sides of a connection share.
struct Link {
    /// What each side is told of the end.
    closed: watch::Sender<Option<[ConnectionError; 2]>>,
    /// What each side has received, in place of packets: what was sent to it, and an acknowledgement of what it sent.
    received: [AtomicU64; 2],
    /// Whose readers and writers the end wakes.
    pipes: Mutex<Pipes>,
}

#[derive(Default)]
struct Pipes {
    open: HashMap<u64, Weak<Pipe>>,
    next_id: u64,
}

impl Link {
    /// Something was sent by this side.
    fn count(&self, by: usize) {
        self.received[1 - by].fetch_add(1, Ordering::Relaxed);
        self.received[by].fetch_add(1, Ordering::Relaxed);
    }

    fn pipes(&self) -> MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it ended, as this side is told; `None` while it stands.
    fn reason(&self, side: usize) -> Option<ConnectionError> {
        self.closed.borrow().as_ref().map(|reasons| reasons[side].clone())
    }

    fn close(&self, by: usize, code: u32, reason: &str) {
        let ended = self.closed.send_if_modified(|closed| {
            if closed.is_some() {
                return false;
            }
            let told = ConnectionError::Closed { code, reason: reason.to_owned() };
            let mut reasons = [told.clone(), told];
            reasons[by] = ConnectionError::LocallyClosed;
            *closed = Some(reasons);
            true
        });
        if ended {
            // Not under the lock: a pipe that is dropped here for the last time takes itself off the list.
            let open: Vec<_> = self.pipes().open.values().filter_map(Weak::upgrade).collect();
            open.iter().for_each(|pipe| pipe.wake());
        }
    }
}

/// One side's hold on a connection; its last drop closes it.
struct HalfLink {
    link: Arc<Link>,
    index: usize,
    addrs: [SocketAddr; 2],
    accept_bi: AsyncMutex<mpsc::Receiver<(SendStream, RecvStream)>>,
    accept_uni: AsyncMutex<mpsc::Receiver<RecvStream>>,
    datagrams: AsyncMutex<mpsc::Receiver<Bytes>>,
    peer_bi: mpsc::Sender<(SendStream, RecvStream)>,
    peer_uni: mpsc::Sender<RecvStream>,
    peer_datagrams: mpsc::Sender<Bytes>,
}

impl Drop for HalfLink {
    fn drop(&mut self) {
        self.link.close(self.index, 0, "");
    }
}

#[derive(Clone)]
pub(crate) struct Connection {
    side: Arc<HalfLink>,
}

impl Connection {
    fn pair(dialler: SocketAddr, listener: SocketAddr) -> (Self, Self) {
        // A socket bound to any address is seen at a certain one.
        let seen = |addr: SocketAddr| {
            if addr.ip().is_unspecified() {
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port())
            } else {
                addr
            }
        };
        let addrs = [seen(dialler), seen(listener)];
        let link = Arc::new(Link {
            closed: watch::Sender::new(None),
            received: Default::default(),
            pipes: Mutex::default(),
        });
        let (bi, uni, datagrams): ([_; 2], [_; 2], [_; 2]) = (
            [mpsc::channel(STREAMS), mpsc::channel(STREAMS)],
            [mpsc::channel(STREAMS), mpsc::channel(STREAMS)],
            [mpsc::channel(DATAGRAMS), mpsc::channel(DATAGRAMS)],
        );
        let [(bi_0, accept_bi_0), (bi_1, accept_bi_1)] = bi;
        let [(uni_0, accept_uni_0), (uni_1, accept_uni_1)] = uni;
        let [(datagrams_0, read_0), (datagrams_1, read_1)] = datagrams;
        let half = |index, accept_bi, accept_uni, read, peer_bi, peer_uni, peer_datagrams| Self {
            side: Arc::new(HalfLink {
                link: link.clone(),
                index,
                addrs,
                accept_bi: AsyncMutex::new(accept_bi),
                accept_uni: AsyncMutex::new(accept_uni),
                datagrams: AsyncMutex::new(read),
                peer_bi,
                peer_uni,
                peer_datagrams,
            }),
        };
        (
            half(0, accept_bi_0, accept_uni_0, read_0, bi_1, uni_1, datagrams_1),
            half(1, accept_bi_1, accept_uni_1, read_1, bi_0, uni_0, datagrams_0),
        )
    }

    async fn until_closed<T>(&self, wait: impl Future<Output = Option<T>>) -> Result<T, ConnectionError> {
        tokio::select! {
            biased;
            error = backend::Connection::closed(self) => Err(error),
            value = wait => match value {
                Some(value) => Ok(value),
                None => Err(backend::Connection::closed(self).await),
            },
        }
    }

    fn count_sent(&self) {
        self.side.link.count(self.side.index);
    }

    fn pipe(&self) -> (SendStream, RecvStream) {
        pipe::pipe(&self.side.link, self.side.index)
    }
}

impl backend::Connection for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, their_recv) = self.pipe();
        let (their_send, recv) = pipe::pipe(&self.side.link, 1 - self.side.index);
        self.until_closed(async { self.side.peer_bi.send((their_send, their_recv)).await.ok() }).await?;
        self.count_sent();
        Ok((send, recv))
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        self.until_closed(async { self.side.accept_bi.lock().await.recv().await }).await
    }

    async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        let (send, their_recv) = self.pipe();
        self.until_closed(async { self.side.peer_uni.send(their_recv).await.ok() }).await?;
        self.count_sent();
        Ok(send)
    }

    async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        self.until_closed(async { self.side.accept_uni.lock().await.recv().await }).await
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        if let Some(error) = self.close_reason() {
            return Err(error.into());
        }
        if datagram.len() > DATAGRAM_SIZE {
            return Err(DatagramError::TooLarge);
        }
        self.count_sent();
        // A full queue loses the datagram, as a network would.
        let _ = self.side.peer_datagrams.try_send(datagram);
        Ok(())
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        self.until_closed(async { self.side.datagrams.lock().await.recv().await }).await
    }

    fn max_datagram_size(&self) -> Option<usize> {
        Some(DATAGRAM_SIZE)
    }

    fn close(&self, code: u32, reason: &str) {
        self.side.link.close(self.side.index, code, reason);
    }

    async fn closed(&self) -> ConnectionError {
        let mut closed = self.side.link.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(reasons) => reasons
                .as_ref()
                .map_or(ConnectionError::LocallyClosed, |reasons| reasons[self.side.index].clone()),
            Err(_) => ConnectionError::LocallyClosed,
        }
    }

    fn close_reason(&self) -> Option<ConnectionError> {
        self.side.link.reason(self.side.index)
    }

    fn remote_addr(&self) -> SocketAddr {
        self.side.addrs[1 - self.side.index]
    }

    fn rtt(&self) -> Duration {
        Duration::ZERO
    }

    fn received_packets(&self) -> u64 {
        self.side.link.received[self.side.index].load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("addrs", &self.side.addrs).finish_non_exhaustive()
    }
}
