//! Tells a dead peer by its silence.
//!
//! A killed process acknowledges nothing, and QUIC declares nothing lost while no acknowledgement comes: until the
//! idle timeout of 30 s such a connection looks well. So while something is expected of the peer, and no packet of any
//! kind has come for a while, the peer is pinged. If still none comes the peer is *silent*, and gets no new calls;
//! later it is dead.
//!
//! | what is expected | pinged after | silent after |
//! |---|---|---|
//! | replies to calls | 100 ms | 250 ms |
//! | items of streams that users read | 250 ms | 400 ms |
//! | items of other streams | 1 s to 2 s | 250 ms more |
//!
//! Silence alone does not tell a process that was killed from one that stands still, or from a path that does: so a
//! silent peer is given up only after three seconds. Two facts tell them apart, and end the connection at once. A host
//! answers a datagram to a port on which nobody listens with ICMP, which the side that has dialled asks for while the
//! peer is quiet. And a process that was restarted answers packets of its former life with a stateless reset
//! (`transport::quic::reset`).

use std::{pin::Pin, time::Duration};

use tokio::time::Instant;
use tracing::debug;

use super::Session;
use crate::{
    proto::close,
    transport::{ConnectionError, Side},
};

const TICK: Duration = Duration::from_millis(50);
/// The time without packets before a ping, while calls wait for the peer.
const CALLS_WAIT: Duration = Duration::from_millis(100);
/// The time without packets before a ping, while only streams that users read are open: at most four pings a second.
const STREAMS_WAIT: Duration = Duration::from_millis(250);
/// The period of checks on a connection with no work but streams that no user waits for.
const STREAM_CHECK: Duration = Duration::from_secs(1);
/// The longest time that one tick counts for, however late it comes.
const LONGEST_TICK: Duration = Duration::from_millis(100);

/// The result of a tick.
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
    /// The peer's host has said, while it was quiet, that nobody listens there.
    refused: bool,
}

impl Watch {
    fn new(dead_after: Duration, packets: u64, now: Instant) -> Self {
        Self { dead_after, packets, last: now, quiet: Duration::ZERO, refused: false }
    }

    /// Goes on after a time in which nothing was expected, and which does not count. What has come in it does.
    fn resume(&mut self, now: Instant, packets: u64) {
        self.last = now;
        self.hears(packets);
    }

    /// Returns whether packets have come.
    fn hears(&mut self, packets: u64) -> bool {
        let heard = packets != self.packets;
        if heard {
            *self = Self { packets, quiet: Duration::ZERO, refused: false, ..*self };
        }
        heard
    }

    /// Nobody listens at the peer's address.
    fn is_refused(&mut self) {
        self.refused = true;
    }

    /// `wait` is for how long the peer may be quiet before it is pinged.
    fn tick(&mut self, now: Instant, packets: u64, rtt: Duration, wait: Duration) -> Verdict {
        // While this process was stopped or starved it could not hear: that is no silence of the peer's.
        let heard = now.saturating_duration_since(self.last).min(LONGEST_TICK);
        self.last = now;
        if self.hears(packets) {
            return Verdict::Alive;
        }
        self.quiet += heard;
        // A PTO is the smoothed RTT, four times its variation, and the peer's delay; as the variation is not told,
        // half the RTT stands for it.
        let probe_timeout = 3 * rtt + Duration::from_millis(25);
        let silent_after = (self.dead_after / 12).max(3 * probe_timeout) + (wait - CALLS_WAIT);
        match self.quiet {
            quiet if quiet >= self.dead_after.max(2 * silent_after) => Verdict::Dead,
            quiet if quiet >= silent_after && self.refused => Verdict::Dead,
            quiet if quiet >= silent_after => Verdict::Silent,
            quiet if quiet >= wait => Verdict::Ping,
            _ => Verdict::Quiet,
        }
    }
}

/// Watches the session's peer while calls wait for it, or streams; returns when it is dead.
pub(super) async fn watch(session: &Session) -> ConnectionError {
    let packets = session.connection().stats().received_packets;
    // One for the connection's life: calls that give up soon, one after the other, add up.
    let mut watch = Watch::new(session.limits().silence(), packets, Instant::now());
    loop {
        if is_idle(session) {
            session.inner.busy.notified().await;
            continue;
        }
        // In memory of its own, which an idle connection does without.
        if let Some(error) = Box::pin(watch_busy(session, &mut watch)).await {
            return error;
        }
    }
}

/// Calls that were given up leave the peer as it was: it stays avoided until it is heard from.
fn is_idle(session: &Session) -> bool {
    !session.inner.peer_state.borrow().silent && session.outstanding() == 0 && session.streams() == 0
}

