//! Connections to peers: found, dialled, kept, and given up.
//!
//! A link is used by whoever needs it, whichever side dialled. What is to go to a peer without one waits (briefly,
//! and boundedly) for a dial; only so many are begun a second, and beyond, packets are dropped: gossip bears that,
//! a storm of handshakes nobody does.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rpcnet::transport::{Connection, DatagramError, DialOptions};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

use super::{
    close,
    driver::Gossip,
    hello::{Exchange, HelloError},
};
use crate::swim::{Channel, Identity, MAX_FRAME, Transmit};

/// Links kept; beyond, the one that was unused the longest is closed.
const LINKS: usize = 256;
/// Packets that wait for one dial.
const WAITING: usize = 16;
/// New handshakes a second, and at once.
const HANDSHAKES: u32 = 8;
/// Packets on streams of their own that are being written.
const STREAMS: usize = 64;
/// Dialling and the hello together may take this long.
const HELLO: Duration = Duration::from_secs(5);
/// A link without traffic is closed after this time by the transport.
const IDLE: Duration = Duration::from_secs(30);

/// The links of a node.
#[derive(Debug)]
pub(super) struct Links {
    table: Mutex<Table>,
    streams: Arc<Semaphore>,
}

#[derive(Debug)]
struct Table {
    links: HashMap<SocketAddr, Link>,
    budget: Budget,
    closed: bool,
}

#[derive(Debug)]
enum Link {
    Dialling(VecDeque<Transmit>),
    Open { identity: Identity, connection: Connection, used: Instant },
}

/// A token bucket: [`HANDSHAKES`] at once, refilled over a second.
#[derive(Debug)]
struct Budget {
    tokens: f64,
    at: Instant,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(HANDSHAKES);
        self.tokens = (self.tokens + refill).min(f64::from(HANDSHAKES));
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

impl Links {
    pub(super) fn new() -> Self {
        let budget = Budget { tokens: f64::from(HANDSHAKES), at: Instant::now() };
        Self {
            table: Mutex::new(Table { links: HashMap::new(), budget, closed: false }),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all, for good.
    pub(super) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        for (_, link) in table.links.drain() {
            if let Link::Open { connection, .. } = link {
                connection.close(close::DONE, "the node is going away");
            }
        }
    }
}

/// Sends a packet, dialling its receiver where there is no link. Never waits; may drop the packet.
pub(super) fn send(gossip: &Arc<Gossip>, transmit: Transmit) {
    let mut table = gossip.links.table();
    if table.closed {
        return;
    }
    let addr = transmit.to.addr();
    match table.links.get_mut(&addr) {
        Some(Link::Open { identity, connection, used })
            if connection.close_reason().is_none() && !is_later(&transmit.to, identity) =>
        {
            *used = Instant::now();
            let connection = connection.clone();
            drop(table);
            transmit_on(gossip, &connection, transmit);
        }
        Some(Link::Dialling(waiting)) => {
            if waiting.len() < WAITING {
                waiting.push_back(transmit);
            } else {
                gossip.metrics.dropped("dialling");
            }
        }
        _ => {
            if !table.budget.take(Instant::now()) {
                gossip.metrics.dropped("handshake_budget");
                return;
            }
            // A link to an earlier life is read until it ends by itself: that life may yet prove to be this one.
            table.links.insert(addr, Link::Dialling(VecDeque::from([transmit])));
            drop(table);
            tokio::spawn(dial(gossip.clone(), addr));
        }
    }
}

/// Whether this is a later life of whoever is at the address: what is sent to the earlier one reaches nobody. (Where
/// it only took a new generation to refute its death, that costs a handshake.)
fn is_later(identity: &Identity, than: &Identity) -> bool {
    (identity.generation(), identity.id()) > (than.generation(), than.id())
}

fn transmit_on(gossip: &Arc<Gossip>, connection: &Connection, transmit: Transmit) {
    if transmit.channel == Channel::Datagram {
        match connection.send_datagram(transmit.payload.clone()) {
            Ok(()) => return,
            // A path that takes only smaller packets still takes streams.
            Err(DatagramError::TooLarge) => {}
            Err(error) => {
                debug!(to = %transmit.to, %error, "datagram not sent");
                return gossip.metrics.dropped("unsent");
            }
        }
    }
    let Ok(permit) = gossip.links.streams.clone().try_acquire_owned() else {
        return gossip.metrics.dropped("streams");
    };
    let connection = connection.clone();
    tokio::spawn(async move {
        let sent = timeout(HELLO, write_stream(&connection, transmit.payload)).await;
        if !matches!(sent, Ok(Ok(()))) {
            debug!(to = %transmit.to, "packet on a stream not sent");
        }
        drop(permit);
    });
}

async fn write_stream(connection: &Connection, packet: Bytes) -> Result<(), HelloError> {
    let mut stream = connection.open_uni().await?;
    stream.write(packet).await?;
    stream.finish();
    Ok(())
}

/// Dials a peer because there is something to send to it.
async fn dial(gossip: Arc<Gossip>, addr: SocketAddr) {
    let address = addr.to_string();
    let dialled = gossip.dial(&address);
    let linked = tokio::select! {
        linked = dialled => linked,
        () = gossip.closed.cancelled() => return,
    };
    match linked {
        Ok((identity, connection)) => {
            let waiting = gossip.take_waiting(addr);
            // The peer there may call itself something else; what waits is for whoever is there.
            for transmit in waiting {
                transmit_on(&gossip, &connection, transmit);
            }
            gossip.run(identity, connection).await;
        }
        Err(error) => {
            debug!(%addr, %error, "no link");
            gossip.metrics.dropped("unreachable");
            gossip.take_waiting(addr);
        }
    }
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Connect(#[from] rpcnet::ConnectError),
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("the peer is this node itself")]
    Ourselves,
    #[error("not within {HELLO:?}")]
    TimedOut,
}

impl Gossip {
    /// Dials `host:port` and learns who is there. The link is in the table when this returns; its packets are read
    /// once [`run`](Self::run) runs.
    pub(super) async fn dial(self: &Arc<Self>, address: &str) -> Result<(Identity, Connection), LinkError> {
        // Cold probes must not look like losses: the first probe timeout is about three times this.
        let options = DialOptions::default()
            .with_initial_rtt(Duration::from_millis(50))
            .with_keep_alive(None)
            .with_idle_timeout(IDLE);
        self.metrics.dialled();
        let linked = async {
            let connection = self.connector.dial(address, super::ALPN, &options).await?;
            let identity = self.greet(&connection).await?;
            Ok((identity, connection))
        };
        timeout(HELLO, linked).await.unwrap_or(Err(LinkError::TimedOut))
    }

