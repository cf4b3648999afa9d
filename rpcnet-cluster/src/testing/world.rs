//! Hosts and the events that happen to them, one after the other.
//!
//! This is a discrete-event simulation: a queue of coming events, ordered by time. Nothing in it depends on the clock
//! of the machine or on the order of a hash table, so a seed replays all of it.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};

use super::{
    host::{Host, Outgoing},
    network::{Fault, SimulatedNetwork},
};

/// The most packets that wait for a host that stands still. Beyond, new packets are lost, as in a socket's buffer.
const INBOX: usize = 4096;
/// The most packets that a blocked host holds back. Beyond, the oldest are lost, as with QUIC's datagrams.
const OUTBOX: usize = 4096;

/// Counts of the packets that a host has sent.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct TrafficCounts {
    /// Packets with payload, as datagrams and on streams.
    pub packets: u64,
    /// The payload of these packets in bytes, without the overhead of QUIC, UDP and IP.
    pub bytes: u64,
}

/// The effect of a [`World::step`].
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// This host had an input.
    Host(usize),
    /// Something happened that concerns no running host.
    Nothing,
}

#[derive(Debug)]
enum Happening<P> {
    Resume(usize),
    Arrive { from: usize, to: usize, packet: P },
    Wake(usize),
}

/// An entry of the queue, ordered by time. At one time faults end first, then packets arrive, then timers fire, in the
/// order that drivers need.
struct QueuedEvent<P> {
    at: Duration,
    class: u8,
    sequence: u64,
    happening: Happening<P>,
}

impl<P> QueuedEvent<P> {
    fn key(&self) -> (Duration, u8, u64) {
        (self.at, self.class, self.sequence)
    }
}

impl<P> PartialEq for QueuedEvent<P> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<P> Eq for QueuedEvent<P> {}

impl<P> PartialOrd for QueuedEvent<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for QueuedEvent<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

struct HostSlot<H: Host> {
    host: Option<H>,
    /// The time by which the host's clock has jumped ahead of the world's.
    ahead: Duration,
    /// The earliest wake in the queue. Later wakes are void.
    armed: Option<Duration>,
    paused_until: Duration,
    blocked_until: Duration,
    inbox: VecDeque<H::Packet>,
    outbox: VecDeque<Outgoing<H::Packet>>,
    sent: TrafficCounts,
}

impl<H: Host> HostSlot<H> {
    fn new() -> Self {
        Self {
            host: None,
            ahead: Duration::ZERO,
            armed: None,
            paused_until: Duration::ZERO,
            blocked_until: Duration::ZERO,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            sent: TrafficCounts::default(),
        }
    }
}

/// Hosts on a network under virtual time: the engine of [`Simulation`](super::Simulation), for any [`Host`].
///
/// Hosts are known by index. Time begins at zero and passes only in [`step`](Self::step) and in methods that call it.
pub struct World<H: Host> {
    epoch: Instant,
    now: Duration,
    slots: Vec<HostSlot<H>>,
    queue: BinaryHeap<Reverse<QueuedEvent<H::Packet>>>,
    sequence: u64,
    network: SimulatedNetwork,
    rng: StdRng,
}

