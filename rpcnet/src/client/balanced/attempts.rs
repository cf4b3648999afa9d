//! Makes a call until it has an answer, or must not be made again.

use std::sync::atomic::Ordering;

use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{BalancedShared, endpoint::InFlight};
use crate::{
    Code, Reply, Request, Status,
    message::Answer,
    retry::retry_pause,
    session::{LaneCall, Session, Times, after},
};

/// A call with what its attempts have come to.
pub(super) struct Attempts<'a> {
    pub(super) shared: &'a BalancedShared,
    pub(super) request: Request,
    pub(super) times: Times,
    /// The connections that it was made on. None of the same lives of their endpoints is tried again.
    pub(super) tried: Vec<Session>,
    last: Option<Status>,
    maybe_executed: bool,
    /// Where a stream is to go on elsewhere: the connection that it came from.
    left: Option<Session>,
    answered_by: Option<Session>,
}

impl<'a> Attempts<'a> {
    /// A call that is made now.
    pub(super) fn new(shared: &'a BalancedShared, request: Request) -> Self {
        shared.made.fetch_add(1, Ordering::Relaxed);
        let times = Times::of(&request, &shared.dialer.limits);
        Self::begun(shared, request, times)
    }

    /// A call that was made at some time, and counted.
    pub(super) fn begun(shared: &'a BalancedShared, request: Request, times: Times) -> Self {
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

    /// Makes it, best elsewhere than on this connection. Gives the one on which it was answered.
    pub(super) async fn run_elsewhere(mut self, left: Option<Session>) -> Result<(Reply, Session), Status> {
        self.left = left;
        let reply = self.run().await?;
        Ok((reply, self.answered_by.expect("it was answered on one")))
    }

    /// Makes it.
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
            if let Some(result) = self.ended(picked, result).await {
                return result;
            }
        }
    }

    /// Goes on with a first attempt, which may be on its lane already.
    pub(super) async fn go_on(self, picked: InFlight, call: Option<LaneCall>) -> Result<Reply, Status> {
        let result = self.attempt(&picked, call).await;
        self.first_ended(picked, result).await
    }

    /// Goes on after a first attempt that has ended.
    pub(super) async fn first_ended(
        mut self,
        picked: InFlight,
        result: Result<Reply, Status>,
    ) -> Result<Reply, Status> {
        match self.ended(picked, result).await {
            Some(result) => result,
            None => self.run().await,
        }
    }

    /// An endpoint for the next attempt.
    async fn next(&self) -> Result<InFlight, Status> {
        let elsewhere = match (&self.last, &self.left) {
            (None, Some(left)) => self.shared.pick(&self.request, std::slice::from_ref(left)).ok(),
            _ => None,
        };
        if let Some(picked) = elsewhere {
            return Ok(picked.begun());
        }
        match &self.last {
            // Where all others are full too, or there is none, the caller is to know at once.
            Some(status) if matches!(status.code(), Code::ResourceExhausted | Code::Unimplemented) => {
                self.shared.pick(&self.request, &self.tried).map_err(|_| status.clone())
            }
            _ => self.shared.pick_or_wait(&self.request, &self.tried, self.times.open_by()).await,
        }
        .map(InFlight::begun)
    }

    /// One attempt. An idempotent call leaves an endpoint that has gone silent if there is another.
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
            // Items that were sent are gone: then there is nothing to send elsewhere.
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

    /// What an attempt came to: the call's result, or nothing, and then it may be made again.
    async fn ended(
        &mut self,
        mut picked: InFlight,
        result: Result<Reply, Status>,
    ) -> Option<Result<Reply, Status>> {
        let status = match result {
            Ok(mut reply) => {
                let latency = picked.answered(reply.load);
                self.answered_by = Some(picked.session.clone());
                self.shared.hedges.observe(&self.request, latency);
                // A stream is at work there until it ends.
                if let Answer::Items(items) = &mut reply.answer {
                    items.keep(picked);
                }
                return Some(Ok(reply));
            }
            Err(status) => status,
        };
        let addr = picked.member.addr();
        self.lost(picked, &status);
        let again = self.may_repeat(&status);
        // What the caller is told is about all attempts: an earlier one may have run.
        let status = status.with_maybe_executed(self.maybe_executed);
        if !again {
            return Some(Err(status));
        }
        debug!(method = %self.request.method, endpoint = %addr, %status, "sent again");
        let paused = self.pause(&status).await;
        if !paused {
            return Some(Err(status));
        }
        self.last = Some(status);
        None
    }

    /// An attempt has failed.
    pub(super) fn lost(&mut self, mut picked: InFlight, status: &Status) {
        picked.failed(status);
        self.tried.push(picked.session.clone());
        self.maybe_executed |= status.maybe_executed();
    }

    /// Whether a failed attempt may be followed by another.
    pub(super) fn may_repeat(&self, status: &Status) -> bool {
        if self.tried.len() >= self.shared.config.max_attempts || !self.request.is_repeatable() {
            return false;
        }
        // A relay has tried what it could; one that knows no server, or none of the service, may be followed by one that
        // does.
        let knows_none = matches!(status.code(), Code::Unavailable | Code::Unimplemented);
        if status.is_handed_on() && (status.maybe_executed() || !knows_none) {
            return false;
        }
        let withdraw = || self.shared.budget().retries.withdraw();
        if !status.maybe_executed() {
            return match status.code() {
                Code::Unavailable | Code::Unauthenticated => true,
                // Its list of services is out of date, or it has told none: another endpoint may have the service.
                Code::Unimplemented => self.shared.has_untried(self.request.user_service(), &self.tried),
                // It was full, and says when it will not be: another may have room. Where none has, retries must not
                // make it worse.
                Code::ResourceExhausted => status.retry_after().is_some() && withdraw(),
                _ => false,
            };
        }
        self.request.method.idempotent() && status.code() == Code::Unavailable && withdraw()
    }

    /// Waits before the next attempt where that may do harm; says whether there is time for it.
    async fn pause(&self, status: &Status) -> bool {
        let asked = match status.code() {
            // Another endpoint has its own room.
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
