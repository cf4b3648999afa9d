//! How many connections stand, in all and of one peer.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Of each bound this share, as a divisor, is kept for protocols beside calls: a cluster's gossip must get through to
/// a server that has as many clients as it takes, or it would be declared dead for being popular.
const RESERVE: usize = 8;

/// How many connections may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) total: usize,
    pub(crate) per_peer: usize,
}

/// Why a connection is closed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("too many connections: this server takes {0} in all (with_max_connections)")]
    Total(usize),
    #[error(
        "too many connections from this peer: the server takes {0} of each (with_max_connections_per_peer)"
    )]
    Peer(usize),
}

impl Refused {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Total(_) => "total",
            Self::Peer(_) => "peer",
        }
    }
}

/// A peer is a certificate's name at an IP address.
type Peer = (Box<str>, IpAddr);

/// The connections that stand. Sans-io.
#[derive(Debug)]
struct Table {
    bounds: Bounds,
    total: usize,
    /// No count is zero, so there are no more peers than connections.
    peers: HashMap<Peer, usize>,
}

impl Table {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, total: 0, peers: HashMap::new() }
    }

    /// Counts one; `reserved` where a part is kept for others.
    fn admit(&mut self, peer: &Peer, reserved: bool) -> Result<(), Refused> {
        let most = |bound: usize| if reserved { bound - bound / RESERVE } else { bound };
        let total = most(self.bounds.total);
        if self.total >= total {
            return Err(Refused::Total(total));
        }
        let per_peer = most(self.bounds.per_peer);
        match self.peers.get_mut(peer) {
            Some(count) if *count >= per_peer => return Err(Refused::Peer(per_peer)),
            Some(count) => *count += 1,
            None => {
                self.peers.insert(peer.clone(), 1);
            }
        }
        self.total += 1;
        Ok(())
    }

    fn release(&mut self, peer: &Peer) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.peers.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(peer);
            }
        }
    }
}

/// Counts connections by guards. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    table: Arc<Mutex<Table>>,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { table: Arc::new(Mutex::new(Table::new(bounds))) }
    }

    /// Counts a connection of the peer of this name at this address, until what is returned is dropped. `reserved`
    /// where a part of the bounds is kept for others.
    pub(crate) fn admit(&self, name: &str, address: IpAddr, reserved: bool) -> Result<Admitted, Refused> {
        let peer = (Box::from(name), address);
        lock(&self.table).admit(&peer, reserved)?;
        Ok(Admitted { table: self.table.clone(), peer })
    }
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Admitted {
    table: Arc<Mutex<Table>>,
    peer: Peer,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        lock(&self.table).release(&self.peer);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn in_all_and_of_one_peer() {
        let connections = Connections::new(Bounds { total: 3, per_peer: 2 });
        let first = connections.admit("a", address(1), false).expect("room");
        let _second = connections.admit("a", address(1), false).expect("room");
        assert_eq!(connections.admit("a", address(1), false).expect_err("full"), Refused::Peer(2));
        let _other = connections.admit("a", address(2), false).expect("elsewhere it is another");
        assert_eq!(connections.admit("b", address(1), false).expect_err("full"), Refused::Total(3));
        drop(first);
        connections.admit("b", address(1), false).expect("room again");
    }

    #[test]
    fn a_part_is_kept_for_others() {
        let connections = Connections::new(Bounds { total: 16, per_peer: 8 });
        let admit = |name, reserved| connections.admit(name, address(1), reserved);
        let mut held: Vec<_> = (0..7).map(|_| admit("a", true).expect("room")).collect();
        assert_eq!(admit("a", true).expect_err("kept"), Refused::Peer(7));
        held.push(admit("a", false).expect("for this it is kept"));
        held.extend((0..6).map(|_| admit("b", true).expect("room")));
        assert_eq!(admit("b", true).expect_err("kept"), Refused::Total(14));
        held.extend((0..2).map(|_| admit("b", false).expect("for this it is kept")));
        assert_eq!(admit("b", false).expect_err("full"), Refused::Total(16));
    }

    #[test]
    fn the_reason_says_what_to_raise() {
        assert!(Refused::Total(1).to_string().contains("with_max_connections)"));
        assert!(Refused::Peer(1).to_string().contains("with_max_connections_per_peer)"));
    }

    proptest! {
        /// Whatever comes and goes: no more than the bounds, and in the end nothing.
        #[test]
        fn counts_add_up(steps in prop::collection::vec((any::<bool>(), 0u8..4, any::<usize>()), 0..200)) {
            let connections = Connections::new(Bounds { total: 9, per_peer: 4 });
            let mut held: Vec<Admitted> = Vec::new();
            for (comes, who, which) in steps {
                if comes {
                    held.extend(connections.admit("peer", address(who), who % 2 == 0));
                } else if !held.is_empty() {
                    held.swap_remove(which % held.len());
                }
                let table = lock(&connections.table);
                prop_assert_eq!(table.total, held.len());
                prop_assert!(table.total <= 9);
                prop_assert_eq!(table.peers.values().sum::<usize>(), held.len());
                prop_assert!(table.peers.values().all(|count| (1..=4).contains(count)));
            }
            held.clear();
            let table = lock(&connections.table);
            prop_assert!(table.total == 0 && table.peers.is_empty());
        }
    }
}
