//! A memory network: the endpoints at their addresses, and the conditions of the paths.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{Arc, MutexGuard, Weak},
    time::Duration,
};

use rand::{SeedableRng, rngs::SmallRng};
use tokio::{sync::mpsc, time::Instant};

use crate::lock::Mutex;

use super::{
    Between,
    link::MemoryLink,
    pair::{Offer, Pair},
    path::{Paths, Place, Traffic, Way},
};

/// The range of automatically chosen ports (RFC 6335, section 6).
const FREE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A network within this process. Servers and channels that are given the same network reach each other by the
/// addresses that they bind, without sockets and certificates.
///
/// At first all packets arrive, and at once. The network can be made slow and lossy, as a whole or
/// [between](Self::between) places. Paths can be cut, and hosts can be frozen. Packets sent over a cut path are lost.
/// Streams retransmit them as QUIC does, and as late as QUIC does: after a long cut it may take as long again, unless
/// new data is sent.
///
/// Time is tokio's, and meant to be paused. Its timers have a resolution of one millisecond.
///
/// All randomness of the network comes from one seed. On a paused runtime of one thread, two runs lose and delay the
/// same packets as long as the program sends them in the same order. This is no promise bit for bit: rpcnet draws its
/// pauses between dials, and its choice among equal servers, from other sources.
///
/// Cheap to clone; clones are the same network.
///
/// ```
/// use std::{net::IpAddr, time::Duration};
///
/// use rpcnet::testing::Network;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::with_seed(7);
/// network.set_latency(Duration::from_millis(10)..Duration::from_millis(30));
/// network.set_loss(0.01);
/// let (client, server): (IpAddr, IpAddr) = ("10.0.0.1".parse()?, "10.0.0.2".parse()?);
/// network.between(client, server).cut();
/// network.heal_all();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
    home: Option<IpAddr>,
}

struct Inner {
    places: Mutex<Places>,
    conditions: Mutex<NetworkConditions>,
}

impl Default for Network {
    fn default() -> Self {
        Self::with_seed(0)
    }
}

impl Network {
    /// Creates an empty network.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a network with a seed other than 0, in which other packets are lost and late.
    pub fn with_seed(seed: u64) -> Self {
        let conditions = NetworkConditions { paths: Paths::default(), rng: SmallRng::seed_from_u64(seed) };
        let inner = Inner { places: Mutex::default(), conditions: Mutex::new(conditions) };
        Self { inner: Arc::new(inner), home: None }
    }

    /// Returns the same network as seen from a host with this address. Servers and channels that are given the result
    /// are on that host. They bind the host's address in place of the unspecified address (which channels always bind)
    /// or the loopback address.
    #[must_use]
    pub fn host(&self, ip: impl Into<IpAddr>) -> Self {
        Self { inner: self.inner.clone(), home: Some(ip.into()) }
    }

    /// Sets the latency of packets in one direction. It is drawn for each packet, so packets overtake each other. An
    /// empty range stands for its start. Zero at first.
    pub fn set_latency(&self, latency: Range<Duration>) {
        self.conditions().paths.usual.latency = latency;
    }

