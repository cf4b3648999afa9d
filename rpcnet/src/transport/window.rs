//! Sizes the windows of a connection: as much in flight as its path holds, within a limit. Sans-io.
//!
//! *Receiving* (RFC 9000, section 4). A window smaller than rate × round-trip time stops the peer in each round trip. A
//! window that is too large lets the peer fill this side's memory. The bytes read in an interval tell how much is
//! needed, as in TCP's dynamic right-sizing (Fisk and Feng, *Dynamic Right-Sizing in TCP*, 2001; Linux'
//! `tcp_rcv_space_adjust`): twice the bytes that are read in a round trip, as the peer's congestion control may double
//! its rate in one. If the window was what held the peer back, this rule doubles it in each round trip, as Chromium's
//! QUIC does (`QuicFlowController`). Only bytes that were *read* count, so a peer that fills the window of a reader who
//! does not read gets no more.
//!
//! The round-trip time is the shortest one of the last minutes. A window that is too large makes a queue, which makes
//! round trips longer. With the latest round-trip time, the window would grow with its own queue. BBR (Cardwell et al.,
//! *BBR: Congestion-Based Congestion Control*, 2016) and LEDBAT (RFC 6817, section 3.4.2) use a minimum for the same
//! reason. BBR empties the queue every ten seconds to measure anew. This side can't do that, so it remembers the
//! minimum for minutes, as LEDBAT does: within minutes there are pauses that empty the queue. Without any pause, the
//! window doubles once in all that time.
//!
//! *Sending.* Bytes that were written and not acknowledged are in memory too. The congestion window tells how much the
//! path holds. As much again may wait behind it: then the congestion window can double in a round trip, and a writer
//! may be a little late. Linux has the same rule (`tcp_sndbuf_expand`). This window never keeps congestion control from
//! growing, and the bytes that it counts drain at the path's rate.
//!
//! Both windows grow at once. They shrink by half after they were twice too large for a while ([`CALM`]).

use std::time::{Duration, Instant};

/// The first receive window of a connection in bytes, if the limit is not smaller.
const FIRST_RECEIVE: u32 = 16 << 20;
/// The number of unread streams that can stop a connection: each stream's window is this part of the connection's first
/// window. The stream windows are fixed, as QUIC has no way to change the window of an open stream, and quinn none to
/// change it for later streams.
const STREAMS: u32 = 8;
/// The first send window of a connection in bytes, if the limit is not smaller.
const FIRST_SEND: u32 = 4 << 20;
/// The bound in bytes below which the send window does not shrink.
const LEAST_SEND: u32 = 1 << 20;
/// The shortest interval in which read bytes are measured. A shorter one would measure how the scheduler gives out
/// turns.
const INTERVAL: Duration = Duration::from_millis(10);
/// The time for which a window must be twice too large before it shrinks.
const CALM: Duration = Duration::from_secs(10);
/// The time for which the shortest round trip counts at least; it counts at most twice as long.
const MEMORY: Duration = Duration::from_secs(300);

/// The windows with which a connection starts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) receive: u32,
    pub(super) stream: u32,
    pub(super) send: u32,
}

impl First {
    pub(super) fn within(limit: u32) -> Self {
        let receive = limit.min(FIRST_RECEIVE);
        Self { receive, stream: receive / STREAMS, send: limit.min(FIRST_SEND) }
    }
}

/// Measurements of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct PathSample {
    /// The bytes that were read here since the connection began.
    pub(super) read: u64,
    pub(super) rtt: Duration,
    pub(super) congestion_window: u64,
}

/// The windows that change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) receive: Option<u32>,
    pub(super) send: Option<u32>,
}

/// Sizes the windows of one connection.
#[derive(Debug)]
pub(super) struct Windows {
    receive: TunedWindow,
    send: TunedWindow,
    shortest: Shortest,
    /// The start of the interval, and the bytes that had been read then.
    began: Instant,
    read: u64,
}

impl Windows {
    /// `rtt` is the handshake's, when no queue had formed yet. `read` bytes were read before.
    pub(super) fn new(limit: u32, now: Instant, rtt: Duration, read: u64) -> Self {
        let first = First::within(limit);
        Self {
            // Never less than the windows of [`STREAMS`] streams.
            receive: TunedWindow::new(first.receive, first.receive, limit, now),
            send: TunedWindow::new(first.send, limit.min(LEAST_SEND), limit, now),
            shortest: Shortest::new(now, rtt),
            began: now,
            read,
        }
    }

    pub(super) fn receive(&self) -> u32 {
        self.receive.size
    }

    pub(super) fn send(&self) -> u32 {
        self.send.size
    }

    /// Takes new measurements. To be called after every few hundred KiB that were read or written.
    pub(super) fn see(&mut self, now: Instant, seen: PathSample) -> Change {
        let send = self.send.aim(now, 2 * u128::from(seen.congestion_window));
        let shortest = self.shortest.see(now, seen.rtt);
        let interval = now.saturating_duration_since(self.began);
        if interval < INTERVAL.max(seen.rtt) {
            return Change { receive: None, send };
        }
        let read = seen.read.saturating_sub(self.read);
        (self.began, self.read) = (now, seen.read);
        let needed = (2 * u128::from(read)).saturating_mul(shortest.as_nanos()) / interval.as_nanos();
        Change { receive: self.receive.aim(now, needed), send }
    }
}

/// One window, and the largest size that was needed lately.
#[derive(Debug)]
struct TunedWindow {
    size: u32,
    least: u32,
    most: u32,
    /// The largest size that was needed since `since`.
    peak: u32,
    since: Instant,
}

impl TunedWindow {
    fn new(size: u32, least: u32, most: u32, now: Instant) -> Self {
        Self { size, least, most, peak: 0, since: now }
    }

    /// Adjusts the window to the needed size. Returns the new size if it changes.
    fn aim(&mut self, now: Instant, needed: u128) -> Option<u32> {
        let needed = u32::try_from(needed).unwrap_or(u32::MAX).clamp(self.least, self.most);
        let more = needed.saturating_sub(self.size);
        // Each step costs a packet to the peer, so small steps are skipped. A step is at most a doubling, so that one
        // wrong measurement costs no more than a factor of two.
        if more > 0 && (more >= self.size / 8 || needed == self.most) {
            self.size = needed.min(self.size.saturating_mul(2));
            (self.peak, self.since) = (0, now);
            return Some(self.size);
        }
        self.peak = self.peak.max(needed);
        if now.saturating_duration_since(self.since) < CALM {
            return None;
        }
        let peak = std::mem::take(&mut self.peak);
        self.since = now;
        if peak > self.size / 2 || self.size == self.least {
            return None;
        }
        self.size = (self.size / 2).max(self.least);
        Some(self.size)
    }
}

/// The shortest round-trip time of the last while, in two halves. The older half is forgotten as a whole.
#[derive(Debug)]
struct Shortest {
    before: Option<Duration>,
    /// The shortest one since `since`.
    current: Duration,
    since: Instant,
}

impl Shortest {
    fn new(now: Instant, rtt: Duration) -> Self {
        Self { before: None, current: rtt, since: now }
    }

    fn see(&mut self, now: Instant, rtt: Duration) -> Duration {
        let age = now.saturating_duration_since(self.since);
        if age >= MEMORY {
            self.before = (age < 2 * MEMORY).then_some(self.current);
            (self.current, self.since) = (rtt, now);
        }
        self.current = self.current.min(rtt);
        self.before.map_or(self.current, |before| before.min(self.current))
    }
}

#[cfg(test)]
mod tests;
