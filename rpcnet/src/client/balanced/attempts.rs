//! Makes the attempts of a call until it has an answer or must not be tried again.

use std::sync::atomic::Ordering;

use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{BalancedShared, endpoint::InFlight};
use crate::{
    Code, Reply, Request, Status,
    message::Answer,
    retry::retry_pause,
    session::{Deadlines, LaneCall, Session, after},
};

/// A call and the results of its attempts so far.
pub(super) struct Attempts<'a> {
    pub(super) shared: &'a BalancedShared,
    pub(super) request: Request,
    pub(super) times: Deadlines,
    /// The sessions on which the call was tried. No session of the same epoch of an endpoint is tried again.
    pub(super) tried: Vec<Session>,
    last: Option<Status>,
    maybe_executed: bool,
    /// The session that a resuming stream came from. The first attempt prefers another.
    left: Option<Session>,
    answered_by: Option<Session>,
}

impl<'a> Attempts<'a> {
    /// Starts a call and counts it in the budget.
    pub(super) fn new(shared: &'a BalancedShared, request: Request) -> Self {
        shared.made.fetch_add(1, Ordering::Relaxed);
        let times = Deadlines::of(&request, &shared.dialer.limits);
        Self::begun(shared, request, times)
    }

    /// Continues with a call that was counted before.
    pub(super) fn begun(shared: &'a BalancedShared, request: Request, times: Deadlines) -> Self {
        Self {
            shared,
            request,
            times,
            tried: Vec::new(),
            last: None,
            maybe_executed: false,
            left: None,
            answered_by: None,
        }
    }

    /// Makes the call, if possible not on the session in `left`. Returns the reply and the session that
    /// answered.
    pub(super) async fn run_elsewhere(mut self, left: Option<Session>) -> Result<(Reply, Session), Status> {
        self.left = left;
        let reply = self.run().await?;
        Ok((reply, self.answered_by.expect("a reply came on a session")))
    }

    /// Makes the call.
    pub(super) async fn run(&mut self) -> Result<Reply, Status> {
        loop {
            let picked = match self.next().await {
                Ok(picked) => picked,
                Err(status) => return Err(self.last.take().unwrap_or(status)),
            };
            if self.last.is_some() || self.left.is_some() {
                self.shared.retries.fetch_add(1, Ordering::Relaxed);
                self.times = self.times.having_waited();
            }
            let (picked, result) = match self.hedge_after() {
                Some(delay) => self.hedged(picked, delay).await,
                None => {
                    let result = self.attempt(&picked, None).await;
                    (picked, result)
                }
            };
            if let Some(result) = self.after_attempt(picked, result).await {
                return result;
            }
        }
    }

    /// Continues with the first attempt, which may have started on a lane.
    pub(super) async fn go_on(self, picked: InFlight, call: Option<LaneCall>) -> Result<Reply, Status> {
        let result = self.attempt(&picked, call).await;
        self.first_ended(picked, result).await
    }

    /// Continues after the first attempt has ended.
    pub(super) async fn first_ended(
        mut self,
        picked: InFlight,
        result: Result<Reply, Status>,
    ) -> Result<Reply, Status> {
        match self.after_attempt(picked, result).await {
            Some(result) => result,
            None => self.run().await,
        }
    }

    /// Picks an endpoint for the next attempt.
    async fn next(&self) -> Result<InFlight, Status> {
        let elsewhere = match (&self.last, &self.left) {
            (None, Some(left)) => self.shared.pick(&self.request, std::slice::from_ref(left)).ok(),
            _ => None,
        };
        if let Some(picked) = elsewhere {
            return Ok(picked.mark_sent());
        }
        match &self.last {
            // If no other endpoint qualifies, the caller should know at once.
            Some(status) if matches!(status.code(), Code::ResourceExhausted | Code::Unimplemented) => {
                self.shared.pick(&self.request, &self.tried).map_err(|_| status.clone())
            }
            _ => self.shared.pick_or_wait(&self.request, &self.tried, self.times.open_by()).await,
        }
        .map(InFlight::mark_sent)
    }

