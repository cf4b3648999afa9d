//! Batches calls that are made one after the other into one write. Sans-io.
//!
//! Answers arrive in crowds, and a caller that has its answer mostly makes the next call at once. If each of these
//! calls were written by itself, each would be a packet, which costs both sides as much as a dozen calls. Runtimes
//! cause this: they run the task that was woken last, the lane's driver, before the callers that were woken earlier. So
//! once several callers were woken, their next calls wait for one another: until all are here, or enough are, or for
//! long enough. The driver has queued up behind the callers, and its turn ends the wait in any case.
//!
//! A quarter of the calls in flight is enough: the peer then works on those while the rest comes. Otherwise it would
//! begin only when this side has nothing left to do. The quarter was found by measuring, with 4 to 512 calls in flight.
//! Beside other busy lanes a lane waits for all calls: both sides are busy anyway, and only the number of packets
//! counts.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

use super::CROWD;

/// An uncontended lane writes once 1/`PART` of its calls in flight wait.
const PART: usize = 4;
/// The calls with which an uncontended lane writes in any case.
const MOST: usize = 32;
/// The calls with which any lane writes.
const ALL: usize = 128;
/// The longest wait of a call for others to its batch. Sending and receiving one packet takes about as long.
const SHORT: Duration = Duration::from_micros(50);
/// The longest wait beside other busy lanes, which have their turns in between.
const LONG: Duration = Duration::from_micros(250);
/// Calls of one turn that count as a crowd: handlers that answer at once bring as many callers back. (Slow handlers
/// answer one by one.)
const TOGETHER: usize = 16;
/// Turns with a crowd, one after the other, that make a lane saturated.
const CROWDED: u32 = 16;

/// The wait for callers that were woken and are expected back.
#[derive(Debug)]
pub(super) struct BatchWindow {
    /// Calls wait since then at most.
    since: Instant,
    in_company: bool,
}

impl BatchWindow {
    /// Callers are told now. Whether other lanes are at work, [`Contention`] knows.
    pub(super) fn new(now: Instant, in_company: bool) -> Self {
        Self { since: now, in_company }
    }

    /// Returns whether the calls that wait should be written now, given how many are in flight.
    pub(super) fn is_enough(&mut self, waiting: usize, at_work: usize, now: Instant) -> bool {
        let (enough, time) = match self.in_company {
            true => (ALL, LONG),
            false => ((at_work / PART).clamp(1, MOST), SHORT),
        };
        let leave = waiting >= enough || now.saturating_duration_since(self.since) >= time;
        if leave {
            self.since = now;
        }
        leave
    }
}

/// Crowds that were told in this process, by any lane: its lanes share the processors.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Detects whether other lanes of this process are busy beside this one.
#[derive(Debug)]
pub(super) struct Contention {
    /// Threads that run tasks: beside fewer other lanes than these, some have nothing to do.
    workers: u64,
    /// The value of [`TOLD`] after this lane's last crowd.
    seen: u64,
}

impl Contention {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: workers as u64, seen: TOLD.load(Ordering::Relaxed) }
    }

    /// Asked when this lane is about to tell a crowd: whether others did since it last did.
    pub(super) fn is_there(&mut self) -> bool {
        let told = TOLD.fetch_add(1, Ordering::Relaxed);
        let others = told.wrapping_sub(self.seen);
        self.seen = told.wrapping_add(1);
        others >= self.workers
    }
}

/// Detects that calls come faster than one connection can carry: many are in flight all the time, and handlers are not
/// slow.
#[derive(Debug, Default)]
pub(super) struct Saturation {
    /// A score of recent turns: one more for a turn with a crowd, one less for a turn without; at most twice
    /// [`CROWDED`].
    turns: u32,
}

impl Saturation {
    /// The driver has its turn: so many calls were made since callers were told, and so many are at work.
    pub(super) fn turn(&mut self, made: usize, at_work: usize) -> bool {
        let is_crowd = made >= TOGETHER && at_work >= CROWD;
        self.turns = if is_crowd { (self.turns + 1).min(2 * CROWDED) } else { self.turns.saturating_sub(1) };
        self.turns >= CROWDED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_enough_for_a_lane_that_is_alone() {
        let now = Instant::now();
        for (at_work, enough) in [(1, 1), (7, 1), (16, 4), (64, 16), (128, 32), (1000, 32)] {
            let mut gather = BatchWindow::new(now, false);
            assert!((1..enough).all(|waiting| !gather.is_enough(waiting, at_work, now)), "{at_work}");
            assert!(gather.is_enough(enough, at_work, now), "{at_work}");
        }
        let mut gather = BatchWindow::new(now, true);
        assert!((1..ALL).all(|waiting| !gather.is_enough(waiting, 1000, now)));
        assert!(gather.is_enough(ALL, 1000, now));
    }

    #[test]
    fn nobody_waits_for_long() {
        for (in_company, time) in [(false, SHORT), (true, LONG)] {
            let now = Instant::now();
            let mut gather = BatchWindow::new(now, in_company);
            let just_before = now + time - Duration::from_nanos(1);
            assert!(!gather.is_enough(1, 64, just_before));
            assert!(gather.is_enough(1, 64, now + time));
            assert!(!gather.is_enough(1, 64, now + time), "from then on others wait");
            assert!(gather.is_enough(1, 64, now + 2 * time));
        }
    }

    #[test]
    fn a_lane_is_in_company_beside_as_many_others_as_there_are_workers() {
        // Tests of other lanes may tell crowds at the same time: more company is never less.
        let workers = 3;
        let mut lanes: Vec<_> = (0..=workers).map(|_| Contention::new(workers)).collect();
        let round =
            |lanes: &mut Vec<Contention>| lanes.iter_mut().map(Contention::is_there).collect::<Vec<_>>();
        round(&mut lanes);
        assert!((0..10).all(|_| round(&mut lanes).into_iter().all(|company| company)));
    }

    #[test]
    fn a_lane_is_crowded_after_many_crowds_and_not_for_ever() {
        let mut crowded = Saturation::default();
        assert!((0..100).all(|_| !crowded.turn(TOGETHER - 1, 10 * CROWD)), "handlers are slow");
        assert!((0..100).all(|_| !crowded.turn(TOGETHER, CROWD - 1)), "there are few");
        assert!((1..CROWDED).all(|_| !crowded.turn(TOGETHER, CROWD)));
        assert!((0..100).all(|_| crowded.turn(TOGETHER, CROWD)));
        assert!((0..CROWDED).all(|_| crowded.turn(0, CROWD)));
        assert!(!crowded.turn(0, CROWD));
    }
}