    /// Takes a connection that a peer opened, until it ends.
    pub(super) async fn accept(self: Arc<Self>, connection: Connection) {
        match timeout(HELLO, self.greet(&connection)).await {
            Ok(Ok(identity)) => self.run(identity, connection).await,
            // The other end is ours too, and closes once it has seen who is there.
            Ok(Err(LinkError::Ourselves)) => {
                let _ = timeout(HELLO, connection.closed()).await;
            }
            Ok(Err(error)) => {
                if let LinkError::Hello(HelloError::Cluster { .. } | HelloError::Protocol { .. }) = error {
                    warn!(peer = %connection.remote_addr(), %error, "peer refused");
                }
                self.metrics.dropped("hello");
                connection.close(close::REFUSED, &error.to_string());
            }
            Err(_) => {
                self.metrics.dropped("hello");
                connection.close(close::REFUSED, "the hello took too long");
            }
        }
    }

    /// Exchanges hellos and puts the link into the table.
    async fn greet(self: &Arc<Self>, connection: &Connection) -> Result<Identity, LinkError> {
        let (exchange, observed) = Exchange::begin(connection).await?;
        let own = self.observed_at(observed);
        let identity = match exchange.finish(&self.cluster, own).await {
            Ok(identity) => identity,
            Err(error) => {
                connection.close(close::REFUSED, &error.to_string());
                return Err(error.into());
            }
        };
        if identity.same_node(&own) {
            return Err(LinkError::Ourselves);
        }
        let Some(waiting) = self.links.insert(identity, connection) else {
            return Err(HelloError::Closing.into());
        };
        for transmit in waiting {
            transmit_on(self, connection, transmit);
        }
        Ok(identity)
    }

