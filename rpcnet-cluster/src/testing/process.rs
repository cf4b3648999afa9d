//! A node as a process: a node with the part of its driver that joins.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rpcnet::Backoff;

use super::{
    host::{Host, Outgoing},
    links::SimulatedLinks,
};
use crate::swim::{Config, Delivery, Event, Identity, Node, NodeId};

/// The shortest and longest pause between the driver's rounds while a node is alone.
const ALONE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The same while a node is not alone.
const CHECK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// A packet between nodes of a simulation.
#[derive(Clone, Debug)]
pub struct Packet(PacketContent);

#[derive(Clone, Debug)]
enum PacketContent {
    /// A dial, which asks for the identity of the node.
    Hello {
        from: usize,
    },
    Answer(Identity),
    /// Tells the sender of a packet that there is a connection, of which its receiver is the other end.
    Linked(Identity),
    Gossip {
        from: Identity,
        payload: Bytes,
    },
}

/// One life of a simulated node: a [`Node`] that joins through its seeds and looks for them again, as a server's node
/// does.
///
/// The address is the one of index 0, which is 10.0.0.1, plus the index. The port is 7946.
#[derive(Debug)]
pub struct Process {
    node: Node,
    index: usize,
    seeds: BTreeSet<usize>,
    ask_at: Instant,
    was_alone: bool,
    alone: Backoff,
    check: Backoff,
    rng: StdRng,
    links: SimulatedLinks,
    /// Packets that are not gossip and not counted as payload.
    dials: Vec<Outgoing<Packet>>,
    /// The number of packets that the node called malformed. None is expected.
    refused: u64,
}

impl Process {
    /// A process that starts now. `seeds` are the indices of the hosts that it joins through; its own index is skipped.
    pub fn new(
        (index, id, generation): (usize, NodeId, u64),
        config: Config,
        seeds: impl IntoIterator<Item = usize>,
        rng: &mut StdRng,
        now: Instant,
    ) -> Self {
        let identity = Identity::new(address(index), id, generation);
        Self {
            node: Node::new(identity, config, rng.random(), now),
            index,
            seeds: seeds.into_iter().filter(|seed| *seed != index).collect(),
            ask_at: now,
            was_alone: true,
            alone: Backoff::new(ALONE.0, ALONE.1),
            check: Backoff::new(CHECK.0, CHECK.1),
            rng: StdRng::from_rng(rng),
            links: SimulatedLinks::default(),
            dials: Vec::new(),
            refused: 0,
        }
    }

    /// The process's node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The process's node, for inputs of the user. To be called within [`World::with`](super::engine::World::with).
    pub fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Returns the next event of the node.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.node.poll_event()
    }

    /// The number of packets that the node has refused as an error of the sender.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn ask(&mut self, now: Instant) {
        let active: BTreeSet<usize> = self
            .node
            .members()
            .skip(1)
            .filter(|member| member.state().is_active())
            .map(|member| index_of(member.identity().addr()))
            .collect();
        let mut missing = false;
        for &seed in self.seeds.difference(&active) {
            missing = true;
            let packet = Packet(PacketContent::Hello { from: self.index });
            self.dials.push(Outgoing { to: seed, packet, length: 0, reliable: true });
        }
        if !missing {
            self.check.reset();
        }
        let pauses = if self.node.is_isolated() { &mut self.alone } else { &mut self.check };
        self.ask_at = now + pauses.next(&mut self.rng);
    }

    /// Tells the node of its links. Asks at once when the node has become alone, and slows down when it no longer is.
    fn notice(&mut self, now: Instant) {
        if let Some(peers) = self.links.changed(now) {
            self.node.set_linked(peers);
        }
        let alone = self.node.is_isolated();
        if std::mem::replace(&mut self.was_alone, alone) == alone {
            return;
        }
        if alone {
            self.check.reset();
            self.ask_at = now;
        } else {
            self.alone.reset();
            self.ask_at = now + self.check.next(&mut self.rng);
        }
    }
}

impl Host for Process {
    type Packet = Packet;

    fn receive(&mut self, now: Instant, Packet(content): Packet) {
        match content {
            PacketContent::Hello { from } => {
                let packet = Packet(PacketContent::Answer(self.node.identity()));
                self.dials.push(Outgoing { to: from, packet, length: 0, reliable: true });
            }
            PacketContent::Answer(identity) => self.node.announce(now, identity),
            PacketContent::Linked(identity) => self.links.hear(now, &identity),
            PacketContent::Gossip { from, payload } => {
                if self.links.receive(now, &from) {
                    let (to, packet) =
                        (index_of(from.addr()), Packet(PacketContent::Linked(self.node.identity())));
                    self.dials.push(Outgoing { to, packet, length: 0, reliable: true });
                }
                if self.node.handle_packet(now, from, &payload).is_err() {
                    self.refused += 1;
                }
            }
        }
        self.notice(now);
    }

    fn fire(&mut self, now: Instant) {
        self.node.handle_timeout(now);
        self.notice(now);
        if self.ask_at <= now && !self.node.has_left() {
            self.ask(now);
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let ask = (!self.node.has_left() && !self.seeds.is_empty()).then_some(self.ask_at);
        self.node.poll_timeout().into_iter().chain(ask).min()
    }

    fn poll_send(&mut self) -> Option<Outgoing<Packet>> {
        if let Some(dial) = self.dials.pop() {
            return Some(dial);
        }
        let transmit = self.node.poll_transmit()?;
        let length = transmit.payload.len();
        let packet = Packet(PacketContent::Gossip { from: self.node.identity(), payload: transmit.payload });
        let reliable = transmit.delivery == Delivery::Stream;
        Some(Outgoing { to: index_of(transmit.to.addr()), packet, length, reliable })
    }
}

/// Returns the packets by which a node with the identity `from` announces itself to `to`.
pub fn announcement(from: Identity, to: Identity, now: Instant) -> Vec<Bytes> {
    let mut node = Node::new(from, Config::new_local(), 1, now);
    node.announce(now, to);
    std::iter::from_fn(|| node.poll_transmit()).map(|transmit| transmit.payload).collect()
}

fn address(index: usize) -> SocketAddr {
    let bits = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + index as u32 + 1;
    (Ipv4Addr::from(bits), 7946).into()
}

pub(super) fn index_of(addr: SocketAddr) -> usize {
    match addr.ip() {
        IpAddr::V4(ip) => (u32::from(ip) & 0x00ff_ffff) as usize - 1,
        IpAddr::V6(_) => unreachable!("simulated nodes have IPv4 addresses"),
    }
}
