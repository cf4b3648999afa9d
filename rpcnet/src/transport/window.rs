//! How much may be under way on a connection: as much as its path holds, within a limit. Sans-io.
//!
//! *Receiving* (RFC 9000, section 4). A window that is smaller than rate × round-trip time stops the peer in each round
//! trip; one that is larger lets it fill memory of this side to no end. So what was read here in an interval tells how
//! much is needed, as in TCP's dynamic right-sizing (Fisk and Feng, *Dynamic Right-Sizing in TCP*, 2001, which Linux has
//! as `tcp_rcv_space_adjust`): twice of what is read in a round trip, as the peer's congestion control may double its rate
//! in one. Where the window was what held the peer back, this doubles it in each round trip, as Chromium's QUIC does
//! (`QuicFlowController`). It counts what was *read*: a peer that fills the window of a reader who does not read gets none.
//!
//! The round-trip time is the shortest of a while, as in BBR (Cardwell et al., *BBR: Congestion-Based Congestion Control*,
//! 2016) and LEDBAT (RFC 6817, section 3.4.2): a window that is too large makes a queue, which makes round trips longer,
//! and by those the window would grow with its own queue. BBR empties the queue every ten seconds to measure anew; nothing
//! here can, so the while is minutes, as LEDBAT's, in which there are pauses that do. And were there none, one doubling
//! in all that time.
//!
//! *Sending.* What was written and is not acknowledged is in memory too. The congestion window is what congestion control
//! has found the path to hold, so as much again may wait behind it: then it can double in a round trip, and a writer may
//! be late. So does Linux (`tcp_sndbuf_expand`). This window never keeps congestion control from growing, and what it
//! counts drains at the path's rate.
//!
//! Both grow at once, and shrink by half after they were twice too large for a while.

use std::time::{Duration, Instant};

/// What a peer may have sent on a connection that is new, and ever may. Where the limit is less, that.
const FIRST_RECEIVE: u32 = 16 << 20;
/// A reader who reads nothing holds all of a stream's window. It takes so many of them to stop a connection, as QUIC has
/// no way to change the window of a stream that is open, and quinn none to change it for those to come.
const STREAMS: u32 = 8;
const FIRST_SEND: u32 = 4 << 20;
const LEAST_SEND: u32 = 1 << 20;
/// Shorter intervals would measure how the scheduler hands out turns.
const INTERVAL: Duration = Duration::from_millis(10);
/// For so long a window has to be twice too large before it shrinks.
const CALM: Duration = Duration::from_secs(10);
/// For how long at least the shortest round trip counts; twice as long at most.
const MEMORY: Duration = Duration::from_secs(300);

/// What a connection begins with, in bytes.
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

/// What the transport has seen of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct PathSample {
    /// Bytes that were read here, in all.
    pub(super) read: u64,
    pub(super) rtt: Duration,
    pub(super) congestion_window: u64,
}

/// The windows that are to change.
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
    /// When the interval began, and what had been read then.
    began: Instant,
    read: u64,
}

impl Windows {
    /// `rtt` is the handshake's: nothing waited anywhere then. So many bytes were `read` before.
    pub(super) fn new(limit: u32, now: Instant, rtt: Duration, read: u64) -> Self {
        let first = First::within(limit);
        Self {
            // Never less than eight streams may hold.
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

    /// To be told every few hundred KiB that were read or written.
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

/// One window, and what was needed of it.
#[derive(Debug)]
struct TunedWindow {
    size: u32,
    least: u32,
    most: u32,
    /// The most that was needed since then.
    peak: u32,
    since: Instant,
}

impl TunedWindow {
    fn new(size: u32, least: u32, most: u32, now: Instant) -> Self {
        Self { size, least, most, peak: 0, since: now }
    }

    /// So much is needed; gives the new size, where it changes.
    fn aim(&mut self, now: Instant, needed: u128) -> Option<u32> {
        let needed = u32::try_from(needed).unwrap_or(u32::MAX).clamp(self.least, self.most);
        let more = needed.saturating_sub(self.size);
        // A step is a packet to the peer: not for little. And what was measured wrongly once costs a factor of two.
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

/// The shortest of the last round-trip times, in two halves of which the older is forgotten at a time.
#[derive(Debug)]
struct Shortest {
    before: Option<Duration>,
    /// Since then.
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
