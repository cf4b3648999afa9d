//! The health of this node itself. Its findings about others are only as good as its own connection.
//!
//! Lifeguard's local health (Dadgar, Phillips, Currey, 2018, section IV-A), with other evidence than missing negative
//! acknowledgements. A node is probed once a period on average, and waits for an answer to a probe of its own. If it
//! has heard nothing at all for a whole period, it has most likely not lost all its peers at once: its own messages do
//! not get through.

use std::time::{Duration, Instant};

/// The number of silent periods in a row that are held for this node's own fault. After these the node counts as alone.
const EXCUSES: u32 = 8;

/// The highest score. Probes are then nine times as slow, as in Lifeguard.
const WORST: u32 = 8;

/// The number of other members below which silence is no evidence: so few may well all be gone.
const COMPANY: usize = 3;

#[derive(Debug)]
pub(super) struct LocalHealth {
    score: u32,
    excuses: u32,
    received: Instant,
    /// The start of the probe that is under way.
    began: Instant,
    /// The last time at which this node knew that it was not well.
    sick: Option<Instant>,
    overslept: bool,
}

impl LocalHealth {
    pub(super) fn new(now: Instant) -> Self {
        Self { score: 0, excuses: 0, received: now, began: now, sick: None, overslept: false }
    }

    /// The factor by which probing is slowed down: 1 when all is well, up to 9.
    pub(super) fn slowness(&self) -> u32 {
        self.score + 1
    }

    /// Notes that a packet has come.
    pub(super) fn received(&mut self, now: Instant) {
        self.received = now;
    }

    /// Notes that this node had to refute a suspicion: others could not reach it.
    pub(super) fn refuted(&mut self) {
        self.score = (self.score + 1).min(WORST);
    }

    /// Notes that timers were fired late: the process stood still, and answers to it may still be on their way.
    pub(super) fn overslept(&mut self, now: Instant) {
        self.sick = Some(now);
        self.overslept = true;
    }

    /// Ends the period of the probe under way. Returns true if this node is not well: then the probe gets another
    /// period and nothing follows from its silence.
    pub(super) fn excuses_probe(&mut self, now: Instant, others: usize) -> bool {
        let heard = self.received > self.began;
        if std::mem::take(&mut self.overslept) {
            return true;
        }
        if !heard && others >= COMPANY && self.excuses < EXCUSES {
            self.excuses += 1;
            self.score = (self.score + 1).min(WORST);
            self.sick = Some(now);
            return true;
        }
        if heard {
            self.excuses = 0;
            self.score /= 2;
        } else if self.excuses == EXCUSES {
            // No other node is left to be blamed for the silence.
            self.score = 0;
        }
        self.began = now;
        false
    }

    /// Returns whether the node's findings since `since` are in doubt.
    pub(super) fn doubts(&self, since: Instant, now: Instant, others: usize, period: Duration) -> bool {
        let silent = now.saturating_duration_since(self.received) > period;
        self.sick.is_some_and(|sick| sick >= since) || (silent && others >= COMPANY && self.excuses < EXCUSES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swim::tests::epoch;

    const PERIOD: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_an_excuse_for_a_while() {
        let start = epoch();
        let mut health = LocalHealth::new(start);
        let excused = (1..20).filter(|second| health.excuses_probe(start + PERIOD * *second, 10)).count();
        assert_eq!(excused, EXCUSES as usize);
        assert_eq!(health.slowness(), 1, "it is alone");
        assert!(health.doubts(start, start + PERIOD * 20, 10, PERIOD));
        assert!(!health.doubts(start + PERIOD * 10, start + PERIOD * 20, 10, PERIOD), "it is alone");
        health.received(start + PERIOD * 20);
        assert!(!health.excuses_probe(start + PERIOD * 20, 10));
        assert!(health.excuses_probe(start + PERIOD * 21, 10), "silent once more");
        assert_eq!(health.slowness(), 2);
    }

    #[test]
    fn two_nodes_excuse_nothing() {
        let start = epoch();
        let mut health = LocalHealth::new(start);
        assert!(!health.excuses_probe(start + PERIOD, 1));
        assert!(!health.doubts(start, start + PERIOD * 5, 1, PERIOD));
    }

    #[test]
    fn who_overslept_waits_for_answers_once() {
        let start = epoch();
        let mut health = LocalHealth::new(start);
        health.received(start + PERIOD * 30);
        health.overslept(start + PERIOD * 30);
        assert!(health.excuses_probe(start + PERIOD * 30, 1));
        assert!(!health.excuses_probe(start + PERIOD * 31, 1));
        assert!(health.doubts(start, start + PERIOD * 31, 1, PERIOD * 9));
    }
}
