//! A node that learns its address, and takes it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::MutexGuard,
};

use tracing::{error, info};

use super::{
    advertise::Advertise,
    driver::{Gossip, now},
    local_route,
    start::call_addr,
};
use crate::swim::{CALL_ADDR, Identity, Member, Node};

impl Gossip {
    fn advertise(&self) -> MutexGuard<'_, Advertise> {
        self.advertise.lock()
    }

    /// Returns the address at which others reach this node, if it is known.
    pub(super) fn own_addr(&self) -> Option<SocketAddr> {
        self.advertise().addr()
    }

    /// Takes the local address of the route towards a peer, if it is better than the present one.
    pub(super) fn look_towards(&self, peer: SocketAddr) {
        let mut advertise = self.advertise();
        // Asking the system costs little, but this is called for each member.
        let can_tell = advertise.addr().is_none() || !peer.ip().to_canonical().is_loopback();
        if advertise.is_provisional()
            && can_tell
            && let Some(local) = local_route::towards(peer)
            && advertise.route(local)
        {
            self.take_address(&advertise);
        }
    }

    /// Calls [`look_towards`](Self::look_towards) for each active member.
    pub(super) fn look_towards_all(&self, members: &[Member]) {
        if self.advertise().is_provisional() {
            for member in members.iter().skip(1).filter(|member| member.state().is_active()) {
                self.look_towards(member.identity().addr());
            }
        }
    }

    /// Takes the address at which the first peer sees this node, if it has none yet.
    pub(super) fn assume(&self, observed: IpAddr) {
        let mut advertise = self.advertise();
        if advertise.addr().is_none() && advertise.route(observed) {
            self.take_address(&advertise);
        }
    }

    /// Takes in the address at which a member sees this node.
    pub(super) fn observed_by(&self, peer: &Identity, observed: IpAddr) {
        let mut advertise = self.advertise();
        if advertise.observed(peer.id(), observed, local_route::is_local) {
            self.take_address(&advertise);
        }
    }

    /// Returns whether this node and the other both have the same loopback address, which names another node on each host.
    pub(super) fn is_neighbourly(&self, ours: &Identity, theirs: &Identity) -> bool {
        ours.id() != theirs.id() && ours.addr().ip().is_loopback() && self.advertise().is_provisional()
    }

    /// Makes the advertised address the node's own.
    fn take_address(&self, advertise: &Advertise) {
        let Some(addr) = advertise.addr() else { return };
        let before = self.identity().addr();
        if before.ip().is_unspecified() {
            self.begin_at(addr);
            info!(%addr, "address learnt");
        } else if self.act(|node, now| node.move_to(now, addr)) {
            info!(%addr, %before, "address changed");
            // The peers of these links know this node by its former address.
            self.links.reset();
            self.readers.reset();
        }
        self.tell_call_addr(addr);
        self.wake.notify_one();
        if !local_route::is_local(addr.ip()) {
            self.look_for_rival(addr);
        }
    }

    fn tell_call_addr(&self, own: SocketAddr) {
        let Some(addr) = self.calls.and_then(|calls| call_addr(calls, own)) else { return };
        if let Err(error) = self.set_tag(CALL_ADDR, &addr.to_string()) {
            error!(%addr, %error, "the address for calls can't be told: nobody will call this node");
        }
    }

    /// Gives an address to a node that no peer knows yet: the node is made anew with its generation.
    fn begin_at(&self, addr: SocketAddr) {
        let mut node = self.node();
        let provisional = node.identity();
        let identity = Identity::new(addr, provisional.id(), provisional.generation());
        let mut addressed = Node::new(identity, self.swim.clone(), rand::random(), now());
        for (key, value) in node.tags() {
            // They were allowed before.
            let _ = addressed.set_tag(now(), key, value);
        }
        let _ = addressed.set_services(now(), node.services());
        let all = node.broadcasts().map(|(key, broadcast)| (key.to_owned(), broadcast.clone()));
        addressed.restore_broadcasts(now(), all);
        if node.has_left() {
            addressed.leave(now());
        }
        *node = addressed;
    }
}
