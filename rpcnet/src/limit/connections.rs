//! Bounds on the open connections, in total and for each peer, and the choice of the connection that makes room for a
//! new one.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use crate::lock::Mutex;

/// The divisor of the share that each bound keeps for protocols beside calls. A cluster's gossip must get through to a
/// server that has as many clients as it takes, or the server would be declared dead for being popular.
const RESERVE: usize = 8;
/// The time without calls after which a connection is idle, so that a connection in use is not evicted between two
/// calls.
const IDLE: Duration = Duration::from_millis(100);
/// The time that an idle connection has at least to leave after it was asked to.
const NOTICE: Duration = Duration::from_millis(100);

/// The bounds on open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) total: usize,
    pub(crate) per_peer: usize,
}

/// The reason why a connection is refused, or asked to leave.
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

/// A connection, from the point of view of eviction.
pub(crate) trait Guest: Clone {
    /// Returns the time since which no call is in flight on the connection; `None` while there is one.
    fn idle_since(&self) -> Option<Instant>;
}

/// A peer: a certificate's name, and an IP address.
type Peer = (Box<str>, IpAddr);

/// An admitted connection, and the connections that have to make room for it.
#[derive(Debug)]
pub(crate) struct AdmittedConnection<G> {
    id: u64,
    /// Connections that have to be asked to leave, each with the bound that was reached.
    pub(crate) leave: Vec<(G, ConnectionRefused)>,
    /// Connections that were asked to leave earlier, and have to be closed now.
    pub(crate) close: Vec<G>,
}

#[derive(Debug)]
struct SlotEntry<G> {
    peer: Peer,
    /// Reports whether the connection is idle. `None` for a connection that is never asked to leave.
    guest: Option<G>,
    /// The time at which the connection was asked to leave.
    leaves: Option<Instant>,
}

/// The ids of connections. Those that were asked to leave do not count as standing.
#[derive(Debug, Default)]
struct Ids {
    standing: HashSet<u64>,
    leaving: HashSet<u64>,
}

/// The table of open connections. Sans-io.
#[derive(Debug)]
struct ConnectionTable<G> {
    bounds: Bounds,
    next: u64,
    places: HashMap<u64, SlotEntry<G>>,
    all: Ids,
    /// Peers without connections are removed, so there are never more peers than connections.
    peers: HashMap<Peer, Ids>,
}

impl<G: Guest> ConnectionTable<G> {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, next: 0, places: HashMap::new(), all: Ids::default(), peers: HashMap::new() }
    }

    /// Admits a connection. With `reserved`, a share of the bounds is kept for other protocols. For each bound that is
    /// reached, the connection that was idle longest has to leave. If there is none, nothing changes.
    fn admit(
        &mut self,
        peer: &Peer,
        reserved: bool,
        now: Instant,
    ) -> Result<AdmittedConnection<G>, ConnectionRefused> {
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
        Ok(AdmittedConnection { id, leave, close })
    }

    /// Finds a connection of these that can leave. If as many as allowed are leaving already, one of those is closed.
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

    /// Returns the leaving connection that was asked first, if it is idle and had time to leave.
    fn told_first(&self, ids: &Ids, now: Instant, go: &Going) -> Option<u64> {
        let told = ids.leaving.iter().filter(|id| !go.close.contains(id) && self.idle(**id).is_some());
        let (since, first) = told.filter_map(|id| Some((self.places.get(id)?.leaves?, *id))).min()?;
        (now.saturating_duration_since(since) >= NOTICE).then_some(first)
    }

    fn idle(&self, id: u64) -> Option<Instant> {
        self.places.get(&id)?.guest.as_ref()?.idle_since()
    }

    /// Marks the connection as asked to leave.
    fn leaves(&mut self, id: u64, now: Instant) -> Option<G> {
        let place = self.places.get_mut(&id)?;
        place.leaves = Some(now);
        for ids in [&mut self.all, self.peers.get_mut(&place.peer)?] {
            ids.standing.remove(&id);
            ids.leaving.insert(id);
        }
        place.guest.clone()
    }

    /// Removes a connection that has ended.
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

/// The connections that leave or are closed for a new one.
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

/// Returns the number of connections that may be leaving at a time, in addition to those that stand.
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

    /// Admits a connection of the peer with this name and address. It counts until the returned slot is dropped. With
    /// `reserved`, a share of the bounds is kept for other protocols. The caller has to tell the connections that make
    /// room.
    pub(crate) fn admit(
        &self,
        name: &str,
        address: IpAddr,
        reserved: bool,
        now: Instant,
    ) -> Result<(ConnectionSlot<G>, AdmittedConnection<G>), ConnectionRefused> {
        let peer = (Box::from(name), address);
        let place = lock(&self.table).admit(&peer, reserved, now)?;
        Ok((ConnectionSlot { table: self.table.clone(), id: place.id }, place))
    }
}

/// The slot of an open connection. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct ConnectionSlot<G: Guest> {
    table: Arc<Mutex<ConnectionTable<G>>>,
    id: u64,
}

impl<G: Guest> ConnectionSlot<G> {
    /// Sets the connection's guest. From now on the connection may be asked to leave while the guest is idle.
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
