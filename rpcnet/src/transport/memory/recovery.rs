//! Loss recovery of one end, sans-io: RFC 9002, with one simplification. A packet is known to be lost as soon as a
//! later one is acknowledged, without a threshold for reordering. The network knows which packets it has lost, so
//! nothing is retransmitted needlessly.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::frame::MemoryFrame;

/// The timer granularity of RFC 9002, section 6.2.1.
const GRANULARITY: Duration = Duration::from_millis(1);
/// `max_ack_delay` of RFC 9000, section 18.2.
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// The largest number of times that the pause between probes doubles, as in quinn.
const MAX_DOUBLINGS: u32 = 16;
/// The number of packets that are retransmitted at one probe timeout.
const PROBES: usize = 2;

#[derive(Debug)]
pub(super) struct Recovery {
    next: u64,
    /// Packets in flight that arrive, or have arrived.
    under_way: BTreeMap<u64, Sent>,
    /// Lost packets, until an acknowledgement or a timeout tells this end.
    lost: BTreeMap<u64, MemoryFrame>,
    /// The last lost packet that is not retransmitted, but whose acknowledgement this end waits for.
    unanswered: Option<u64>,
    last_sent: Option<Instant>,
    timeouts: u32,
    rtt: Rtt,
}

#[derive(Debug)]
struct Sent {
    frame: MemoryFrame,
    at: Instant,
}

impl Recovery {
    pub(super) fn new(initial_rtt: Duration) -> Self {
        Self {
            next: 0,
            under_way: BTreeMap::new(),
            lost: BTreeMap::new(),
            unanswered: None,
            last_sent: None,
            timeouts: 0,
            rtt: Rtt { initial: initial_rtt, smoothed: None, variation: Duration::ZERO },
        }
    }

    /// Records a packet that needs an acknowledgement. Returns its number.
    pub(super) fn sent(&mut self, frame: &MemoryFrame, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.last_sent = Some(now);
        self.under_way.insert(number, Sent { frame: frame.clone(), at: now });
        number
    }

    /// Records that the network has lost the packet. This end does not act on it yet.
    pub(super) fn lose(&mut self, number: u64) {
        if let Some(sent) = self.under_way.remove(&number) {
            if sent.frame.is_repeated() {
                self.lost.insert(number, sent.frame);
            } else {
                self.unanswered = self.unanswered.max(Some(number));
            }
        }
    }

    /// Handles the acknowledgement of these packets. Returns their frames.
    pub(super) fn acknowledged(&mut self, numbers: &[u64], now: Instant) -> Vec<MemoryFrame> {
        if let Some(sent) = numbers.iter().max().and_then(|largest| self.under_way.get(largest)) {
            self.rtt.sample(now.saturating_duration_since(sent.at));
        }
        self.timeouts = 0;
        let taken = numbers.iter().filter_map(|number| self.under_way.remove(number));
        taken.map(|sent| sent.frame).collect()
    }

    /// Returns the lost frames before this packet, which has arrived.
    pub(super) fn take_lost_before(&mut self, number: u64) -> Vec<MemoryFrame> {
        self.unanswered = self.unanswered.filter(|unanswered| *unanswered > number);
        let later = self.lost.split_off(&number);
        std::mem::replace(&mut self.lost, later).into_values().collect()
    }

