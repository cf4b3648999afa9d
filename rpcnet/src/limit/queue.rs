//! The queue of calls: which run, which wait, which are refused. Sans-io.
//!
//! Waiting calls are ordered by priority, then by arrival. The expected wait follows from Little's law: with `limit`
//! running calls that take `held` each, one ends every `held / limit`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// The bounds of the time after which a refused caller is told to retry.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// That time before any call has ended, when nothing is known of their duration.
const UNKNOWN: Duration = Duration::from_millis(100);
/// The weight of the newest call in the average duration.
const WEIGHT: f64 = 1.0 / 16.0;

/// A place in the queue. The smaller ticket starts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket {
    priority: Reverse<i8>,
    sequence: u64,
}

/// The reason why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShedReason {
    /// Calls that go first take all places.
    Full,
    /// The call's turn would come, or came, after its deadline.
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

/// A refusal of a call before its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shed {
    pub(crate) reason: ShedReason,
    /// The time in which the waiting calls will have started: 1 ms to 1 s.
    pub(crate) retry_after: Duration,
    /// The number of waiting calls.
    pub(crate) queued: usize,
    /// The limit on running calls.
    pub(crate) limit: usize,
}

/// The decision about a call that asks for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Run,
    /// [`poll`](Queue::poll) returns the outcome, unless the call is abandoned.
    Wait(Ticket),
    Shed(Shed),
}

/// The outcome of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Started,
    Shed(Shed),
}

/// The running and the waiting calls.
#[derive(Debug)]
pub(super) struct Queue {
    limit: usize,
    running: usize,
    places: usize,
    /// Empty while fewer than `limit` calls run.
    waiting: BTreeMap<Ticket, Option<Instant>>,
    /// The number of waiting calls of each priority; never zero.
    levels: BTreeMap<Reverse<i8>, usize>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    sequence: u64,
    /// The average duration of calls in seconds.
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

    /// Asks for a call's turn. Higher priorities go first.
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
            // A call of lower priority makes room. The last ticket is the newest one of the lowest priority.
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

    /// Records that a call has ended, in whatever way, after running for `held`.
    pub(super) fn release(&mut self, now: Instant, held: Duration) {
        let held = held.as_secs_f64();
        self.held = Some(self.held.map_or(held, |average| average + (held - average) * WEIGHT));
        self.running = self.running.saturating_sub(1);
        self.fill(now);
    }

    /// Removes a waiting call. Returns false if it does not wait any more.
    pub(super) fn abandon(&mut self, ticket: Ticket) -> bool {
        self.remove(ticket)
    }

    /// Sets the limit. If more calls run than it allows, they go on.
    pub(super) fn set_limit(&mut self, now: Instant, limit: usize) {
        self.limit = limit;
        self.fill(now);
    }

    /// Returns the outcomes of waits, in order.
    pub(super) fn poll(&mut self) -> Option<(Ticket, Settled)> {
        self.settled.pop_front()
    }

    /// Returns a refusal with the current state.
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

    /// Returns the time in which this number of calls will have ended.
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

    /// Refuses waiting calls whose deadline has passed.
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