    /// Makes one attempt. An idempotent call leaves an endpoint that has gone silent if another takes calls.
    pub(super) async fn attempt(&self, picked: &InFlight, begun: Option<LaneCall>) -> Result<Reply, Status> {
        let (request, session) = (&self.request, &picked.session);
        let call = async {
            match begun {
                Some(call) => session.lane_answer(call.await, request),
                None => session.call(request, &self.times).await,
            }
        };
        if !request.method.idempotent() || self.tried.len() + 1 >= self.shared.config.max_attempts {
            return call.await;
        }
        let elsewhere = async {
            session.unresponsive().await;
            // Request items that were sent cannot be sent again, so such a call stays.
            while !request.is_repeatable()
                || !self.shared.has_other(&picked.member, request.user_service(), &self.tried)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            biased;
            result = call => result,
            () = elsewhere => Err(Status::unavailable("the endpoint has gone silent")),
        }
    }

    /// Handles the end of an attempt. Returns the call's result, or `None` if the call may be tried again.
    async fn after_attempt(
        &mut self,
        mut picked: InFlight,
        result: Result<Reply, Status>,
    ) -> Option<Result<Reply, Status>> {
        let status = match result {
            Ok(mut reply) => {
                let latency = picked.record_answer(reply.load);
                self.answered_by = Some(picked.session.clone());
                self.shared.hedges.observe(&self.request, latency);
                // A stream counts as a call in flight there until it ends.
                if let Answer::Items(items) = &mut reply.answer {
                    items.keep(picked);
                }
                return Some(Ok(reply));
            }
            Err(status) => status,
        };
        let addr = picked.member.addr();
        self.record_lost(picked, &status);
        let again = self.may_repeat(&status);
        // The caller's status covers all attempts: an earlier one may have run.
        let status = status.with_maybe_executed(self.maybe_executed);
        if !again {
            return Some(Err(status));
        }
        debug!(method = %self.request.method, endpoint = %addr, %status, "retrying");
        let paused = self.pause(&status).await;
        if !paused {
            return Some(Err(status));
        }
        self.last = Some(status);
        None
    }

    /// Records a failed attempt.
    pub(super) fn record_lost(&mut self, mut picked: InFlight, status: &Status) {
        picked.record_failure(status);
        self.tried.push(picked.session.clone());
        self.maybe_executed |= status.maybe_executed();
    }

    /// Returns true if another attempt may follow the failed one.
    pub(super) fn may_repeat(&self, status: &Status) -> bool {
        if self.tried.len() >= self.shared.config.max_attempts || !self.request.is_repeatable() {
            return false;
        }
        // A relay has already retried. If it knows no server, or none with the service, another relay may
        // know one.
        let knows_none = matches!(status.code(), Code::Unavailable | Code::Unimplemented);
        if status.is_handed_on() && (status.maybe_executed() || !knows_none) {
            return false;
        }
        let withdraw = || self.shared.budget().retries.withdraw();
        if !status.maybe_executed() {
            return match status.code() {
                Code::Unavailable | Code::Unauthenticated => true,
                // The list of services that we know is out of date, or the endpoint announced none: another
                // may have the service.
                Code::Unimplemented => self.shared.has_untried(self.request.user_service(), &self.tried),
                // The endpoint is full and says when to try again; another may have room. The budget keeps
                // retries from adding to the load when all are full.
                Code::ResourceExhausted => status.retry_after().is_some() && withdraw(),
                _ => false,
            };
        }
        self.request.method.idempotent() && status.code() == Code::Unavailable && withdraw()
    }

    /// Waits before the next attempt if an immediate one might do harm. Returns false if the deadline leaves
    /// no time for it.
    async fn pause(&self, status: &Status) -> bool {
        let asked = match status.code() {
            // The request to wait concerns this endpoint only.
            Code::ResourceExhausted => None,
            _ => status.retry_after(),
        };
        if asked.is_none() && !status.maybe_executed() {
            return true;
        }
        let pause = self.shared.with_rng(|rng| retry_pause(self.tried.len(), asked, rng));
        if pause.is_zero() {
            return true;
        }
        let until = after(Instant::now(), pause);
        if self.times.call.is_some_and(|deadline| until >= deadline) {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}
