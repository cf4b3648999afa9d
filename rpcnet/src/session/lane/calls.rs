//! The calls that wait for an answer on a lane.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::{super::outbound::LATE, outbox::Others};
use crate::{Method, Status, proto::ReplyHeader};

/// Ids have the place of a call in their low bits, and above them how often the place was taken before.
const PLACE_BITS: u32 = 16;
const GENERATIONS: u64 = (1 << 30) - 1;
/// Slots that are kept while no call is in flight.
const KEPT: usize = 256;

/// The result of a call on a lane: its reply header and body.
pub(super) type CallOutcome = Result<(ReplyHeader, Bytes), Status>;

/// The calls at work, by id. Sans-io.
#[derive(Debug, Default)]
pub(super) struct Calls {
    places: Vec<CallSlot>,
    free: Vec<u32>,
    /// Of a new place: no place that was given back had a later one, so that no id comes again.
    first_generation: u64,
    /// No call has a sooner deadline; some may have had, and be gone.
    earliest: Option<Instant>,
    /// None is taken any more.
    closed: bool,
    /// Of the lane's driver, which waits until `earliest`.
    driver: Option<Waker>,
    /// The call whose caller reads answers; where there is none, the driver does.
    reader: Option<u64>,
    /// The driver's turns.
    turn: u32,
    /// Callers who were told of their answers since its last turn, and have not come for them.
    told: usize,
    /// Calls that were begun since.
    made: usize,
}

/// A call that was begun.
pub(super) struct StartedCall {
    pub(super) id: u64,
    /// No other is at work.
    pub(super) alone: bool,
    pub(super) others: Others,
    /// The driver has to read in place of a caller: it is to be woken, even where it runs.
    pub(super) takes_over: bool,
    /// The driver, to be woken because this deadline is sooner than all before.
    pub(super) driver: Option<Waker>,
}

#[derive(Debug)]
struct CallSlot {
    generation: u64,
    state: SlotState,
}

#[derive(Debug)]
enum SlotState {
    Free,
    Waiting {
        method: &'static Method,
        deadline: Option<Instant>,
        caller: Option<Waker>,
    },
    /// Since this turn of the driver's, where the caller was told.
    Done(CallOutcome, Option<u32>),
}

impl Calls {
    /// Begins a call; `None` when there are as many as ids can tell apart, and when the lane has ended.
    pub(super) fn start(
        &mut self,
        method: &'static Method,
        deadline: Option<Instant>,
        caller: Option<&Waker>,
    ) -> Option<StartedCall> {
        if self.closed {
            return None;
        }
        let place = match self.free.pop() {
            Some(place) => place as usize,
            None if self.places.len() == 1 << PLACE_BITS => return None,
            None => {
                self.places.push(CallSlot { generation: self.first_generation, state: SlotState::Free });
                self.places.len() - 1
            }
        };
        let generation = self.places[place].generation;
        self.places[place].state = SlotState::Waiting { method, deadline, caller: caller.cloned() };
        let earliest = self.earliest.into_iter().chain(deadline).min();
        let at_work = self.at_work();
        let alone = at_work == 1;
        // A caller that reads may be anywhere: others need not wait until it comes by.
        let takes_over = self.reader.take().is_some();
        let driver = if earliest == self.earliest { None } else { self.driver.take() };
        self.earliest = earliest;
        let others = Others { at_work, expected: self.told > 0 };
        self.made += 1;
        Some(StartedCall { id: generation << PLACE_BITS | place as u64, alone, others, takes_over, driver })
    }

