//! Bounds on the connections that stand, in all and of one peer, and the choice of the one that makes room for a new one.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use crate::lock::Mutex;

/// Of each bound this share, as a divisor, is kept for protocols beside calls: a cluster's gossip must get through to
/// a server that has as many clients as it takes, or it would be declared dead for being popular.
const RESERVE: usize = 8;
/// A connection without calls for less than this is not idle: one that is used now and then does not go.
const IDLE: Duration = Duration::from_millis(100);
/// For so long an idle connection that was asked to go is waited for, at least.
const NOTICE: Duration = Duration::from_millis(100);

/// How many connections may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) total: usize,
    pub(crate) per_peer: usize,
}

/// Why a connection is closed again, or asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectionRefused {
    #[error(
        "too many connections: this server takes {0} in all (with_max_connections), and none of them is idle"
    )]
    Total(usize),
    #[error(
        "too many connections from this peer: the server takes {0} of each (with_max_connections_per_peer), and none of them is idle"
    )]
    Peer(usize),
}

impl ConnectionRefused {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Total(_) => "total",
            Self::Peer(_) => "peer",
        }
    }
}

/// A connection, as far as its eviction depends on it.
pub(crate) trait Guest: Clone {
    /// Since when no call is at work on it; `None` while one is.
    fn idle_since(&self) -> Option<Instant>;
}

/// A peer is a certificate's name at an IP address.
type Peer = (Box<str>, IpAddr);

/// A new connection may stand.
#[derive(Debug)]
pub(crate) struct Let<G> {
    id: u64,
    /// These are to be asked to go, each for a bound that it had reached.
    pub(crate) leave: Vec<(G, ConnectionRefused)>,
    /// These were asked, and are to be closed.
    pub(crate) close: Vec<G>,
}

#[derive(Debug)]
struct SlotEntry<G> {
    peer: Peer,
    /// Tells whether the connection is idle. `None` for one that is never asked to go.
    guest: Option<G>,
    /// Since when it was asked to go.
    leaves: Option<Instant>,
}

/// Connections by their ids. Those that were asked to go are not counted as standing.
#[derive(Debug, Default)]
struct Ids {
    standing: HashSet<u64>,
    leaving: HashSet<u64>,
}

/// The connections that stand. Sans-io.
#[derive(Debug)]
struct ConnectionTable<G> {
    bounds: Bounds,
    next: u64,
    places: HashMap<u64, SlotEntry<G>>,
    all: Ids,
    /// None is without connections, so there are no more peers than connections.
    peers: HashMap<Peer, Ids>,
}

