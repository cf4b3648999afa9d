//! One end of a connection: its streams, its timers, and the reason why it ended.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{super::ConnectionError, frame::MemoryFrame, recovery::Recovery, streams::Streams};

/// Events that tasks wait for. They are signalled with the connection's lock held, so that a task that checks the state
/// under the lock misses none.
#[derive(Debug, Default)]
pub(super) struct EndSignals {
    /// The handshake is done, or the connection has ended.
    pub(super) settled: Notify,
    /// The peer has opened a stream.
    pub(super) arrived: Notify,
    /// A stream may be opened.
    pub(super) room: Notify,
    pub(super) datagrams: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndPhase {
    /// The peer's first packet has not arrived yet.
    Absent,
    Handshake,
    Open,
}

/// The kinds of timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Idle,
    Probe,
    KeepAlive,
}

#[derive(Debug)]
pub(super) struct LinkEnd {
    pub(super) phase: EndPhase,
    pub(super) ended: Option<ConnectionError>,
    /// The answer to packets that arrive after this end has ended.
    pub(super) farewell: Option<MemoryFrame>,
    pub(super) streams: Streams,
    pub(super) recovery: Recovery,
    pub(super) datagrams: VecDeque<Bytes>,
    /// The number of datagrams from here that are in flight.
    pub(super) datagrams_under_way: usize,
    /// The number of packets that have arrived.
    pub(super) received: u64,
    /// Numbers of the packets that arrived here, until the peer has received their acknowledgement.
    pub(super) arrivals: VecDeque<u64>,
    /// The number of packets whose acknowledgement the peer has received.
    pub(super) known_arrivals: u64,
    pub(super) signals: Arc<EndSignals>,
    idle_timeout: Duration,
    keep_alive: Option<Duration>,
    idle_since: Instant,
    /// A packet that needs an acknowledgement was sent since the last packet arrived.
    asked: bool,
    alive_since: Instant,
}

impl LinkEnd {
    pub(super) fn new(
        side: usize,
        phase: EndPhase,
        initial_rtt: Duration,
        idle_timeout: Duration,
        keep_alive: Option<Duration>,
        now: Instant,
    ) -> Self {
        Self {
            phase,
            ended: None,
            farewell: None,
            streams: Streams::new(side),
            recovery: Recovery::new(initial_rtt),
            datagrams: VecDeque::new(),
            datagrams_under_way: 0,
            received: 0,
            arrivals: VecDeque::new(),
            known_arrivals: 0,
            signals: Arc::default(),
            idle_timeout,
            keep_alive,
            idle_since: now,
            asked: false,
            alive_since: now,
        }
    }

    /// Returns true if this end has timers.
    pub(super) fn is_live(&self) -> bool {
        self.ended.is_none() && self.phase != EndPhase::Absent
    }

    /// Handles the arrival of a packet.
    pub(super) fn heard(&mut self, now: Instant) {
        self.received += 1;
        self.idle_since = now;
        self.alive_since = now;
        self.asked = false;
    }

    /// Handles the sending of a packet that needs an acknowledgement. Only the first one since the last arrival
    /// restarts the idle timer (RFC 9000, section 10.1).
    pub(super) fn asks(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.asked, true) {
            self.idle_since = now;
        }
    }

    /// Returns the next deadline, and which timer it belongs to.
    pub(super) fn deadline(&self) -> Option<(Instant, Due)> {
        if !self.is_live() {
            return None;
        }
        // RFC 9000, section 10.1: the idle timeout is at least three probe timeouts, so that a few probes can be lost.
        let idle = self.idle_timeout.max(3 * self.recovery.probe_timeout());
        let keep_alive = self.keep_alive.filter(|_| self.phase == EndPhase::Open);
        [
            Some((self.idle_since + idle, Due::Idle)),
            self.recovery.deadline().map(|deadline| (deadline, Due::Probe)),
            keep_alive.map(|every| (self.alive_since + every, Due::KeepAlive)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(deadline, _)| *deadline)
    }

    /// Handles the sending of a keep-alive.
    pub(super) fn keeps_alive(&mut self, now: Instant) {
        self.alive_since = now;
    }

    /// Ends this side of the connection for this reason, and wakes all waiting tasks.
    pub(super) fn end(&mut self, reason: ConnectionError, farewell: Option<MemoryFrame>) {
        self.ended = Some(reason);
        self.farewell = farewell;
        self.recovery.end();
        self.streams.end();
        self.datagrams.clear();
        self.arrivals.clear();
        for signal in
            [&self.signals.settled, &self.signals.arrived, &self.signals.room, &self.signals.datagrams]
        {
            signal.notify_waiters();
        }
    }
}