    /// Sets the share of packets that are lost. 0 at first.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    pub fn set_loss(&self, share: f64) {
        assert!((0.0..=1.0).contains(&share), "the share of lost packets must be between 0 and 1");
        self.conditions().paths.usual.loss = share;
    }

    /// Returns the paths between two places, in both directions.
    pub fn between(&self, one: impl Into<Place>, other: impl Into<Place>) -> Between {
        Between::new(self.clone(), Way { from: one.into(), to: other.into() })
    }

    /// Returns the paths between this place and all others.
    pub fn around(&self, place: impl Into<Place>) -> Between {
        self.between(place, Place::Anywhere)
    }

    /// Cuts all paths between the places on one side and those on the other.
    pub fn partition<P: Into<Place> + Copy>(&self, one: &[P], other: &[P]) {
        for left in one {
            for right in other {
                self.between(*left, *right).cut();
            }
        }
    }

    /// Undoes all cuts. Latencies, losses and frozen places stay as they are.
    pub fn heal_all(&self) {
        self.conditions().paths.heal_all();
    }

    /// Freezes a place: it sends and receives nothing, but keeps its connections. The timers of its connections stand
    /// still, as in a stopped process. Code that runs at the place goes on, and does not notice.
    pub fn freeze(&self, place: impl Into<Place>) {
        self.conditions().paths.freeze(place.into());
    }

    /// Undoes [`freeze`](Self::freeze), for this place and all within it. Timers that should have fired in the meantime
    /// fire now: a connection that has received nothing for its idle timeout is given up.
    pub fn thaw(&self, place: impl Into<Place>) {
        self.conditions().paths.thaw(place.into());
        for link in self.links() {
            link.with(|_, _| ());
        }
    }

    /// Returns the number of connections with at least one open end, including those that are being dialled.
    pub fn connections(&self) -> usize {
        self.links().iter().filter(|link| !link.look(Pair::is_closed)).count()
    }

    /// Returns the number of streams that an end still keeps: data or acknowledgements are missing, or a handle is
    /// held.
    pub fn open_streams(&self) -> usize {
        self.links().iter().map(|link| link.look(Pair::open_streams)).sum()
    }

    /// Returns the packets and bytes that were sent so far, on all paths.
    pub fn traffic(&self) -> Traffic {
        self.conditions().paths.traffic(Way { from: Place::Anywhere, to: Place::Anywhere })
    }

    pub(super) fn conditions(&self) -> MutexGuard<'_, NetworkConditions> {
        self.inner.conditions.lock()
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Places> {
        self.inner.places.lock()
    }

    /// Returns all connections. The caller drops the last handle of a connection, if it does, without the lock, which
    /// that drop needs.
    pub(super) fn links(&self) -> Vec<Arc<MemoryLink>> {
        self.places().links.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn enter(&self, link: impl FnOnce(u64) -> MemoryLink) -> Arc<MemoryLink> {
        let mut places = self.places();
        let id = places.next_id();
        let link = Arc::new(link(id));
        places.links.insert(id, Arc::downgrade(&link));
        link
    }

    pub(super) fn leave(&self, link: u64) {
        self.places().links.remove(&link);
    }

    /// Offers the connection to the listener at its second address. If it was taken, returns the id of the listening
    /// endpoint too.
    pub(super) fn offer(&self, link: &Arc<MemoryLink>) -> (Offer, Option<u64>) {
        let places = self.places();
        let Some(listener) = places.listeners.get(&link.addrs[1]) else { return (Offer::Ignored, None) };
        if listener.protocols.is_empty() {
            return (Offer::Ignored, None);
        }
        if !listener.protocols.contains(&link.protocol) {
            return (Offer::Refused("the peer does not speak this protocol (ALPN)"), None);
        }
        match listener.backlog.try_send(link.clone()) {
            Ok(()) => (Offer::Taken, Some(listener.id)),
            Err(_) => (Offer::Ignored, None),
        }
    }

    pub(super) fn at_home(&self, addr: SocketAddr) -> SocketAddr {
        match self.home {
            Some(home) if addr.ip().is_unspecified() || addr.ip().is_loopback() => {
                SocketAddr::new(home, addr.port())
            }
            _ => addr,
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.places();
        f.debug_struct("Network")
            .field("home", &self.home)
            .field("addresses", &places.listeners.keys())
            .finish_non_exhaustive()
    }
}

/// Returns the address at which others see a socket: an unspecified address stands for loopback.
pub(super) fn visible(addr: SocketAddr) -> SocketAddr {
    let ip = addr.ip().to_canonical();
    SocketAddr::new(if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }, addr.port())
}

/// The conditions of all paths, and their random generator.
pub(super) struct NetworkConditions {
    pub(super) paths: Paths,
    rng: SmallRng,
}

impl NetworkConditions {
    pub(super) fn carry(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        self.paths.carry(from, to, bytes, now, &mut self.rng)
    }

    /// Decides whether a packet arrives whose time has come.
    pub(super) fn passes(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        let passes = self.paths.passes(from, to);
        if !passes {
            self.paths.lose(from, to);
        }
        passes
    }
}

#[derive(Default)]
pub(super) struct Places {
    /// By the address at which others see the listener.
    listeners: BTreeMap<SocketAddr, Listener>,
    links: BTreeMap<u64, Weak<MemoryLink>>,
    next_port: u16,
    next_id: u64,
}

pub(super) struct Listener {
    id: u64,
    protocols: Vec<Vec<u8>>,
    streams: u32,
    backlog: mpsc::Sender<Arc<MemoryLink>>,
}

impl Listener {
    pub(super) fn new(id: u64, backlog: mpsc::Sender<Arc<MemoryLink>>) -> Self {
        Self { id, protocols: Vec::new(), streams: 0, backlog }
    }
}

impl Places {
    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Binds the address. Port 0 takes a free one. Returns `None` if the address or all ports are taken.
    pub(super) fn bind(
        &mut self,
        addr: SocketAddr,
        listener: impl FnOnce(u64) -> Listener,
    ) -> Option<(SocketAddr, u64)> {
        let is_free = |places: &Self, addr| !places.listeners.contains_key(&visible(addr));
        let addr = if addr.port() == 0 {
            let candidate = |_| {
                self.next_port = self.next_port.wrapping_add(1).max(*FREE_PORTS.start());
                let addr = SocketAddr::new(addr.ip(), self.next_port);
                is_free(self, addr).then_some(addr)
            };
            FREE_PORTS.into_iter().find_map(candidate)?
        } else {
            Some(addr).filter(|addr| is_free(self, *addr))?
        };
        let id = self.next_id();
        self.listeners.insert(visible(addr), listener(id));
        Some((addr, id))
    }

    pub(super) fn listen(&mut self, addr: SocketAddr, id: u64, protocols: Vec<Vec<u8>>, streams: u32) {
        if let Some(listener) = self.listeners.get_mut(&visible(addr)).filter(|listener| listener.id == id) {
            listener.protocols = protocols;
            listener.streams = streams;
        }
    }

    /// Returns the number of bidirectional streams that a listener allows.
    pub(super) fn streams(&self, addr: SocketAddr) -> Option<u32> {
        self.listeners.get(&addr).map(|listener| listener.streams)
    }

    /// Frees the address, unless another endpoint has bound it since.
    pub(super) fn close(&mut self, addr: SocketAddr, id: u64) {
        if self.listeners.get(&visible(addr)).is_some_and(|listener| listener.id == id) {
            self.listeners.remove(&visible(addr));
        }
    }
}
