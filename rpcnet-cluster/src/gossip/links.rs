//! The table of links to peers: dialled on demand, kept, and given up.
//!
//! A link serves all packets to its peer, whichever side dialled. Packets to a peer without a link wait for a dial, a bounded
//! number of them for a bounded time. The number of dials a second is limited, and further packets are dropped: gossip
//! tolerates lost packets, but a host does not tolerate a storm of handshakes.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use rpcnet::{
    __cluster::{Mutex, TokenBucket},
    transport::{Connection, DatagramError},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    close,
    driver::{Gossip, now},
    handshake::{HELLO, PeerLink},
    hello::HelloError,
};
use crate::swim::{Delivery, Identity, NodeId, Transmit};

/// The most packets that wait for one dial.
const WAITING: usize = 16;
/// The most new handshakes a second, and at once.
const HANDSHAKES: u32 = 8;
/// The most dials under way. If handshakes take long because hosts are overloaded, this bound makes them fewer: more would
/// time out and be repeated, and none would complete. It still allows three dials a second to hosts that are gone.
const DIALLING: usize = 16;
/// The most packets that are being written, each on a stream of its own.
const STREAMS: usize = 64;

/// The links of a node.
#[derive(Debug)]
pub(super) struct Links {
    table: Mutex<LinkTable>,
    streams: Arc<Semaphore>,
}

#[derive(Debug)]
struct LinkTable {
    slots: HashMap<SocketAddr, LinkSlot>,
    handshakes: TokenBucket,
    closed: bool,
    most: usize,
    /// True if the set of linked peers may have changed since it was last asked for.
    changed: bool,
}

#[derive(Debug)]
enum LinkSlot {
    Dialling(VecDeque<Transmit>),
    Open { link: PeerLink, used: Instant },
}

impl Links {
    /// Returns an empty table. One more than `most` links closes the link that was unused the longest.
    pub(super) fn new(most: usize) -> Self {
        let handshakes = TokenBucket::new(HANDSHAKES, HANDSHAKES, now());
        Self {
            table: Mutex::new(LinkTable {
                slots: HashMap::new(),
                handshakes,
                closed: false,
                most,
                changed: false,
            }),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    fn table(&self) -> MutexGuard<'_, LinkTable> {
        self.table.lock()
    }

    /// Closes all links. New ones may follow.
    pub(super) fn reset(&self) {
        let mut table = self.table();
        for slot in table.slots.values() {
            if let LinkSlot::Open { link, .. } = slot {
                link.connection.close(close::DONE, "this node has another address now: dial again");
            }
        }
        table.slots.retain(|_, slot| matches!(slot, LinkSlot::Dialling(_)));
        table.changed = true;
    }

    /// Closes all links for good.
    pub(super) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        for (_, slot) in table.slots.drain() {
            if let LinkSlot::Open { link, .. } = slot {
                link.connection.close(close::DONE, "the node is going away");
            }
        }
    }
}

/// Sends a packet, dialling its receiver if there is no link. Never waits, and may drop the packet.
pub(super) fn send(gossip: &Arc<Gossip>, transmit: Transmit) {
    let mut table = gossip.links.table();
    if table.closed {
        return;
    }
    let addr = transmit.to.addr();
    match table.slots.get_mut(&addr) {
        Some(LinkSlot::Open { link, used })
            if link.connection.close_reason().is_none() && !is_later(&transmit.to, &link.identity) =>
        {
            *used = Instant::now();
            let link = link.clone();
            drop(table);
            transmit_on(gossip, &link, transmit);
        }
        Some(LinkSlot::Dialling(waiting)) => {
            if waiting.len() < WAITING {
                waiting.push_back(transmit);
            } else {
                gossip.metrics.dropped("dialling");
            }
        }
        _ => {
            if table.dialling() >= DIALLING || !table.handshakes.take(now()) {
                gossip.metrics.dropped("handshake_budget");
                return;
            }
            table.changed = true;
            // A link to an earlier life is read until it ends: that life may still be the current one.
            table.slots.insert(addr, LinkSlot::Dialling(VecDeque::from([transmit])));
            drop(table);
            tokio::spawn(dial(gossip.clone(), addr));
        }
    }
}

/// Returns whether `identity` is a later life at the address of `than`. Packets to the earlier life reach no node. (If the node
/// only took a new generation to refute its death, the new link costs a handshake.)
fn is_later(identity: &Identity, than: &Identity) -> bool {
    (identity.generation(), identity.id()) > (than.generation(), than.id())
}

