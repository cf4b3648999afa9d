//! Tells a dead peer by its silence.
//!
//! A killed process acknowledges nothing, and QUIC declares nothing lost while no acknowledgement comes: until the
//! idle timeout of 30 s such a connection looks well. So while calls wait, and no packet of any kind has come for a
//! while (a second, where only streams are open), the peer is pinged; where nothing comes back within a quarter of a second (or three probe timeouts, RFC
//! 9002, section 6.2.1) it is *silent* and gets no new calls; after three seconds it is dead.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::Session;
use crate::{
    proto::{ControlFrame, close},
    transport::ConnectionError,
};

const TICK: Duration = Duration::from_millis(50);
/// How often a connection on which nothing but streams is at work is looked at.
const STREAM_CHECK: Duration = Duration::from_secs(1);
/// What one tick counts for at most, however late it comes.
const LONGEST_TICK: Duration = Duration::from_millis(100);

/// What the watch has to say at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Packets have come since the last tick.
    Alive,
    /// None has, for a moment.
    Quiet,
    /// Nothing for a while: ask.
    Ping,
    /// Nothing for too long: avoid.
    Silent,
    /// Nothing for ever: give up.
    Dead,
}

/// Sans-io: counts of packets and times in, verdicts out.
#[derive(Debug)]
struct Watch {
    dead_after: Duration,
    packets: u64,
    last: Instant,
    quiet: Duration,
}

impl Watch {
    fn new(dead_after: Duration, packets: u64, now: Instant) -> Self {
        Self { dead_after, packets, last: now, quiet: Duration::ZERO }
    }

    /// Goes on after a time in which nothing was expected, and which does not count. What has come in it does.
    fn resume(&mut self, now: Instant, packets: u64) {
        self.last = now;
        if packets != self.packets {
            self.packets = packets;
            self.quiet = Duration::ZERO;
        }
    }

    fn tick(&mut self, now: Instant, packets: u64, rtt: Duration) -> Verdict {
        // While this process was stopped or starved it could not hear: that is no silence of the peer's.
        let heard = now.saturating_duration_since(self.last).min(LONGEST_TICK);
        self.last = now;
        if packets != self.packets {
            self.packets = packets;
            self.quiet = Duration::ZERO;
            return Verdict::Alive;
        }
        self.quiet += heard;
        // A PTO is the smoothed RTT, four times its variation, and the peer's delay; as the variation is not told,
        // half the RTT stands for it.
        let probe_timeout = 3 * rtt + Duration::from_millis(25);
        let silent_after = (self.dead_after / 12).max(3 * probe_timeout);
        match self.quiet {
            quiet if quiet >= self.dead_after.max(2 * silent_after) => Verdict::Dead,
            quiet if quiet >= silent_after => Verdict::Silent,
            quiet if quiet >= 2 * TICK => Verdict::Ping,
            _ => Verdict::Quiet,
        }
    }
}

/// Watches the session's peer while calls wait for it, or streams; returns when it is dead.
pub(super) async fn watch(session: &Session) -> ConnectionError {
    let stats = || session.connection().stats();
    // One for the connection's life: calls that give up soon, one after the other, add up.
    let mut watch = Watch::new(session.limits().silence(), stats().received_packets, Instant::now());
    loop {
        // Calls that were given up leave the peer as it was: it stays avoided until it is heard from.
        let mut asking = session.inner.condition.borrow().silent;
        if !asking && session.outstanding() == 0 {
            if session.streams() == 0 {
                session.inner.busy.notified().await;
                continue;
            }
            // The items of a stream may be rare: that none comes says nothing, that no answer to a ping comes does.
            let before = stats().received_packets;
            let _ = tokio::time::timeout(STREAM_CHECK, session.inner.busy.notified()).await;
            if session.outstanding() == 0 {
                if session.streams() == 0 || stats().received_packets != before {
                    continue;
                }
                asking = true;
                ping(session);
            }
        }
        watch.resume(Instant::now(), stats().received_packets);
        while asking || session.outstanding() > 0 {
            tokio::time::sleep(TICK).await;
            let stats = stats();
            let verdict = watch.tick(Instant::now(), stats.received_packets, stats.rtt);
            match verdict {
                Verdict::Alive => {
                    asking = false;
                    session.update(|condition| condition.silent = false);
                }
                Verdict::Quiet => {}
                Verdict::Ping => ping(session),
                Verdict::Silent => {
                    ping(session);
                    asking = true;
                    session.update(|condition| condition.silent = true);
                }
                Verdict::Dead => {
                    let after = session.limits().silence();
                    debug!(peer = %session.connection().remote_addr(), ?after, "peer is dead: no packet came");
                    return give_up(session);
                }
            }
        }
    }
}

/// Says why before it closes: those whose calls fail then are told the cause, not that this side closed.
fn give_up(session: &Session) -> ConnectionError {
    let error = ConnectionError::TimedOut;
    session.update(|condition| {
        condition.closed.get_or_insert(error.clone());
    });
    session.connection().close(close::SILENT, "no packet came from you");
    error
}

fn ping(session: &Session) {
    let _ = session.inner.control.try_send(ControlFrame::Ping);
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(1);

    /// Ticks up to then without a packet, and then with this count.
    fn after(watch: &mut Watch, start: Instant, millis: u64, packets: u64, rtt: Duration) -> Verdict {
        let end = start + Duration::from_millis(millis);
        while watch.last + TICK < end {
            watch.tick(watch.last + TICK, watch.packets, rtt);
        }
        watch.tick(end, packets, rtt)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_asked_then_avoided_then_death() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        assert_eq!(after(&mut watch, start, 50, 7, RTT), Verdict::Quiet);
        assert_eq!(after(&mut watch, start, 100, 7, RTT), Verdict::Ping);
        assert_eq!(after(&mut watch, start, 249, 7, RTT), Verdict::Ping);
        assert_eq!(after(&mut watch, start, 250, 7, RTT), Verdict::Silent);
        assert_eq!(after(&mut watch, start, 2999, 7, RTT), Verdict::Silent);
        assert_eq!(after(&mut watch, start, 3000, 7, RTT), Verdict::Dead);
    }

    #[tokio::test(start_paused = true)]
    async fn any_packet_starts_anew() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        assert_eq!(after(&mut watch, start, 260, 7, RTT), Verdict::Silent);
        assert_eq!(after(&mut watch, start, 270, 8, RTT), Verdict::Alive);
        assert_eq!(after(&mut watch, start, 519, 8, RTT), Verdict::Ping);
        assert_eq!(after(&mut watch, start, 520, 8, RTT), Verdict::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_nothing_was_expected_is_no_sign_of_life_now() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        assert_eq!(after(&mut watch, start, 200, 7, RTT), Verdict::Ping);
        let later = start + Duration::from_secs(60);
        watch.resume(later, 9);
        assert_eq!(after(&mut watch, later, 50, 9, RTT), Verdict::Quiet);
        assert_eq!(after(&mut watch, later, 250, 9, RTT), Verdict::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_path_gets_more_time() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        let rtt = Duration::from_millis(200);
        assert_eq!(after(&mut watch, start, 1800, 7, rtt), Verdict::Ping);
        assert_eq!(after(&mut watch, start, 1900, 7, rtt), Verdict::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_of_our_own_is_no_silence() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        assert_eq!(after(&mut watch, start, 50, 7, RTT), Verdict::Quiet);
        assert_eq!(watch.tick(start + Duration::from_secs(60), 7, RTT), Verdict::Ping);
        assert_eq!(watch.tick(start + Duration::from_millis(60_050), 8, RTT), Verdict::Alive);
    }
}
