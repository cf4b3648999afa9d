//! A node that goes on at another address.
//!
//! foca knows members by address. To foca, a node that moves becomes another member, and the member at the old address
//! is declared down. The generation tells a move from a restart at another address: a move takes one of the next few
//! generations, a restart takes the time of day.

use std::{net::SocketAddr, time::Instant};

use super::{
    identity::{Identity, Peer},
    node::Node,
};

/// The largest difference in generations by which an identity at another address still counts as the same life.
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
    /// ([`Event::NodeMoved`](super::Event::NodeMoved)).
    ///
    /// Returns false, and changes nothing, if the node has this address already, has left, or has no further
    /// generation.
    ///
    /// Peers know the node by its former identity on existing connections. These connections are of no use any more, so
    /// the driver should close them.
    pub(crate) fn move_to(&mut self, now: Instant, addr: SocketAddr) -> bool {
        let me = self.identity();
        let identity = Identity::new(addr, me.id(), me.generation().saturating_add(1));
        if self.has_left() || identity.addr() == me.addr() || identity.generation() == me.generation() {
            return false;
        }
        self.shared.lock().now = now;
        // No member that is remembered at this node's new address is there any more.
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
