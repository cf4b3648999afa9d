//! Tells a dead peer by its silence.
//!
//! A killed process acknowledges nothing, and QUIC declares nothing lost while no acknowledgement comes: until the
//! idle timeout of 30 s such a connection looks well. So while calls wait, and no packet of any kind has come for a
//! while, the peer is pinged; where nothing comes back within a quarter of a second (or three probe timeouts, RFC
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

/// What the watch has to say at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Packets come, or have come a moment ago.
    Alive,
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
    since: Instant,
}

impl Watch {
    fn new(dead_after: Duration, packets: u64, now: Instant) -> Self {
        Self { dead_after, packets, since: now }
    }

    fn tick(&mut self, now: Instant, packets: u64, rtt: Duration) -> Verdict {
        if packets != self.packets {
            self.packets = packets;
            self.since = now;
            return Verdict::Alive;
        }
        // A PTO is the smoothed RTT, four times its variation, and the peer's delay; as the variation is not told,
        // half the RTT stands for it.
        let probe_timeout = 3 * rtt + Duration::from_millis(25);
        let silent_after = (self.dead_after / 12).max(3 * probe_timeout);
        match now.saturating_duration_since(self.since) {
            quiet if quiet >= self.dead_after.max(2 * silent_after) => Verdict::Dead,
            quiet if quiet >= silent_after => Verdict::Silent,
            quiet if quiet >= 2 * TICK => Verdict::Ping,
            _ => Verdict::Alive,
        }
    }
}

/// Watches the session's peer while calls wait for it; returns when it is dead.
pub(super) async fn watch(session: &Session) -> ConnectionError {
    let stats = || session.connection().stats();
    loop {
        session.inner.busy.notified().await;
        let mut watch = Watch::new(session.limits().silence(), stats().received_packets, Instant::now());
        while session.outstanding() > 0 {
            tokio::time::sleep(TICK).await;
            let stats = stats();
            let verdict = watch.tick(Instant::now(), stats.received_packets, stats.rtt);
            match verdict {
                Verdict::Alive => session.update(|condition| condition.silent = false),
                Verdict::Ping => ping(session),
                Verdict::Silent => {
                    ping(session);
                    session.update(|condition| condition.silent = true);
                }
                Verdict::Dead => {
                    let after = session.limits().silence();
                    debug!(peer = %session.connection().remote_addr(), ?after, "peer is dead: no packet came");
                    session.connection().close(close::SILENT, "no packet came from you");
                    let error = ConnectionError::TimedOut;
                    session.update(|condition| {
                        condition.closed.get_or_insert(error.clone());
                    });
                    return error;
                }
            }
        }
        // Calls that were given up leave the peer as it was: it stays avoided until it is heard from.
        while session.inner.condition.borrow().silent && session.outstanding() == 0 {
            ping(session);
            tokio::time::sleep(2 * TICK).await;
            let stats = stats();
            match watch.tick(Instant::now(), stats.received_packets, stats.rtt) {
                Verdict::Alive => session.update(|condition| condition.silent = false),
                Verdict::Dead => {
                    session.connection().close(close::SILENT, "no packet came from you");
                    return ConnectionError::TimedOut;
                }
                Verdict::Ping | Verdict::Silent => {}
            }
        }
    }
}

fn ping(session: &Session) {
    let _ = session.inner.control.try_send(ControlFrame::Ping);
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(1);

    fn after(watch: &mut Watch, start: Instant, millis: u64, packets: u64) -> Verdict {
        watch.tick(start + Duration::from_millis(millis), packets, RTT)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_asked_then_avoided_then_death() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        assert_eq!(after(&mut watch, start, 50, 7), Verdict::Alive);
        assert_eq!(after(&mut watch, start, 100, 7), Verdict::Ping);
        assert_eq!(after(&mut watch, start, 249, 7), Verdict::Ping);
        assert_eq!(after(&mut watch, start, 250, 7), Verdict::Silent);
        assert_eq!(after(&mut watch, start, 2999, 7), Verdict::Silent);
        assert_eq!(after(&mut watch, start, 3000, 7), Verdict::Dead);
    }

    #[tokio::test(start_paused = true)]
    async fn any_packet_starts_anew() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        assert_eq!(after(&mut watch, start, 260, 7), Verdict::Silent);
        assert_eq!(after(&mut watch, start, 270, 8), Verdict::Alive);
        assert_eq!(after(&mut watch, start, 519, 8), Verdict::Ping);
        assert_eq!(after(&mut watch, start, 520, 8), Verdict::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_path_gets_more_time() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        let rtt = Duration::from_millis(200);
        assert_eq!(watch.tick(start + Duration::from_millis(1800), 7, rtt), Verdict::Ping);
        assert_eq!(watch.tick(start + Duration::from_millis(1900), 7, rtt), Verdict::Silent);
    }
}