impl<H: Host> World<H> {
    /// A world without hosts. The same seed and the same calls lead to the same events.
    #[expect(
        clippy::disallowed_methods,
        reason = "an `Instant` can't be made from a number; only differences matter"
    )]
    pub fn new(seed: u64) -> Self {
        Self {
            epoch: Instant::now(),
            now: Duration::ZERO,
            slots: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            network: SimulatedNetwork::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// The time since the world began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The time on a host's own clock.
    pub fn clock(&self, index: usize) -> Instant {
        let ahead = self.slots.get(index).map_or(Duration::ZERO, |slot| slot.ahead);
        self.epoch + self.now + ahead
    }

    /// The world's source of random numbers.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// Starts a host. A host that runs under this index is removed as if it had crashed.
    pub fn start(&mut self, index: usize, host: H) {
        while self.slots.len() <= index {
            self.slots.push(HostSlot::new());
        }
        self.stop(index);
        self.slots[index].host = Some(host);
        self.flush(index);
    }

    /// Ends a host at once, and returns it.
    pub fn stop(&mut self, index: usize) -> Option<H> {
        let slot = self.slots.get_mut(index)?;
        slot.armed = None;
        slot.paused_until = Duration::ZERO;
        slot.blocked_until = Duration::ZERO;
        slot.inbox.clear();
        slot.outbox.clear();
        slot.host.take()
    }

    /// The host of this index, if it runs.
    pub fn host(&self, index: usize) -> Option<&H> {
        self.slots.get(index)?.host.as_ref()
    }

    /// The hosts that run, by index.
    pub fn hosts(&self) -> impl Iterator<Item = (usize, &H)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.host.as_ref()?)))
    }

    /// The packets that the host of this index has sent, in all its lives.
    pub fn sent(&self, index: usize) -> TrafficCounts {
        self.slots.get(index).map(|slot| slot.sent).unwrap_or_default()
    }

    /// Gives a host an input, at its own time. Returns `None` if the host does not run.
    pub fn with<T>(&mut self, index: usize, input: impl FnOnce(&mut H, Instant) -> T) -> Option<T> {
        let now = self.clock(index);
        let host = self.slots.get_mut(index)?.host.as_mut()?;
        let result = input(host, now);
        self.flush(index);
        Some(result)
    }

    /// Begins a fault, which ends by itself.
    pub fn impose(&mut self, fault: Fault, lasting: Duration) {
        let until = self.now.saturating_add(lasting);
        self.network.expire(self.now);
        match fault {
            Fault::Pause(index) | Fault::Block(index) => {
                let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.host.is_some()) else { return };
                let end = match fault {
                    Fault::Pause(_) => &mut slot.paused_until,
                    _ => &mut slot.blocked_until,
                };
                *end = until.max(*end);
                self.push(until, Happening::Resume(index));
            }
            fault => self.network.impose(fault, until),
        }
    }

    /// Ends all faults.
    pub fn heal(&mut self) {
        self.network.heal();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.paused_until > self.now || slot.blocked_until > self.now {
                slot.paused_until = self.now;
                slot.blocked_until = self.now;
                self.push(self.now, Happening::Resume(index));
            }
        }
    }

    /// Puts a host's clock forward: timers that were due in between are due at once.
    pub fn jump_clock(&mut self, index: usize, by: Duration) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.ahead += by;
            self.arm(index);
        }
    }

    /// Does the next thing that is to happen until `end`. If there is none, sets the time to `end` and returns `None`.
    pub fn step(&mut self, end: Duration) -> Option<Step> {
        loop {
            if self.queue.peek().is_none_or(|Reverse(entry)| entry.at > end) {
                self.now = self.now.max(end);
                return None;
            }
            let Reverse(QueuedEvent { at, happening, .. }) = self.queue.pop()?;
            self.now = self.now.max(at);
            return Some(match happening {
                Happening::Resume(index) => self.resume(index),
                Happening::Arrive { from, to, packet } => self.arrive(from, to, packet),
                Happening::Wake(index) => {
                    let slot = &mut self.slots[index];
                    if slot.armed != Some(at) {
                        continue;
                    }
                    slot.armed = None;
                    self.wake(index)
                }
            });
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end).is_some() {}
    }

    fn resume(&mut self, index: usize) -> Step {
        let slot = &mut self.slots[index];
        if slot.host.is_none() || slot.paused_until > self.now || slot.blocked_until > self.now {
            return Step::Nothing;
        }
        for outgoing in std::mem::take(&mut slot.outbox) {
            self.dispatch(index, outgoing);
        }
        let inbox = std::mem::take(&mut self.slots[index].inbox);
        for packet in inbox {
            self.with(index, |host, now| host.receive(now, packet));
        }
        self.wake(index)
    }

    fn arrive(&mut self, from: usize, to: usize, packet: H::Packet) -> Step {
        if self.network.is_cut(self.now, from, to) {
            return Step::Nothing;
        }
        let now = self.now;
        let Some(slot) = self.slots.get_mut(to).filter(|slot| slot.host.is_some()) else {
            return Step::Nothing;
        };
        if slot.paused_until > now || slot.blocked_until > now {
            if slot.inbox.len() < INBOX {
                slot.inbox.push_back(packet);
            }
            return Step::Nothing;
        }
        self.with(to, |host, now| host.receive(now, packet));
        Step::Host(to)
    }

    fn wake(&mut self, index: usize) -> Step {
        let now = self.clock(index);
        let slot = &self.slots[index];
        // A paused host is woken when it goes on.
        let due = slot.paused_until <= self.now
            && slot.host.as_ref().and_then(Host::next_timer).is_some_and(|timer| timer <= now);
        if !due {
            self.arm(index);
            return Step::Nothing;
        }
        self.with(index, |host, now| host.fire(now));
        Step::Host(index)
    }

    /// Sends the host's packets, and arms its next timer.
    fn flush(&mut self, index: usize) {
        while let Some(outgoing) = self.slots[index].host.as_mut().and_then(Host::poll_send) {
            let slot = &mut self.slots[index];
            if slot.blocked_until > self.now || slot.paused_until > self.now {
                if slot.outbox.len() >= OUTBOX {
                    slot.outbox.pop_front();
                }
                slot.outbox.push_back(outgoing);
            } else {
                self.dispatch(index, outgoing);
            }
        }
        self.arm(index);
    }

    fn dispatch(&mut self, from: usize, outgoing: Outgoing<H::Packet>) {
        let Outgoing { to, packet, length, reliable } = outgoing;
        let sent = &mut self.slots[from].sent;
        sent.packets += u64::from(length > 0);
        sent.bytes += length as u64;
        let mut arrivals = self.network.fate(&mut self.rng, self.now, (from, to), reliable);
        let Some(first) = arrivals.next() else { return };
        if let Some(second) = arrivals.next() {
            self.push(self.now + second, Happening::Arrive { from, to, packet: packet.clone() });
        }
        self.push(self.now + first, Happening::Arrive { from, to, packet });
    }

    fn arm(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(timer) = slot.host.as_ref().and_then(Host::next_timer) else { return };
        if slot.paused_until > self.now {
            return;
        }
        let due = timer.saturating_duration_since(self.epoch + slot.ahead).max(self.now);
        if slot.armed.is_none_or(|armed| due < armed) {
            slot.armed = Some(due);
            self.push(due, Happening::Wake(index));
        }
    }

    fn push(&mut self, at: Duration, happening: Happening<H::Packet>) {
        let class = match happening {
            Happening::Resume(_) => 0,
            Happening::Arrive { .. } => 1,
            Happening::Wake(_) => 2,
        };
        self.sequence += 1;
        self.queue.push(Reverse(QueuedEvent { at, class, sequence: self.sequence, happening }));
    }
}

impl<H: Host> fmt::Debug for World<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("hosts", &self.hosts().count())
            .field("under_way", &self.queue.len())
            .finish_non_exhaustive()
    }
}
