//! Who is where in a network in memory, and what the network does to packets.

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

/// Where ports are taken from that nobody has asked for (RFC 6335, section 6).
const FREE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A network within this process: servers and channels that are given the same one reach each other by the
/// addresses that they bind, without sockets and certificates.
///
/// At first packets arrive at once, and all of them. It can be made slow and lossy, as a whole or [between](Self::between)
/// some, it can be cut, and hosts can be frozen. What was sent over a cut is lost; streams send it again, as QUIC does,
/// and as late as QUIC does: after a cut that lasted long, up to as long again, unless something new is sent.
///
/// Time is tokio's, and meant to be paused; its timers have a resolution of one millisecond. What is random comes from
/// one seed: on a paused runtime of one thread two runs lose and delay the same packets, as far as what runs on it
/// sends them in the same order. (rpcnet draws its pauses between dials, and its choice among equal servers, from
/// elsewhere. Nothing here is promised bit for bit.)
///
/// Cheap to clone; clones are the same network.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
    home: Option<IpAddr>,
}

struct Inner {
    places: Mutex<Places>,
    weather: Mutex<Weather>,
}

impl Default for Network {
    fn default() -> Self {
        Self::with_seed(0)
    }
}

impl Network {
    /// An empty network.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another seed than 0, so that other packets are lost and late.
    pub fn with_seed(seed: u64) -> Self {
        let weather = Weather { paths: Paths::default(), rng: SmallRng::seed_from_u64(seed) };
        let inner = Inner { places: Mutex::default(), weather: Mutex::new(weather) };
        Self { inner: Arc::new(inner), home: None }
    }

    /// The same network, seen from a host with this address: servers and channels that are given it are on that host.
    /// They bind that address wherever they are told to bind any (as channels always are), or the loopback's.
    #[must_use]
    pub fn host(&self, ip: impl Into<IpAddr>) -> Self {
        Self { inner: self.inner.clone(), home: Some(ip.into()) }
    }

    /// How long packets take, one way; drawn for each, so that they overtake each other. An empty range stands for its
    /// start. Nothing at first.
    pub fn set_latency(&self, latency: Range<Duration>) {
        self.weather().paths.usual.latency = latency;
    }

    /// The share of packets that are lost. None at first.
    ///
    /// # Panics
    ///
    /// Where it is not between 0 and 1.
    pub fn set_loss(&self, share: f64) {
        assert!((0.0..=1.0).contains(&share), "a share is between 0 and 1");
        self.weather().paths.usual.loss = share;
    }

    /// What is between the two, both ways.
    pub fn between(&self, one: impl Into<Place>, other: impl Into<Place>) -> Between {
        Between::new(self.clone(), Way { from: one.into(), to: other.into() })
    }

    /// What is between this place and everybody.
    pub fn around(&self, place: impl Into<Place>) -> Between {
        self.between(place, Place::Anywhere)
    }

    /// Cuts everybody on one side off from everybody on the other.
    pub fn partition<P: Into<Place> + Copy>(&self, one: &[P], other: &[P]) {
        for left in one {
            for right in other {
                self.between(*left, *right).cut();
            }
        }
    }

    /// Undoes all cuts. Latencies and losses stay, and so does who is frozen.
    pub fn heal_all(&self) {
        self.weather().paths.heal_all();
    }

    /// A place that sends and hears nothing, but keeps its connections: their time stands still, as that of a process
    /// that is stopped. (What runs there goes on running; it does not notice.)
    pub fn freeze(&self, place: impl Into<Place>) {
        self.weather().paths.freeze(place.into());
    }

    /// Undoes [`freeze`](Self::freeze), for this place and for those within. What should have happened at the place in the
    /// meantime does so now: a connection that has heard nothing for its idle timeout is given up.
    pub fn thaw(&self, place: impl Into<Place>) {
        self.weather().paths.thaw(place.into());
        for link in self.links() {
            link.with(|_, _| ());
        }
    }

    /// Connections of which an end still stands, those being dialled among them.
    pub fn connections(&self) -> usize {
        self.links().iter().filter(|link| !link.look(Pair::is_closed)).count()
    }

    /// Streams that an end still knows: neither is everything said on them, nor are they all dropped.
    pub fn open_streams(&self) -> usize {
        self.links().iter().map(|link| link.look(Pair::open_streams)).sum()
    }

    /// What has been sent so far, from everywhere to everywhere.
    pub fn traffic(&self) -> Traffic {
        self.weather().paths.traffic(Way { from: Place::Anywhere, to: Place::Anywhere })
    }

    pub(super) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.inner.weather.lock()
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Places> {
        self.inner.places.lock()
    }

    /// All connections. (Those that are dropped meanwhile are so by the caller, without the lock that they need then.)
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

    /// Offers the connection to whoever listens at its second address; whose it is where it was taken.
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

/// How a socket is seen that is bound to any address.
pub(super) fn visible(addr: SocketAddr) -> SocketAddr {
    let ip = addr.ip().to_canonical();
    SocketAddr::new(if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }, addr.port())
}

/// What packets have to expect, and the seed of it.
pub(super) struct Weather {
    pub(super) paths: Paths,
    rng: SmallRng,
}

impl Weather {
    pub(super) fn carry(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        self.paths.carry(from, to, bytes, now, &mut self.rng)
    }

    /// Whether a packet arrives that should now.
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
    /// By the address at which they are seen.
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

    /// Takes the address, or a free port of it; `None` when there is none.
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

    /// Streams with two directions that a listener allows.
    pub(super) fn streams(&self, addr: SocketAddr) -> Option<u32> {
        self.listeners.get(&addr).map(|listener| listener.streams)
    }

    /// Frees the address, unless a successor has taken it.
    pub(super) fn close(&mut self, addr: SocketAddr, id: u64) {
        if self.listeners.get(&visible(addr)).is_some_and(|listener| listener.id == id) {
            self.listeners.remove(&visible(addr));
        }
    }
}
