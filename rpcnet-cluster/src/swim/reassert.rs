//! Holding this node's place against another node with its address or id.

use std::time::Instant;

use super::{
    identity::{Identity, Peer},
    node::Node,
};

impl Node {
    /// Takes a later generation than `rival`, another node with this node's address or id that has been told to stop.
    /// Otherwise the other members would take this node for an earlier life of the rival. Does nothing if this node's
    /// generation is later already.
    pub(crate) fn reassert(&mut self, now: Instant, rival: Identity) {
        let me = self.identity();
        if self.has_left() || rival.generation() < me.generation() {
            return;
        }
        self.shared.lock().now = now;
        let identity = me.with_generation(rival.generation().saturating_add(1));
        if !identity.is_newer_than(&rival) {
            tracing::error!(%identity, %rival, "out of generations");
            return;
        }
        self.shared.lock().me = identity;
        match self.foca.change_identity(Peer(identity), self.out.runtime(now)) {
            Ok(()) => self.renewed(now, identity, None),
            Err(error) => tracing::warn!(%error, %identity, "could not take a later generation"),
        }
        self.settle(now, None, false);
    }
}
