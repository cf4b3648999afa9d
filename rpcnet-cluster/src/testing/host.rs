//! What a world may consist of: state machines without input or output.

use std::time::Instant;

/// One process of a [`World`](super::engine::World): a protocol without input or output, in quinn-proto's shape.
///
/// After every input the world takes what [`poll_send`](Self::poll_send) has, and asks for the next timer.
pub trait Host {
    /// What hosts send each other. A duplicated packet is a clone.
    type Packet: Clone;

    /// Takes a packet in. `now` is this host's own clock, here as everywhere.
    fn receive(&mut self, now: Instant, packet: Self::Packet);

    /// Fires all timers that are due.
    fn fire(&mut self, now: Instant);

    /// When [`fire`](Self::fire) is to be called next. An instant that has passed means at once.
    fn next_timer(&self) -> Option<Instant>;

    /// The next packet to send.
    fn poll_send(&mut self) -> Option<Outgoing<Self::Packet>>;
}

/// A packet on its way out of a host.
#[derive(Clone, Debug)]
pub struct Outgoing<P> {
    /// The index of the receiving host. One that does not exist gets nothing.
    pub to: usize,
    /// The packet.
    pub packet: P,
    /// Its payload in bytes, for the count of the [`TrafficCounts`](super::engine::TrafficCounts).
    pub length: usize,
    /// Whether it is sent again when it is lost, as on a QUIC stream. Such a packet is late where another is lost; across
    /// a cut it is lost all the same, as senders give up in the end.
    pub reliable: bool,
}
