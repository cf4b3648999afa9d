//! Who runs, who waits, who is refused. Sans-io.
//!
//! What waits is ordered by priority, then by arrival. How long a call will wait follows from Little's law: with
//! `limit` calls at work that take `held` each, one ends every `held / limit`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// What a refused caller is told at least, and at most, to wait.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// And before any call has ended, so that nothing is known of how long they take.
const UNKNOWN: Duration = Duration::from_millis(100);
/// The share of the newest call in the average of how long calls take.
const WEIGHT: f64 = 1.0 / 16.0;

/// A place in the queue. Of two, the lesser starts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket {
    priority: Reverse<i8>,
    sequence: u64,
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShedReason {
    /// All places are taken by calls that go before.
    Full,
    /// Its turn would come, or came, after its deadline.
    Late,
}

impl ShedReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Late => "late",
        }
    }
}

/// A call was refused before it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shed {
    pub(crate) reason: ShedReason,
    /// The time in which those who wait will have started: 1 ms to 1 s.
    pub(crate) retry_after: Duration,
    /// How many wait.
    pub(crate) queued: usize,
    /// How many run at once.
    pub(crate) limit: usize,
}

/// What becomes of a call that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Run,
    /// [`poll`](Queue::poll) will tell, unless it is abandoned.
    Wait(Ticket),
    Shed(Shed),
}

/// What has become of one that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Started,
    Shed(Shed),
}

/// Calls at work and calls that wait.
#[derive(Debug)]
pub(super) struct Queue {
    limit: usize,
    running: usize,
    places: usize,
    /// Nobody waits while fewer than `limit` run.
    waiting: BTreeMap<Ticket, Option<Instant>>,
    /// How many wait of each priority; none is zero.
    levels: BTreeMap<Reverse<i8>, usize>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    sequence: u64,
    /// How long calls take, in seconds.
    held: Option<f64>,
    settled: VecDeque<(Ticket, Settled)>,
}

impl Queue {
    pub(super) fn new(limit: usize, places: usize) -> Self {
        Self {
            limit,
            running: 0,
            places,
            waiting: BTreeMap::new(),
            levels: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            sequence: 0,
            held: None,
            settled: VecDeque::new(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// A call asks for its turn; higher priorities go first.
    pub(super) fn offer(&mut self, now: Instant, priority: i8, deadline: Option<Instant>) -> Decision {
        if self.running < self.limit {
            self.running += 1;
            return Decision::Run;
        }
        self.expire(now);
        let priority = Reverse(priority);
        let ahead: usize = self.levels.range(..=priority).map(|(_, count)| count).sum();
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(now);
            let wait = self.time_of(ahead + 1).unwrap_or_default();
            if left.is_zero() || wait > left {
                return Decision::Shed(self.shed(ShedReason::Late));
            }
        }
        if self.waiting.len() >= self.places {
            // Lower ones make room. The last of all is the newest of the lowest priority.
            match self.waiting.last_key_value() {
                Some((&last, _)) if last.priority > priority => {
                    self.remove(last);
                    let shed = self.shed(ShedReason::Full);
                    self.settled.push_back((last, Settled::Shed(shed)));
                }
                _ => return Decision::Shed(self.shed(ShedReason::Full)),
            }
        }
        let ticket = Ticket { priority, sequence: self.sequence };
        self.sequence += 1;
        self.waiting.insert(ticket, deadline);
        *self.levels.entry(priority).or_default() += 1;
        self.deadlines.extend(deadline.map(|deadline| (deadline, ticket)));
        Decision::Wait(ticket)
    }

    /// A call that ran for this long has ended, however it did.
    pub(super) fn release(&mut self, now: Instant, held: Duration) {
        let held = held.as_secs_f64();
        self.held = Some(self.held.map_or(held, |average| average + (held - average) * WEIGHT));
        self.running = self.running.saturating_sub(1);
        self.fill(now);
    }

    /// One that waited has gone; `false` where it does not wait any more.
    pub(super) fn abandon(&mut self, ticket: Ticket) -> bool {
        self.remove(ticket)
    }

    /// Where fewer are allowed than run, those who run go on.
    pub(super) fn set_limit(&mut self, now: Instant, limit: usize) {
        self.limit = limit;
        self.fill(now);
    }

    /// What has become of those who waited, in order.
    pub(super) fn poll(&mut self) -> Option<(Ticket, Settled)> {
        self.settled.pop_front()
    }

    /// A refusal at this moment.
    pub(super) fn shed(&self, reason: ShedReason) -> Shed {
        let (least, most) = RETRY_AFTER;
        let drained = self.time_of(self.waiting.len() + 1).unwrap_or(UNKNOWN);
        Shed {
            reason,
            retry_after: drained.clamp(least, most),
            queued: self.waiting.len(),
            limit: self.limit,
        }
    }

    /// In how long so many calls will have ended.
    fn time_of(&self, calls: usize) -> Option<Duration> {
        let seconds = self.held? * calls as f64 / self.limit.max(1) as f64;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    fn fill(&mut self, now: Instant) {
        if self.running >= self.limit {
            return;
        }
        self.expire(now);
        while self.running < self.limit
            && let Some((&first, _)) = self.waiting.first_key_value()
        {
            self.remove(first);
            self.running += 1;
            self.settled.push_back((first, Settled::Started));
        }
    }

    /// Refuses those whose deadline has passed.
    fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, ticket)) = self.deadlines.first()
            && deadline <= now
        {
            self.remove(ticket);
            let shed = self.shed(ShedReason::Late);
            self.settled.push_back((ticket, Settled::Shed(shed)));
        }
    }

    fn remove(&mut self, ticket: Ticket) -> bool {
        let Some(deadline) = self.waiting.remove(&ticket) else { return false };
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        if let Some(count) = self.levels.get_mut(&ticket.priority) {
            *count -= 1;
            if *count == 0 {
                self.levels.remove(&ticket.priority);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
