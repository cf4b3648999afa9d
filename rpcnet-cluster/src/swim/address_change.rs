//! A node that goes on at another address.
//!
//! foca knows members by address, so there the node becomes another member, and the one at the old address is declared
//! down. What tells a move from a restart elsewhere is the generation: a move takes one of the next few, a restart the time
//! of day.

use std::{net::SocketAddr, time::Instant};

use super::{
    identity::{Identity, Peer},
    node::Node,
};

/// The most generations by which a life is known to have gone on elsewhere. Beyond, it is taken for another life.
const NEXT: u64 = 16;

impl Identity {
    /// Returns whether this identity continues the life of `earlier` at another address.
    pub(super) fn is_moved_from(&self, earlier: &Self) -> bool {
        let later = self.generation().saturating_sub(earlier.generation());
        self.id() == earlier.id() && self.addr() != earlier.addr() && (1..=NEXT).contains(&later)
    }
}

impl Node {
    /// Goes on at another address, under the next generation. Members, tags and broadcasts stay, and peers follow
    /// ([`Event::NodeMoved`](super::Event::NodeMoved)). Returns whether anything has changed: nothing does at the address
    /// that the node has already, and after it has left.
    ///
    /// Connections on which peers know the node by its former identity are of no use any more: the driver should close
    /// them.
    pub(crate) fn move_to(&mut self, now: Instant, addr: SocketAddr) -> bool {
        let me = self.identity();
        let identity = Identity::new(addr, me.id(), me.generation().saturating_add(1));
        if self.has_left() || identity.addr() == me.addr() || identity.generation() == me.generation() {
            return false;
        }
        self.shared.lock().now = now;
        // A member that is remembered at this node's new address is no longer there.
        let holder = self.view.holder(identity.addr()).map(super::Member::identity);
        self.bury(now, holder.into_iter().collect());
        self.settle(now, None, true);
        self.shared.lock().me = identity;
        match self.foca.change_identity(Peer(identity), self.out.runtime(now)) {
            Ok(()) => self.go_on_as(now, identity),
            Err(error) => tracing::warn!(%error, %identity, "could not go on at another address"),
        }
        self.settle(now, None, false);
        true
    }
}
