//! A simulated cluster: virtual time, a network with seeded latency and loss, and operations that break things.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::swim::{Config, Delivery, Event, Identity, MemberState, Node, NodeId};

/// The start of virtual time.
#[expect(
    clippy::disallowed_methods,
    reason = "an `Instant` can't be made from a number; only differences matter"
)]
pub(in crate::swim) fn epoch() -> Instant {
    Instant::now()
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

struct Packet {
    from: Identity,
    to: usize,
    payload: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) at: Duration,
    pub(super) by: usize,
    pub(super) event: Event,
}

pub(super) struct Sim {
    start: Instant,
    pub(super) now: Instant,
    config: Config,
    pub(super) nodes: BTreeMap<usize, Node>,
    queue: BTreeMap<(Instant, u64), Packet>,
    sent: u64,
    rng: StdRng,
    pub(super) loss: f64,
    /// Nodes of different groups can't reach each other.
    groups: BTreeMap<usize, usize>,
    pub(super) trace: Vec<Seen>,
    pub(super) largest_datagram: usize,
    /// The driver's part: which node to announce to while isolated.
    seed_node: usize,
    next_announce: BTreeMap<usize, Instant>,
}

impl Sim {
    pub(super) fn new(seed: u64, config: Config) -> Self {
        let start = epoch();
        Self {
            start,
            now: start,
            config,
            nodes: BTreeMap::new(),
            queue: BTreeMap::new(),
            sent: 0,
            rng: StdRng::seed_from_u64(seed),
            loss: 0.0,
            groups: BTreeMap::new(),
            trace: Vec::new(),
            largest_datagram: 0,
            seed_node: 0,
            next_announce: BTreeMap::new(),
        }
    }

    /// `count` nodes that join through node 0, run for `warm_up`.
    pub(super) fn cluster(seed: u64, config: Config, count: usize, warm_up: Duration) -> Self {
        let mut sim = Self::new(seed, config);
        for index in 0..count {
            sim.start(index, 1);
        }
        sim.run(warm_up);
        sim
    }

    pub(super) fn identity(index: usize, generation: u64) -> Identity {
        Self::identity_with(index, index as u128 + 1, generation)
    }

    fn identity_with(index: usize, id: u128, generation: u64) -> Identity {
        let addr = format!("10.0.{}.{}:7946", index / 250, index % 250 + 1);
        Identity::new(addr.parse().unwrap(), NodeId::from_u128(id), generation)
    }

    pub(super) fn start(&mut self, index: usize, generation: u64) {
        self.start_as(index, Self::identity(index, generation));
    }

    /// Starts a node that comes back at its address with a new id.
    pub(super) fn start_anew(&mut self, index: usize, id: u128, generation: u64) {
        self.start_as(index, Self::identity_with(index, id, generation));
    }

    pub(super) fn start_as(&mut self, index: usize, identity: Identity) {
        let seed = self.rng.random();
        let node = Node::new(identity, self.config.clone(), seed, self.now);
        self.nodes.insert(index, node);
        self.next_announce.insert(index, self.now);
    }

    pub(super) fn crash(&mut self, index: usize) {
        self.nodes.remove(&index);
        self.next_announce.remove(&index);
    }