    /// Reads a link's packets until it ends.
    pub(super) async fn run(self: &Arc<Self>, identity: Identity, connection: Connection) {
        loop {
            tokio::select! {
                datagram = connection.read_datagram() => match datagram {
                    Ok(packet) => self.received(identity, packet),
                    Err(_) => break,
                },
                stream = connection.accept_uni() => match stream {
                    Ok(mut stream) => {
                        // One at a time: a peer can't make us hold more than one frame.
                        match timeout(HELLO, stream.read_to_end(MAX_FRAME)).await {
                            Ok(Ok(packet)) => self.received(identity, packet),
                            _ => self.metrics.dropped("stream"),
                        }
                    }
                    Err(_) => break,
                },
                () = self.closed.cancelled() => break,
            }
        }
        self.links.remove(&identity, &connection);
    }

    fn take_waiting(&self, addr: SocketAddr) -> VecDeque<Transmit> {
        let mut table = self.links.table();
        match table.links.get(&addr) {
            Some(Link::Dialling(_)) => match table.links.remove(&addr) {
                Some(Link::Dialling(waiting)) => waiting,
                _ => VecDeque::new(),
            },
            _ => VecDeque::new(),
        }
    }
}

impl Links {
    /// Enters a link. Of two to the same peer the first serves for sending until it ends; one to a later life of
    /// the peer takes the place of the earlier life's. Gives what has waited for it; `None` once all are closed.
    fn insert(&self, identity: Identity, connection: &Connection) -> Option<VecDeque<Transmit>> {
        let mut table = self.table();
        if table.closed {
            return None;
        }
        let addr = identity.addr();
        let mut waiting = VecDeque::new();
        match table.links.get_mut(&addr) {
            Some(Link::Open { identity: known, connection: old, .. }) if old.close_reason().is_none() => {
                if !is_later(&identity, known) {
                    return Some(waiting);
                }
                old.close(close::REPLACED, "a later life of you has connected");
            }
            Some(Link::Dialling(packets)) => waiting = std::mem::take(packets),
            _ => {}
        }
        if table.links.len() >= LINKS {
            table.evict();
        }
        let link = Link::Open { identity, connection: connection.clone(), used: Instant::now() };
        table.links.insert(addr, link);
        Some(waiting)
    }

    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        let open = |link: &Link| matches!(link, Link::Open { connection, .. } if connection.close_reason().is_none());
        self.table().links.values().any(open)
    }

    /// Sends no more over the link to a node that is gone: whoever is found at its address later is dialled anew, not
    /// looked for at the end of a connection of which the transport has not noticed yet that it leads nowhere.
    pub(super) fn forget(&self, gone: &Identity) {
        let mut table = self.table();
        if let Some(Link::Open { identity, .. }) = table.links.get(&gone.addr())
            && !is_later(identity, gone)
        {
            table.links.remove(&gone.addr());
        }
    }

    fn remove(&self, identity: &Identity, connection: &Connection) {
        let mut table = self.table();
        if let Some(Link::Open { connection: current, .. }) = table.links.get(&identity.addr())
            && current.close_reason().is_some()
        {
            table.links.remove(&identity.addr());
        }
        drop(table);
        connection.close(close::DONE, "");
    }
}

impl Table {
    fn evict(&mut self) {
        let oldest = self
            .links
            .iter()
            .filter_map(|(addr, link)| match link {
                Link::Open { used, .. } => Some((*used, *addr)),
                Link::Dialling(_) => None,
            })
            .min();
        if let Some((_, addr)) = oldest
            && let Some(Link::Open { connection, .. }) = self.links.remove(&addr)
        {
            connection.close(close::DONE, "not used for long");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn handshakes_are_bounded() {
        let start = Instant::now();
        let mut budget = Budget { tokens: f64::from(HANDSHAKES), at: start };
        let burst = (0..100).filter(|_| budget.take(start)).count();
        assert_eq!(burst, HANDSHAKES as usize);
        let later = (1..=10_000).filter(|ms| budget.take(start + Duration::from_millis(*ms))).count();
        assert!((79..=80).contains(&later), "{later} in ten seconds");
    }
}