pub(super) fn transmit_on(gossip: &Arc<Gossip>, link: &PeerLink, transmit: Transmit) {
    let connection = &link.connection;
    if transmit.version() > link.version {
        return gossip.metrics.dropped("version");
    }
    if transmit.delivery == Delivery::Datagram {
        match connection.send_datagram(transmit.payload.clone()) {
            Ok(()) => return gossip.metrics.sent(&transmit.payload),
            // A path with a smaller limit for datagrams still carries streams.
            Err(DatagramError::TooLarge) => gossip.metrics.oversize(),
            Err(error) => {
                debug!(to = %transmit.to, %error, "datagram not sent");
                return gossip.metrics.dropped("unsent");
            }
        }
    }
    let Ok(permit) = gossip.links.streams.clone().try_acquire_owned() else {
        return gossip.metrics.dropped("streams");
    };
    gossip.metrics.sent(&transmit.payload);
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

/// Dials a peer that packets wait for.
async fn dial(gossip: Arc<Gossip>, addr: SocketAddr) {
    let host = addr.ip().to_string();
    let dialled = gossip.dial(addr, &host);
    let linked = tokio::select! {
        linked = dialled => linked,
        () = gossip.closed.cancelled() => return,
    };
    match linked {
        Ok(link) => {
            let waiting = gossip.take_waiting(addr);
            // The peer may have another identity. The waiting packets are for any node at the address.
            for transmit in waiting {
                transmit_on(&gossip, &link, transmit);
            }
            gossip.run(link).await;
        }
        Err(error) => {
            debug!(%addr, %error, "no link");
            gossip.metrics.dropped("unreachable");
            gossip.take_waiting(addr);
        }
    }
}

impl Gossip {
    fn take_waiting(&self, addr: SocketAddr) -> VecDeque<Transmit> {
        let mut table = self.links.table();
        match table.slots.get(&addr) {
            Some(LinkSlot::Dialling(_)) => match table.slots.remove(&addr) {
                Some(LinkSlot::Dialling(waiting)) => waiting,
                _ => VecDeque::new(),
            },
            _ => VecDeque::new(),
        }
    }
}

impl Links {
    /// Adds a link. Returns the packets that have waited for it, or `None` if the table is closed for good.
    ///
    /// Of two links to the same peer the first one is used for sending until it ends. A link to a later life of the peer
    /// replaces the link to the earlier one.
    pub(super) fn insert(&self, link: &PeerLink) -> Option<VecDeque<Transmit>> {
        let mut table = self.table();
        if table.closed {
            return None;
        }
        let addr = link.identity.addr();
        let mut waiting = VecDeque::new();
        match table.slots.get_mut(&addr) {
            Some(LinkSlot::Open { link: known, .. }) if known.connection.close_reason().is_none() => {
                if !is_later(&link.identity, &known.identity) {
                    return Some(waiting);
                }
                known.connection.close(close::REPLACED, "a later life of you has connected");
            }
            Some(LinkSlot::Dialling(packets)) => waiting = std::mem::take(packets),
            _ => {}
        }
        if table.slots.len() >= table.most {
            table.evict();
        }
        table.slots.insert(addr, LinkSlot::Open { link: link.clone(), used: Instant::now() });
        table.changed = true;
        Some(waiting)
    }

    /// Returns the linked peers, if they may have changed since the last call.
    pub(super) fn changed_peers(&self) -> Option<BTreeSet<NodeId>> {
        let mut table = self.table();
        std::mem::take(&mut table.changed).then(|| table.open().map(|link| link.identity.id()).collect())
    }

    /// Returns the linked peers and their round-trip times.
    pub(super) fn round_trips(&self) -> Vec<(String, Duration)> {
        let shown = |link: &PeerLink| (link.identity.addr().to_string(), link.connection.stats().rtt);
        self.table().open().map(shown).collect()
    }

    /// Returns the number of packets that are being written on streams.
    pub(super) fn streams_in_use(&self) -> usize {
        STREAMS - self.streams.available_permits()
    }

    /// Returns whether there is any open link.
    pub(super) fn any(&self) -> bool {
        self.table().open().next().is_some()
    }

    /// Removes the link to a node that is gone. A later node at its address is dialled anew, because the transport may not have
    /// noticed yet that the old connection is dead.
    pub(super) fn forget(&self, gone: &Identity) {
        let mut table = self.table();
        if let Some(LinkSlot::Open { link, .. }) = table.slots.get(&gone.addr())
            && !is_later(&link.identity, gone)
        {
            table.slots.remove(&gone.addr());
            table.changed = true;
        }
    }

    /// Removes a closed link.
    pub(super) fn remove(&self, link: &PeerLink) {
        let addr = link.identity.addr();
        let mut table = self.table();
        if let Some(LinkSlot::Open { link: current, .. }) = table.slots.get(&addr)
            && current.connection.close_reason().is_some()
        {
            table.slots.remove(&addr);
            table.changed = true;
        }
    }
}

impl LinkTable {
    fn dialling(&self) -> usize {
        self.slots.values().filter(|slot| matches!(slot, LinkSlot::Dialling(_))).count()
    }

    fn open(&self) -> impl Iterator<Item = &PeerLink> {
        self.slots.values().filter_map(|slot| match slot {
            LinkSlot::Open { link, .. } if link.connection.close_reason().is_none() => Some(link),
            _ => None,
        })
    }

    fn evict(&mut self) {
        let oldest = self
            .slots
            .iter()
            .filter_map(|(addr, slot)| match slot {
                LinkSlot::Open { used, .. } => Some((*used, *addr)),
                LinkSlot::Dialling(_) => None,
            })
            .min();
        if let Some((_, addr)) = oldest
            && let Some(LinkSlot::Open { link, .. }) = self.slots.remove(&addr)
        {
            link.connection.close(close::DONE, "not used for long");
        }
    }
}