    /// Returns the time of the next probe.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = !self.under_way.is_empty() || !self.lost.is_empty() || self.unanswered.is_some();
        let pause = self.probe_timeout() * (1 << self.timeouts.min(MAX_DOUBLINGS));
        Some(self.last_sent.filter(|_| waits)? + pause)
    }

    /// Handles a probe timeout. Returns the frames to send, at least one.
    pub(super) fn time_out(&mut self) -> Vec<MemoryFrame> {
        self.timeouts += 1;
        self.unanswered = None;
        let probes: Vec<_> =
            (0..PROBES).map_while(|_| self.lost.pop_first()).map(|(_, frame)| frame).collect();
        if probes.is_empty() { vec![MemoryFrame::Ping] } else { probes }
    }

    /// The probe timeout of RFC 9002, section 6.2.1.
    pub(super) fn probe_timeout(&self) -> Duration {
        match self.rtt.smoothed {
            Some(smoothed) => smoothed + (4 * self.rtt.variation).max(GRANULARITY) + MAX_ACK_DELAY,
            None => 3 * self.rtt.initial,
        }
    }

    pub(super) fn rtt(&self) -> Duration {
        self.rtt.smoothed.unwrap_or(self.rtt.initial)
    }

    /// Forgets everything, as the connection has ended.
    pub(super) fn end(&mut self) {
        self.under_way.clear();
        self.lost.clear();
        self.unanswered = None;
    }
}

/// The estimate of RFC 9002, section 5.3, without acknowledgement delays: the peer has none.
#[derive(Debug)]
struct Rtt {
    initial: Duration,
    smoothed: Option<Duration>,
    variation: Duration,
}

impl Rtt {
    fn sample(&mut self, latest: Duration) {
        match &mut self.smoothed {
            None => {
                self.smoothed = Some(latest);
                self.variation = latest / 2;
            }
            Some(smoothed) => {
                self.variation = (3 * self.variation + smoothed.abs_diff(latest)) / 4;
                *smoothed = (7 * *smoothed + latest) / 8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_estimate_follows_the_samples() {
        let mut recovery = Recovery::new(100 * MS);
        assert_eq!((recovery.rtt(), recovery.probe_timeout()), (100 * MS, 300 * MS));
        recovery.rtt.sample(20 * MS);
        assert_eq!((recovery.rtt(), recovery.probe_timeout()), (20 * MS, 85 * MS));
        for _ in 0..100 {
            recovery.rtt.sample(40 * MS);
        }
        assert!(recovery.rtt().abs_diff(40 * MS) < MS);
        assert!(recovery.probe_timeout().abs_diff(66 * MS) < 2 * MS, "{:?}", recovery.probe_timeout());
    }

    #[test]
    fn what_is_lost_is_sent_again_when_it_is_known() {
        let start = Instant::now();
        let mut recovery = Recovery::new(100 * MS);
        assert_eq!(recovery.deadline(), None);
        let lost = recovery.sent(&MemoryFrame::Hello, start);
        let datagram = recovery.sent(&MemoryFrame::Datagram("x".into()), start);
        let arrived = recovery.sent(&MemoryFrame::Ping, start + MS);
        recovery.lose(lost);
        recovery.lose(datagram);
        assert_eq!(recovery.deadline(), Some(start + 301 * MS));
        assert!(matches!(recovery.acknowledged(&[arrived], start + 21 * MS)[..], [MemoryFrame::Ping]));
        assert_eq!(recovery.rtt(), 20 * MS);
        assert!(matches!(recovery.take_lost_before(arrived)[..], [MemoryFrame::Hello]));
        assert_eq!(recovery.deadline(), None, "the datagram is gone");
    }

    #[test]
    fn probes_come_ever_later_until_one_is_answered() {
        let start = Instant::now();
        let mut recovery = Recovery::new(100 * MS);
        let ping = recovery.sent(&MemoryFrame::Ping, start);
        recovery.lose(ping);
        let mut now = start;
        for pause in [300, 600, 1200] {
            let deadline = recovery.deadline().expect("it waits");
            assert_eq!(deadline - now, pause * MS);
            now = deadline;
            assert!(matches!(recovery.time_out()[..], [MemoryFrame::Ping]));
            let probe = recovery.sent(&MemoryFrame::Ping, now);
            if pause == 1200 {
                recovery.acknowledged(&[probe], now);
            } else {
                recovery.lose(probe);
            }
        }
        assert_eq!(recovery.deadline(), None);
    }
}
