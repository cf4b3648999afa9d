//! A node that holds its place against another one with its address or id.

use std::time::Instant;

use super::{
    identity::{Identity, Peer},
    node::Node,
};

impl Node {
    /// Takes a generation beyond that of `rival`, another node with this one's address or id that has been told to stop:
    /// the others would otherwise take this node for its past. Nothing happens where this generation is later anyway.
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
