//! The parts of a world: state machines without input or output.

use std::time::Instant;

/// One process of a [`World`](super::engine::World): a protocol without input or output, in quinn-proto's shape.
///
/// After every input the world takes all packets of [`poll_send`](Self::poll_send), and asks for the next timer.
pub trait Host {
    /// A packet between hosts. A duplicated packet is a clone.
    type Packet: Clone;

    /// Takes a packet in. In all methods `now` is this host's own clock.
    fn receive(&mut self, now: Instant, packet: Self::Packet);

    /// Fires all timers that are due.
    fn fire(&mut self, now: Instant);

    /// The time at which [`fire`](Self::fire) is to be called next. An instant that has passed means at once.
    fn next_timer(&self) -> Option<Instant>;

    /// The next packet to send.
    fn poll_send(&mut self) -> Option<Outgoing<Self::Packet>>;
}

/// A packet on its way out of a host.
#[derive(Clone, Debug)]
pub struct Outgoing<P> {
    /// The index of the receiving host. A packet to a host that does not exist is dropped.
    pub to: usize,
    /// The packet.
    pub packet: P,
    /// The packet's payload in bytes, for the [`TrafficCounts`](super::engine::TrafficCounts).
    pub length: usize,
    /// True if a lost packet is sent again, as on a QUIC stream. Such a packet arrives late instead of being lost.
    /// Across a cut it is lost all the same, because senders give up in the end.
    pub reliable: bool,
}
