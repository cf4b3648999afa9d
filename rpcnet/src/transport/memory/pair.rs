//! A connection with both ends and all packets in flight, sans-io.
//!
//! The driver calls [`go_on`](Pair::go_on) with the current time before and after each operation, and when the
//! [deadline](Pair::deadline) has come. The [`Wire`] decides whether and when each packet arrives.

mod operations;
#[cfg(test)]
mod tests;

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use tokio::time::Instant;

use super::{
    super::{ConnectionError, DialOptions},
    end::{Due, EndPhase, LinkEnd},
    frame::{MemoryFrame, StreamId},
};

/// The number of datagrams in flight, and of those that wait to be read. Beyond it, a new datagram in flight is lost;
/// in the queue of the reader, the oldest is dropped.
const DATAGRAMS: usize = 1024;
pub(super) const DATAGRAM_SIZE: usize = 1200;

/// The answer of a listener to a dialler.
pub(super) enum Offer {
    Taken,
    /// No answer: nobody listens, or the backlog is full.
    Ignored,
    Refused(&'static str),
}

/// The network below a connection. Side 0 is the dialler, side 1 the listener.
pub(super) trait Wire {
    /// Returns the time at which a packet arrives that this side sends now; `None` if it is lost.
    fn carry(&mut self, from: usize, bytes: usize, now: Instant) -> Option<Instant>;
    /// Decides whether a packet of this side arrives whose time has come.
    fn passes(&mut self, from: usize) -> bool;
    /// Returns true if this side's timers stand still.
    fn is_frozen(&self, side: usize) -> bool;
    /// Asks the listener, as the first packet has arrived at its address.
    fn offer(&mut self) -> Offer;
}

/// The current time, and the network.
pub(super) struct Io<'a> {
    pub(super) now: Instant,
    pub(super) wire: &'a mut dyn Wire,
}

