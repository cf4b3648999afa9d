//! One end of a connection: its streams, its timers, and what it knows of its own end.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{super::ConnectionError, frame::MemoryFrame, recovery::Recovery, streams::Streams};

/// What tasks wait for. Each is told with the connection's lock held, so that who looks under it misses nothing.
#[derive(Debug, Default)]
pub(super) struct EndSignals {
    /// The connection stands, or has ended.
    pub(super) settled: Notify,
    /// There is a stream to take.
    pub(super) arrived: Notify,
    /// A stream may be opened.
    pub(super) room: Notify,
    pub(super) datagrams: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndPhase {
    /// The peer's first packet has yet to come.
    Absent,
    Handshake,
    Open,
}

/// What has to be done now.
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
    /// What the peer is answered once this end is no more.
    pub(super) farewell: Option<MemoryFrame>,
    pub(super) streams: Streams,
    pub(super) recovery: Recovery,
    pub(super) datagrams: VecDeque<Bytes>,
    /// Datagrams from here that have not arrived.
    pub(super) datagrams_under_way: usize,
    /// Packets that have arrived.
    pub(super) received: u64,
    /// Numbers of those that are acknowledged, as long as the peer does not know it, and how many there were before.
    pub(super) arrivals: VecDeque<u64>,
    pub(super) known_arrivals: u64,
    pub(super) signals: Arc<EndSignals>,
    idle_timeout: Duration,
    keep_alive: Option<Duration>,
    idle_since: Instant,
    /// Something that wants an acknowledgement was sent since the last packet came.
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

    /// Whether it has timers.
    pub(super) fn is_live(&self) -> bool {
        self.ended.is_none() && self.phase != EndPhase::Absent
    }

    /// A packet has come.
    pub(super) fn heard(&mut self, now: Instant) {
        self.received += 1;
        self.idle_since = now;
        self.alive_since = now;
        self.asked = false;
    }

    /// A packet that wants an acknowledgement leaves (RFC 9000, section 10.1: only the first counts).
    pub(super) fn asks(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.asked, true) {
            self.idle_since = now;
        }
    }

    /// What comes next, and when.
    pub(super) fn deadline(&self) -> Option<(Instant, Due)> {
        if !self.is_live() {
            return None;
        }
        // Section 10.1: not before a few probes have gone unanswered.
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

    /// A keep-alive leaves.
    pub(super) fn keeps_alive(&mut self, now: Instant) {
        self.alive_since = now;
    }

    /// It is over here, for this reason: wakes all.
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