/// Watches a peer of which something is expected, for a while. Why it was given up, where it is dead.
async fn watch_busy(session: &Session, watch: &mut Watch) -> Option<ConnectionError> {
    let stats = || session.connection().stats();
    let mut asking = session.inner.peer_state.borrow().silent;
    let expects = || session.outstanding() + session.awaited() > 0;
    if !asking && !expects() {
        // The items of a stream may be rare: that none comes says nothing, that no answer to a ping comes does.
        let before = stats().received_packets;
        let _ = tokio::time::timeout(STREAM_CHECK, session.inner.busy.notified()).await;
        if !expects() {
            if session.streams() == 0 || stats().received_packets != before {
                return None;
            }
            asking = true;
            session.inner.control.ping();
        }
    }
    watch.resume(Instant::now(), stats().received_packets);
    let mut refusal: Option<Pin<Box<dyn Future<Output = bool> + Send + '_>>> = None;
    while asking || expects() {
        let refused = async {
            match &mut refusal {
                Some(refusal) => refusal.await,
                None => std::future::pending().await,
            }
        };
        match tokio::time::timeout(TICK, refused).await {
            Err(_) => {}
            Ok(refused) => {
                refusal = None;
                if refused {
                    watch.is_refused();
                }
                continue;
            }
        }
        let stats = stats();
        let wait = if asking || session.outstanding() > 0 { CALLS_WAIT } else { STREAMS_WAIT };
        match watch.tick(Instant::now(), stats.received_packets, stats.rtt, wait) {
            Verdict::Alive => {
                asking = false;
                refusal = None;
                session.update(|state| state.silent = false);
            }
            Verdict::Quiet => {}
            verdict @ (Verdict::Ping | Verdict::Silent) => {
                session.inner.control.ping();
                if verdict == Verdict::Silent {
                    asking = true;
                    session.update(|state| state.silent = true);
                }
                if !watch.refused && refusal.is_none() && session.connection().side() == Side::Client {
                    refusal = Some(Box::pin(session.connection().is_refused()));
                }
            }
            Verdict::Dead => {
                let (peer, quiet, refused) = (session.connection().remote_addr(), watch.quiet, watch.refused);
                debug!(%peer, ?quiet, refused, "peer is dead: no packet came");
                let error = if refused { ConnectionError::Unreachable } else { ConnectionError::TimedOut };
                return Some(give_up(session, error));
            }
        }
    }
    None
}

/// Says why before it closes: those whose calls fail then are told the cause, not that this side closed.
fn give_up(session: &Session, error: ConnectionError) -> ConnectionError {
    session.update(|state| {
        state.closed.get_or_insert(error.clone());
    });
    session.connection().close(close::SILENT, "no packet came from you");
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(1);

    /// Ticks up to then without a packet, and then with this count.
    fn after(watch: &mut Watch, start: Instant, millis: u64, packets: u64, rtt: Duration) -> Verdict {
        let end = start + Duration::from_millis(millis);
        while watch.last + TICK < end {
            watch.tick(watch.last + TICK, watch.packets, rtt, CALLS_WAIT);
        }
        watch.tick(end, packets, rtt, CALLS_WAIT)
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
        assert_eq!(watch.tick(start + Duration::from_secs(60), 7, RTT, CALLS_WAIT), Verdict::Ping);
        assert_eq!(watch.tick(start + Duration::from_millis(60_050), 8, RTT, CALLS_WAIT), Verdict::Alive);
    }

    /// The time after the last packet at which each verdict comes first, where something is expected that may be quiet
    /// for so long. Looked at every 50 ms, as the driver does.
    fn verdicts(wait: Duration, refused: bool) -> Vec<(u64, Verdict)> {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        let mut seen: Vec<(u64, Verdict)> = Vec::new();
        for millis in (50..=3500).step_by(50) {
            let verdict = watch.tick(start + Duration::from_millis(millis), 7, RTT, wait);
            if refused && verdict == Verdict::Ping {
                watch.is_refused();
            }
            if seen.last().is_none_or(|(_, last)| *last != verdict) {
                seen.push((millis, verdict));
            }
            if verdict == Verdict::Dead {
                break;
            }
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_asked_later_and_silent_soon_after() {
        use Verdict::{Dead, Ping, Quiet, Silent};
        let calls = [(50, Quiet), (100, Ping), (250, Silent), (3000, Dead)];
        assert_eq!(verdicts(CALLS_WAIT, false), calls);
        let streams = [(50, Quiet), (250, Ping), (400, Silent), (3000, Dead)];
        assert_eq!(verdicts(STREAMS_WAIT, false), streams);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_at_whose_address_nobody_listens_is_dead() {
        use Verdict::{Alive, Dead, Ping, Quiet};
        assert_eq!(verdicts(CALLS_WAIT, true), [(50, Quiet), (100, Ping), (250, Dead)]);
        assert_eq!(verdicts(STREAMS_WAIT, true), [(50, Quiet), (250, Ping), (400, Dead)]);
        // A packet is the better proof.
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(3), 7, start);
        assert_eq!(after(&mut watch, start, 200, 7, RTT), Ping);
        watch.is_refused();
        assert_eq!(after(&mut watch, start, 249, 8, RTT), Alive);
        assert_eq!(after(&mut watch, start, 2000, 8, RTT), Verdict::Silent);
    }
}