    pub(super) fn partition(&mut self, groups: &[&[usize]]) {
        self.groups.clear();
        for (group, members) in groups.iter().enumerate() {
            for member in *members {
                self.groups.insert(*member, group);
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.groups.clear();
    }

    /// Calls an input of a node and delivers its outputs.
    pub(super) fn with<T>(&mut self, index: usize, input: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let node = self.nodes.get_mut(&index).unwrap();
        let result = input(node, self.now);
        self.flush(index);
        result
    }

    fn flush(&mut self, index: usize) {
        let node = self.nodes.get_mut(&index).unwrap();
        let from = node.identity();
        while let Some(event) = node.poll_event() {
            self.trace.push(Seen { at: self.now - self.start, by: index, event });
        }
        while let Some(transmit) = node.poll_transmit() {
            let to = index_of(&transmit.to);
            let latency = Duration::from_micros(self.rng.random_range(200..2000));
            let lost = self.rng.random_bool(self.loss);
            if transmit.delivery == Delivery::Datagram {
                self.largest_datagram = self.largest_datagram.max(transmit.payload.len());
                if lost {
                    continue;
                }
            }
            if self.groups.get(&index) != self.groups.get(&to) {
                continue;
            }
            self.sent += 1;
            let packet = Packet { from, to, payload: transmit.payload };
            self.queue.insert((self.now + latency, self.sent), packet);
        }
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`, for at most `limit`. Returns the time that it took.
    pub(super) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.step(start + limit), "not reached within {limit:?}");
        }
        self.now - start
    }

    /// Does the next thing that happens before `end`. Packets come before timers due at the same time, as for a driver.
    fn step(&mut self, end: Instant) -> bool {
        let packet = self.queue.keys().next().map(|(at, _)| *at);
        let timer = self.nodes.iter().filter_map(|(index, node)| Some((node.poll_timeout()?, *index))).min();
        let announce = self.next_announce.iter().map(|(index, at)| (*at, *index)).min();
        let due = [packet, timer.map(|(at, _)| at), announce.map(|(at, _)| at)];
        let Some(at) = due.into_iter().flatten().min().filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(at);
        if packet == Some(at) {
            self.deliver();
        } else if let Some((_, index)) = timer.filter(|(timer, _)| *timer == at) {
            self.with(index, Node::handle_timeout);
        } else if let Some((_, index)) = announce {
            self.announce(index);
        }
        true
    }

    fn deliver(&mut self) {
        let (_, packet) = self.queue.pop_first().unwrap();
        let cut = self.groups.get(&index_of(&packet.from)) != self.groups.get(&packet.to);
        if cut || !self.nodes.contains_key(&packet.to) {
            return;
        }
        self.with(packet.to, |node, now| {
            node.handle_packet(now, packet.from, &packet.payload).unwrap();
        });
    }

    fn announce(&mut self, index: usize) {
        let again = self.now + secs(1);
        self.next_announce.insert(index, again);
        let seed = if index == self.seed_node { 1 } else { self.seed_node };
        let Some(seed) = self.nodes.get(&seed).map(Node::identity) else {
            return;
        };
        if self.nodes[&index].is_isolated() && index != self.seed_node {
            self.with(index, |node, now| node.announce(now, seed));
        }
    }

    pub(super) fn active_at(&self, index: usize) -> usize {
        self.nodes[&index].members().filter(|member| member.state().is_active()).count()
    }

    pub(super) fn all_list(&self, count: usize) -> bool {
        self.nodes
            .iter()
            .filter(|(_, node)| !node.has_left())
            .all(|(index, _)| self.active_at(*index) == count)
    }

    pub(super) fn all_see_tag(&self, of: usize, key: &str, value: Option<&str>) -> bool {
        let id = self.nodes[&of].identity().id();
        self.nodes.values().all(|node| {
            node.member(id).is_some_and(|member| member.tags().get(key).map(String::as_str) == value)
        })
    }

    pub(super) fn state_at(&self, by: usize, of: usize) -> Option<MemberState> {
        self.nodes[&by].member(NodeId::from_u128(of as u128 + 1)).map(|member| member.state())
    }

    /// The events that `by` saw of the node `of`, from `since` on.
    pub(super) fn seen(&self, by: usize, of: usize, since: Duration) -> Vec<&'static str> {
        let id = NodeId::from_u128(of as u128 + 1);
        self.trace
            .iter()
            .filter(|seen| seen.by == by && seen.at >= since)
            .filter_map(|seen| {
                let (name, member) = match &seen.event {
                    Event::NodeJoined(member) => ("joined", member),
                    Event::NodeSuspect(member) => ("suspect", member),
                    Event::NodeRecovered(member) => ("recovered", member),
                    Event::NodeFailed(member) => ("failed", member),
                    Event::NodeLeft(member) => ("left", member),
                    Event::NodeMoved { member, .. } => ("moved", member),
                    Event::TagsChanged(member) => ("tags", member),
                    _ => return None,
                };
                (member.id() == id).then_some(name)
            })
            .collect()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

fn index_of(identity: &Identity) -> usize {
    match identity.addr().ip() {
        std::net::IpAddr::V4(ip) => {
            let [_, _, high, low] = ip.octets();
            usize::from(high) * 250 + usize::from(low) - 1
        }
        std::net::IpAddr::V6(_) => unreachable!("the simulator has no IPv6"),
    }
}