impl<G: Guest> ConnectionTable<G> {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, next: 0, places: HashMap::new(), all: Ids::default(), peers: HashMap::new() }
    }

    /// Counts one; `reserved` where a part is kept for others. For each bound that is reached, the connection that was idle
    /// longest is to go. Where there is none, all stays as it is.
    fn admit(&mut self, peer: &Peer, reserved: bool, now: Instant) -> Result<Let<G>, ConnectionRefused> {
        let most = |bound: usize| if reserved { bound - bound / RESERVE } else { bound };
        let (total, per_peer) = (most(self.bounds.total), most(self.bounds.per_peer));
        let mut go = Going::default();
        if let Some(ids) = self.peers.get(peer).filter(|ids| ids.standing.len() >= per_peer) {
            self.make_room(ids, self.bounds.per_peer, now, ConnectionRefused::Peer(per_peer), &mut go)?;
        }
        if self.all.standing.len() - go.leave.len() >= total {
            self.make_room(&self.all, self.bounds.total, now, ConnectionRefused::Total(total), &mut go)?;
        }
        let close = go.close.into_iter().filter_map(|id| self.remove(id)).collect();
        let leave =
            go.leave.into_iter().filter_map(|(id, reason)| Some((self.leaves(id, now)?, reason))).collect();
        let id = self.next;
        self.next += 1;
        self.places.insert(id, SlotEntry { peer: peer.clone(), guest: None, leaves: None });
        self.all.standing.insert(id);
        self.peers.entry(peer.clone()).or_default().standing.insert(id);
        Ok(Let { id, leave, close })
    }

    /// Finds one of these to go. Where as many as may be are on their way already, one of those is to be closed.
    fn make_room(
        &self,
        ids: &Ids,
        bound: usize,
        now: Instant,
        refused: ConnectionRefused,
        go: &mut Going,
    ) -> Result<(), ConnectionRefused> {
        let is_going = |id: &u64| go.leave.iter().any(|(other, _)| other == id);
        let idle =
            ids.standing.iter().filter(|id| !is_going(id)).filter_map(|id| Some((self.idle(*id)?, *id)));
        let (since, longest) = idle.min().ok_or(refused)?;
        if now.saturating_duration_since(since) < IDLE {
            return Err(refused);
        }
        for (ids, bound) in [(ids, bound), (&self.all, self.bounds.total)] {
            let closed = go.close.iter().filter(|id| ids.leaving.contains(id)).count();
            if ids.leaving.len() + go.leave.len() - closed >= leaving_at_most(bound) {
                go.close.push(self.told_first(ids, now, go).ok_or(refused)?);
            }
        }
        go.leave.push((longest, refused));
        Ok(())
    }

    /// Of those on their way the one that was asked first, where it is idle and has had some time to go.
    fn told_first(&self, ids: &Ids, now: Instant, go: &Going) -> Option<u64> {
        let told = ids.leaving.iter().filter(|id| !go.close.contains(id) && self.idle(**id).is_some());
        let (since, first) = told.filter_map(|id| Some((self.places.get(id)?.leaves?, *id))).min()?;
        (now.saturating_duration_since(since) >= NOTICE).then_some(first)
    }

    fn idle(&self, id: u64) -> Option<Instant> {
        self.places.get(&id)?.guest.as_ref()?.idle_since()
    }

    /// The connection is asked to go.
    fn leaves(&mut self, id: u64, now: Instant) -> Option<G> {
        let place = self.places.get_mut(&id)?;
        place.leaves = Some(now);
        for ids in [&mut self.all, self.peers.get_mut(&place.peer)?] {
            ids.standing.remove(&id);
            ids.leaving.insert(id);
        }
        place.guest.clone()
    }

    /// The connection is no more.
    fn remove(&mut self, id: u64) -> Option<G> {
        let SlotEntry { peer, guest, .. } = self.places.remove(&id)?;
        self.all.remove(id);
        if let Some(ids) = self.peers.get_mut(&peer) {
            ids.remove(id);
            if ids.standing.is_empty() && ids.leaving.is_empty() {
                self.peers.remove(&peer);
            }
        }
        guest
    }
}

/// Which connections go for a new one.
#[derive(Debug, Default)]
struct Going {
    leave: Vec<(u64, ConnectionRefused)>,
    close: Vec<u64>,
}

impl Ids {
    fn remove(&mut self, id: u64) {
        self.standing.remove(&id);
        self.leaving.remove(&id);
    }
}

/// The number of connections that may be leaving at a time, beside those that stand.
fn leaving_at_most(bound: usize) -> usize {
    (bound / 8).max(8)
}

/// Counts connections by guards. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connections<G> {
    table: Arc<Mutex<ConnectionTable<G>>>,
}

impl<G: Guest> Connections<G> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { table: Arc::new(Mutex::new(ConnectionTable::new(bounds))) }
    }

    /// Counts a connection of the peer of this name at this address, until what is returned is dropped. `reserved`
    /// where a part of the bounds is kept for others. What it lets go is the caller's to tell.
    pub(crate) fn admit(
        &self,
        name: &str,
        address: IpAddr,
        reserved: bool,
        now: Instant,
    ) -> Result<(ConnectionSlot<G>, Let<G>), ConnectionRefused> {
        let peer = (Box::from(name), address);
        let place = lock(&self.table).admit(&peer, reserved, now)?;
        Ok((ConnectionSlot { table: self.table.clone(), id: place.id }, place))
    }
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct ConnectionSlot<G: Guest> {
    table: Arc<Mutex<ConnectionTable<G>>>,
    id: u64,
}

impl<G: Guest> ConnectionSlot<G> {
    /// From now on the connection may be asked to go while this is idle.
    pub(crate) fn is_of(&self, guest: G) {
        if let Some(place) = lock(&self.table).places.get_mut(&self.id) {
            place.guest = Some(guest);
        }
    }
}

impl<G: Guest> Drop for ConnectionSlot<G> {
    fn drop(&mut self) {
        let guest = lock(&self.table).remove(self.id);
        drop(guest);
    }
}

fn lock<G>(table: &Mutex<ConnectionTable<G>>) -> MutexGuard<'_, ConnectionTable<G>> {
    table.lock()
}

#[cfg(test)]
mod tests;