struct UnderWay {
    at: Instant,
    /// Packets that arrive at the same time keep the order in which they were sent.
    sequence: u64,
    from: usize,
    number: Option<u64>,
    frame: MemoryFrame,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for UnderWay {}

pub(super) struct Pair {
    ends: [LinkEnd; 2],
    under_way: BinaryHeap<Reverse<UnderWay>>,
    sequence: u64,
}

impl Pair {
    /// Creates a connection that side 0 is about to [dial](Self::dial).
    pub(super) fn new(dialler: &DialOptions, listener: &DialOptions, now: Instant) -> Self {
        // The shorter one of the two announced timeouts applies (RFC 9000, section 10.1).
        let idle = dialler.idle_timeout().min(listener.idle_timeout());
        let end = |side, phase, options: &DialOptions| {
            LinkEnd::new(side, phase, options.initial_rtt(), idle, options.keep_alive(), now)
        };
        Self {
            ends: [end(0, EndPhase::Handshake, dialler), end(1, EndPhase::Absent, listener)],
            under_way: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// Sets how many bidirectional streams each side allows the other.
    pub(super) fn agree(&mut self, streams: [u32; 2]) {
        let [dialler, listener] = streams.map(u64::from);
        self.ends[0].streams.agree(listener, dialler);
        self.ends[1].streams.agree(dialler, listener);
    }

    pub(super) fn end(&self, side: usize) -> &LinkEnd {
        &self.ends[side]
    }

    /// Returns true if nothing will ever happen here again.
    pub(super) fn is_over(&self) -> bool {
        self.under_way.is_empty() && self.is_closed()
    }

    /// Returns true if neither end is live.
    pub(super) fn is_closed(&self) -> bool {
        !self.ends.iter().any(LinkEnd::is_live)
    }

    /// Returns the number of streams that at least one end keeps.
    pub(super) fn open_streams(&self) -> usize {
        let [one, other] = &self.ends;
        let only_other = other.streams.open.keys().filter(|id| !one.streams.open.contains_key(id));
        one.streams.open.len() + only_other.count()
    }

    /// Returns the time of the next arrival or timer.
    pub(super) fn deadline(&self, wire: &dyn Wire) -> Option<Instant> {
        let arrival = self.under_way.peek().map(|Reverse(packet)| packet.at);
        let timers = (0..2).filter_map(|side| self.timer(side, wire)).map(|(deadline, _)| deadline);
        arrival.into_iter().chain(timers).min()
    }

    fn timer(&self, side: usize, wire: &dyn Wire) -> Option<(Instant, Due)> {
        self.ends[side].deadline().filter(|_| !wire.is_frozen(side))
    }

    /// Handles everything that is due.
    pub(super) fn go_on(&mut self, io: &mut Io<'_>) {
        loop {
            if self.under_way.peek().is_some_and(|Reverse(packet)| packet.at <= io.now) {
                if let Some(Reverse(packet)) = self.under_way.pop() {
                    self.arrive(packet, io);
                }
                continue;
            }
            let due = (0..2).find_map(|side| {
                let (deadline, due) = self.timer(side, io.wire)?;
                (deadline <= io.now).then_some((side, due))
            });
            match due {
                Some((side, Due::Idle)) => {
                    self.ends[side].end(ConnectionError::TimedOut, Some(MemoryFrame::Forgotten));
                }
                Some((side, Due::Probe)) => self.repeat(side, true, 0, io),
                Some((side, Due::KeepAlive)) => {
                    self.ends[side].keeps_alive(io.now);
                    self.transmit(side, MemoryFrame::Ping, io);
                }
                None => return,
            }
        }
    }

    /// Sends a packet. It is recorded as sent even if the network loses it.
    fn transmit(&mut self, side: usize, frame: MemoryFrame, io: &mut Io<'_>) {
        let end = &mut self.ends[side];
        let number = frame.is_acknowledged().then(|| {
            end.asks(io.now);
            end.recovery.sent(&frame, io.now)
        });
        let is_datagram = matches!(frame, MemoryFrame::Datagram(_));
        let room = !is_datagram || end.datagrams_under_way < DATAGRAMS;
        match io.wire.carry(side, frame.size(), io.now).filter(|_| room) {
            Some(at) => {
                end.datagrams_under_way += usize::from(is_datagram);
                self.sequence += 1;
                let packet = UnderWay { at, sequence: self.sequence, from: side, number, frame };
                self.under_way.push(Reverse(packet));
            }
            None => self.lose(side, number),
        }
    }

    fn lose(&mut self, side: usize, number: Option<u64>) {
        if let Some(number) = number {
            self.ends[side].recovery.lose(number);
        }
    }

    /// Retransmits: after a probe timeout up to two probes, otherwise the packets that are known to be lost as the
    /// later packet `arrived` was acknowledged.
    fn repeat(&mut self, side: usize, probe: bool, arrived: u64, io: &mut Io<'_>) {
        let recovery = &mut self.ends[side].recovery;
        let frames = if probe { recovery.time_out() } else { recovery.take_lost_before(arrived) };
        let mut sent = false;
        for frame in frames {
            // Data of a stream that was reset in the meantime is not retransmitted.
            if let MemoryFrame::Data { stream, .. } = frame
                && self.ends[side].streams.send(stream).is_none_or(|send| send.is_reset())
            {
                self.delivered(side, &frame, io);
                continue;
            }
            sent = true;
            self.transmit(side, frame, io);
        }
        if probe && !sent {
            self.transmit(side, MemoryFrame::Ping, io);
        }
    }

    fn arrive(&mut self, packet: UnderWay, io: &mut Io<'_>) {
        let UnderWay { from, number, frame, .. } = packet;
        let to = 1 - from;
        if matches!(frame, MemoryFrame::Datagram(_)) {
            self.ends[from].datagrams_under_way -= 1;
        }
        if !io.wire.passes(from) {
            return self.lose(from, number);
        }
        if self.ends[to].ended.is_some() {
            // A close is never answered with a close: that would go on forever.
            if number.is_some()
                && let Some(farewell) = self.ends[to].farewell.clone()
            {
                self.transmit(to, farewell, io);
            }
            return;
        }
        if self.ends[to].phase == EndPhase::Absent && matches!(frame, MemoryFrame::Hello) {
            match io.wire.offer() {
                Offer::Taken => self.ends[to].phase = EndPhase::Handshake,
                Offer::Ignored => return self.lose(from, number),
                Offer::Refused(why) => {
                    self.ends[to].received += 1;
                    return self.transmit(to, MemoryFrame::Refuse(why), io);
                }
            }
        }
        let end = &mut self.ends[to];
        end.heard(io.now);
        if let Some(number) = number {
            end.arrivals.push_back(number);
            let count = end.known_arrivals + end.arrivals.len() as u64;
            self.transmit(to, MemoryFrame::Ack(count), io);
        }
        self.apply(to, frame, io);
    }

    fn apply(&mut self, side: usize, frame: MemoryFrame, io: &mut Io<'_>) {
        let end = &mut self.ends[side];
        match frame {
            MemoryFrame::Hello | MemoryFrame::Ping => {}
            MemoryFrame::Welcome => {
                end.phase = EndPhase::Open;
                end.signals.settled.notify_waiters();
                self.transmit(side, MemoryFrame::Confirm, io);
            }
            MemoryFrame::Confirm => {
                end.phase = EndPhase::Open;
                end.signals.settled.notify_waiters();
            }
            MemoryFrame::Refuse(why) => end.end(ConnectionError::Transport(why.into()), None),
            MemoryFrame::Close { code, reason } => end.end(ConnectionError::Closed { code, reason }, None),
            MemoryFrame::Forgotten => end.end(ConnectionError::Reset, None),
            MemoryFrame::Ack(count) => self.acknowledged(side, count, io),
            MemoryFrame::Datagram(datagram) => {
                if end.datagrams.len() == DATAGRAMS {
                    end.datagrams.pop_front();
                }
                end.datagrams.push_back(datagram);
                end.signals.datagrams.notify_waiters();
            }
            MemoryFrame::Streams { kind, limit } => {
                end.streams.allow(kind, limit);
                end.signals.room.notify_waiters();
            }
            MemoryFrame::Data { stream, offset, bytes, end: last } => {
                self.reach(side, stream);
                if let Some(recv) = self.ends[side].streams.recv(stream) {
                    recv.data(offset, bytes, last);
                }
                self.settle(side, stream, io);
            }
            MemoryFrame::Reset { stream, code } => {
                self.reach(side, stream);
                if let Some(recv) = self.ends[side].streams.recv(stream) {
                    recv.reset(code);
                }
                self.settle(side, stream, io);
            }
            MemoryFrame::Stop { stream, code } => {
                self.reach(side, stream);
                if let Some(send) = self.ends[side].streams.send(stream) {
                    send.stopped(code);
                }
            }
            MemoryFrame::Credit { stream, limit } => {
                if let Some(send) = end.streams.send(stream) {
                    send.credited(limit);
                }
            }
        }
    }

    fn acknowledged(&mut self, side: usize, count: u64, io: &mut Io<'_>) {
        let peer = &mut self.ends[1 - side];
        let news = count.saturating_sub(peer.known_arrivals);
        let news = usize::try_from(news).map_or(0, |news| news.min(peer.arrivals.len()));
        let numbers: Vec<_> = peer.arrivals.drain(..news).collect();
        peer.known_arrivals += news as u64;
        for frame in self.ends[side].recovery.acknowledged(&numbers, io.now) {
            self.delivered(side, &frame, io);
        }
        if let Some(largest) = numbers.into_iter().max() {
            self.repeat(side, false, largest, io);
        }
    }

    /// Handles a frame of this side that has arrived, or does not need to arrive any more.
    fn delivered(&mut self, side: usize, frame: &MemoryFrame, io: &mut Io<'_>) {
        if let MemoryFrame::Data { stream, .. } | MemoryFrame::Reset { stream, .. } = frame {
            if let Some(send) = self.ends[side].streams.send(*stream) {
                send.settled();
            }
            self.settle(side, *stream, io);
        }
    }

    fn reach(&mut self, side: usize, stream: StreamId) {
        let end = &mut self.ends[side];
        if end.streams.reach(stream) {
            end.signals.arrived.notify_waiters();
        }
    }

    fn settle(&mut self, side: usize, stream: StreamId, io: &mut Io<'_>) {
        let end = &mut self.ends[side];
        let ended = end.ended.is_some();
        if let Some(news) = end.streams.settle(stream, ended)
            && !ended
        {
            self.transmit(side, news, io);
        }
    }
}