    fn at_work(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn place(&mut self, id: u64) -> Option<&mut CallSlot> {
        let place = self.places.get_mut((id & ((1 << PLACE_BITS) - 1)) as usize)?;
        (place.generation == id >> PLACE_BITS).then_some(place)
    }

    /// The outcome, once; the id is free then.
    pub(super) fn poll(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<CallOutcome> {
        let place = self.place(id).expect("a caller asks until it has its answer");
        match &mut place.state {
            SlotState::Waiting { caller, .. } => {
                if !caller.as_ref().is_some_and(|caller| caller.will_wake(cx.waker())) {
                    *caller = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            state => match std::mem::replace(state, SlotState::Free) {
                SlotState::Done(outcome, told) => {
                    self.came(told);
                    self.release(id);
                    Poll::Ready(outcome)
                }
                SlotState::Free | SlotState::Waiting { .. } => unreachable!("a free place has no caller"),
            },
        }
    }

    /// The caller has gone. Gives what it was woken by, where the call was still at work.
    pub(super) fn abandon(&mut self, id: u64) -> Option<Option<Waker>> {
        let place = self.place(id)?;
        let state = std::mem::replace(&mut place.state, SlotState::Free);
        self.release(id);
        match state {
            SlotState::Waiting { caller, .. } => Some(caller),
            SlotState::Done(_, told) => {
                self.came(told);
                None
            }
            SlotState::Free => None,
        }
    }

    /// Lets the caller of a call that is at work alone read its answer.
    pub(super) fn read_by(&mut self, id: u64) -> bool {
        let alone = self.at_work() == 1;
        let waits = matches!(self.place(id), Some(CallSlot { state: SlotState::Waiting { .. }, .. }));
        if alone && waits {
            self.reader = Some(id);
        }
        alone && waits
    }

    /// The driver is woken when there is something to read.
    pub(super) fn read_by_driver(&mut self) {
        self.reader = None;
    }

    /// Whose caller reads, where it is not the driver.
    pub(super) fn reader(&self) -> Option<u64> {
        self.reader
    }

    /// A caller that was told in this turn has come, or has gone.
    fn came(&mut self, told: Option<u32>) {
        if told == Some(self.turn) {
            self.told -= 1;
        }
    }

    /// The driver has its turn: nobody is waited for any more. Gives how many calls were begun since the last, and how
    /// many are at work.
    pub(super) fn turn(&mut self) -> (usize, usize) {
        self.told = 0;
        self.turn = self.turn.wrapping_add(1);
        (std::mem::take(&mut self.made), self.at_work())
    }

    fn release(&mut self, id: u64) {
        if let Some(place) = self.place(id) {
            place.generation = (place.generation + 1) & GENERATIONS;
            self.free.push((id & ((1 << PLACE_BITS) - 1)) as u32);
            if self.free.len() == self.places.len() && self.places.len() > KEPT {
                self.shrink();
            }
        }
    }

    /// Gives back what a crowd has left behind.
    fn shrink(&mut self) {
        let left = self.places.drain(KEPT..).map(|place| place.generation);
        self.first_generation = left.fold(self.first_generation, u64::max);
        self.places.shrink_to_fit();
        self.free.clear();
        self.free.extend((0..KEPT as u32).rev());
        self.free.shrink_to_fit();
    }

    /// Whose answer this would be; `None` for a call that was given up.
    pub(super) fn method(&mut self, id: u64) -> Option<&'static Method> {
        match &self.place(id)?.state {
            SlotState::Waiting { method, .. } => Some(method),
            SlotState::Free | SlotState::Done(..) => None,
        }
    }

    /// An answer has come; who is to be told. One that nobody waits for is dropped.
    pub(super) fn finish(&mut self, id: u64, outcome: CallOutcome) -> Option<Waker> {
        let turn = self.turn;
        let SlotState::Waiting { caller, .. } = &mut self.place(id)?.state else { return None };
        let caller = caller.take();
        let told = caller.as_ref().map(|_| turn);
        self.told += usize::from(caller.is_some());
        self.place(id)?.state = SlotState::Done(outcome, told);
        caller
    }

    /// When to look for calls that are too late. Who asks is woken when it is to be sooner.
    pub(super) fn earliest(&mut self, cx: &Context<'_>) -> Option<Instant> {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
        self.earliest
    }

    /// Ends the calls whose deadline has passed; who is to be woken, and which calls they were.
    pub(super) fn expire(&mut self, now: Instant, expired: &mut Vec<(u64, Option<Waker>)>) {
        self.earliest = None;
        for (index, place) in self.places.iter_mut().enumerate() {
            let SlotState::Waiting { method, deadline: Some(deadline), caller } = &mut place.state else {
                continue;
            };
            if *deadline > now {
                self.earliest = Some(self.earliest.map_or(*deadline, |earliest| earliest.min(*deadline)));
                continue;
            }
            let caller = caller.take();
            let status = Status::deadline_exceeded(format!("{method}: {LATE}"));
            place.state = SlotState::Done(Err(status), None);
            expired.push((place.generation << PLACE_BITS | index as u64, caller));
        }
    }

    /// The wakers of all callers that wait.
    pub(super) fn callers(&self) -> Vec<Waker> {
        let caller = |place: &CallSlot| match &place.state {
            SlotState::Waiting { caller, .. } => caller.clone(),
            SlotState::Free | SlotState::Done(..) => None,
        };
        self.places.iter().filter_map(caller).collect()
    }

    /// Ends all calls, and takes no more.
    pub(super) fn close(&mut self, status: &Status) -> Vec<Waker> {
        self.closed = true;
        let mut callers = Vec::new();
        for place in &mut self.places {
            if let SlotState::Waiting { caller, .. } = &mut place.state {
                callers.extend(caller.take());
                place.state = SlotState::Done(Err(status.clone()), None);
            }
        }
        callers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    static METHOD: Method = Method::new("test.v1.Echo", "echo", "() -> Result<(), Status>");

    #[test]
    fn a_crowd_leaves_nothing_behind_and_no_id_comes_again() {
        let mut calls = Calls::default();
        let mut ids = HashSet::new();
        for crowd in [1000, 1, 3000, 300, 2000] {
            let at_work: Vec<u64> =
                (0..crowd).map(|_| calls.start(&METHOD, None, None).expect("there is room").id).collect();
            assert!(at_work.iter().all(|id| ids.insert(*id)));
            assert!(at_work.into_iter().all(|id| calls.abandon(id).is_some()));
            assert!(calls.places.capacity() <= 2 * KEPT, "{} for nothing", calls.places.capacity());
        }
    }

    #[test]
    fn who_was_told_is_expected_until_it_has_come_or_gone_or_the_driver_has_its_turn() {
        fn expects(calls: &mut Calls) -> bool {
            let started = calls.start(&METHOD, None, None).expect("there is room");
            calls.abandon(started.id);
            started.others.expected
        }

        let mut calls = Calls::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let outcome = || Err(Status::unavailable("no matter"));
        let start = |calls: &mut Calls, caller| calls.start(&METHOD, None, caller).expect("there is room").id;
        let ids = [(); 4].map(|()| start(&mut calls, Some(Waker::noop())));
        let untold = start(&mut calls, None);
        assert!(!expects(&mut calls));

        assert!(calls.finish(untold, outcome()).is_none());
        assert!(!expects(&mut calls), "nobody was told");
        assert!(ids[..3].iter().all(|id| calls.finish(*id, outcome()).is_some()));
        assert!(calls.poll(ids[0], cx).is_ready());
        assert!(calls.poll(untold, cx).is_ready());
        assert!(expects(&mut calls), "of three that were told one has come");
        calls.turn();
        assert!(!expects(&mut calls));

        assert!(calls.finish(ids[3], outcome()).is_some());
        assert!(calls.poll(ids[1], cx).is_ready());
        assert!(calls.abandon(ids[2]).is_none());
        assert!(expects(&mut calls), "those who come late were not waited for");
        assert!(calls.abandon(ids[3]).is_none());
        assert!(!expects(&mut calls));
    }

    #[test]
    fn only_who_has_no_company_is_alone() {
        let mut calls = Calls::default();
        let mut start = || calls.start(&METHOD, None, None).expect("there is room");
        let (first, second) = (start(), start());
        assert!(first.alone && !second.alone);
        calls.abandon(second.id);
        calls.abandon(first.id);
        assert!(calls.start(&METHOD, None, None).expect("there is room").alone);
    }
}
