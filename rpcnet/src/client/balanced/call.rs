//! A call on a balanced channel. Most calls are small and the picked endpoint answers them. These take a fast
//! path without a task or a box of their own.

use std::{
    any::Any,
    fmt,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
};

use super::{BalancedChannel, attempts::Attempts, endpoint::InFlight};
use crate::{
    Caller, Reply, Request, Status,
    message::ReplyFuture,
    runtime::Within,
    session::{Deadlines, LaneCall, inherit_trace},
};

/// A call in flight on a [`BalancedChannel`].
#[must_use = "a call is not made until it is awaited"]
pub struct BalancedCall {
    /// Kept in place while the call is on a lane: moving these two costs more than the lane itself.
    made: Option<(BalancedChannel, Request)>,
    state: BalancedCallState,
    /// Dropped when the reply has ended. If the reply is a stream, that is when the stream ends.
    kept: Option<Box<dyn Any + Send>>,
}

enum BalancedCallState {
    New,
    /// The first attempt, on a lane.
    OnLane {
        times: Deadlines,
        picked: InFlight,
        call: LaneCall,
    },
    Boxed(Within<ReplyFuture>),
    Done,
}

impl Caller for BalancedChannel {
    type Future = BalancedCall;

    fn call(&self, request: Request) -> BalancedCall {
        BalancedCall { made: Some((self.clone(), request)), state: BalancedCallState::New, kept: None }
    }
}

impl BalancedCall {
    /// Keeps `guard` until the reply has ended. If the reply is a stream, that is when the stream ends.
    pub fn keep(mut self, guard: impl Send + 'static) -> Self {
        self.kept = Some(Box::new(guard));
        self
    }

    /// Starts the call.
    fn start(&mut self, cx: &Context<'_>) -> BalancedCallState {
        let (channel, request) = self.made.as_mut().expect("a new call has its request");
        inherit_trace(request);
        let shared = &channel.inner.shared;
        let method = request.method;
        let plain = channel.inner.chain.is_none() && request.hedge().is_none() && !method.resumable();
        if plain && let Ok(picked) = shared.pick(request, &[]) {
            let picked = picked.mark_sent();
            shared.made.fetch_add(1, Ordering::Relaxed);
            let times = Deadlines::of(request, &shared.dialer.limits);
            return match picked.session.clone().start_small(request, &times, cx.waker()) {
                Ok(Some(call)) => BalancedCallState::OnLane { times, picked, call },
                Ok(None) => self.leave_fast_path(times, FirstAttempt::Begin(picked)),
                Err((status, _)) => self.leave_fast_path(times, FirstAttempt::Ended(picked, Err(status))),
            };
        }
        let (channel, request) = self.made.take().expect("a new call has its request");
        let runtime = channel.inner.shared.dialer.runtime.clone();
        let call: ReplyFuture = Box::pin(async move {
            let moves = request.method.resumable();
            let reply = match &channel.inner.chain {
                None => channel.inner.shared.clone().call(request).await,
                Some(chain) => chain.run(request).await,
            };
            match reply {
                // Keeps the channel, which follows the set of endpoints, until the stream ends: the stream
                // may have to resume elsewhere.
                Ok(reply) if moves => Ok(reply.on_end(move || drop(channel))),
                reply => reply,
            }
        });
        BalancedCallState::Boxed(runtime.within(call))
    }

    /// Leaves the fast path.
    fn leave_fast_path(&mut self, times: Deadlines, then: FirstAttempt) -> BalancedCallState {
        let (channel, request) = self.made.take().expect("a call on a lane has its request");
        let runtime = channel.inner.shared.dialer.runtime.clone();
        let call: ReplyFuture = Box::pin(async move {
            let attempts = Attempts::begun(&channel.inner.shared, request, times);
            match then {
                FirstAttempt::Begin(picked) => attempts.go_on(picked, None).await,
                FirstAttempt::GoOn(picked, call) => attempts.go_on(picked, Some(call)).await,
                FirstAttempt::Ended(picked, result) => attempts.first_ended(picked, result).await,
            }
        });
        BalancedCallState::Boxed(runtime.within(call))
    }
}

/// The progress of a first attempt that leaves the fast path.
enum FirstAttempt {
    /// An endpoint was picked, but nothing was sent.
    Begin(InFlight),
    GoOn(InFlight, LaneCall),
    Ended(InFlight, Result<Reply, Status>),
}

impl Future for BalancedCall {
    type Output = Result<Reply, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.state {
                BalancedCallState::New => {
                    self.state = BalancedCallState::Done;
                    self.state = self.start(cx);
                    if matches!(self.state, BalancedCallState::OnLane { .. }) {
                        // The lane has stored the waker.
                        return Poll::Pending;
                    }
                }
                BalancedCallState::OnLane { picked, call, .. } => {
                    let polled = Pin::new(&mut *call).poll(cx);
                    if polled.is_pending() && !picked.session.is_silent() {
                        return Poll::Pending;
                    }
                    let BalancedCallState::OnLane { times, mut picked, call } =
                        std::mem::replace(&mut self.state, BalancedCallState::Done)
                    else {
                        unreachable!("the state was just matched")
                    };
                    let Poll::Ready(outcome) = polled else {
                        self.state = self.leave_fast_path(times, FirstAttempt::GoOn(picked, call));
                        continue;
                    };
                    let (_, request) = self.made.as_ref().expect("a call on a lane has its request");
                    match picked.session.lane_answer(outcome, request) {
                        Ok(reply) => {
                            picked.record_answer(reply.load);
                            return Poll::Ready(Ok(reply));
                        }
                        // The call may be tried elsewhere.
                        Err(status) => {
                            drop(call);
                            self.state =
                                self.leave_fast_path(times, FirstAttempt::Ended(picked, Err(status)));
                        }
                    }
                }
                BalancedCallState::Boxed(call) => {
                    let result = ready!(Pin::new(call).poll(cx));
                    self.state = BalancedCallState::Done;
                    let kept = self.kept.take();
                    return Poll::Ready(match kept {
                        None => result,
                        Some(kept) => result.map(|reply| reply.on_end(move || drop(kept))),
                    });
                }
                BalancedCallState::Done => panic!("a call was polled after it was ready"),
            }
        }
    }
}

impl fmt::Debug for BalancedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            BalancedCallState::New => "not made yet",
            BalancedCallState::OnLane { .. } | BalancedCallState::Boxed(_) => "at work",
            BalancedCallState::Done => "done",
        };
        f.debug_struct("BalancedCall").field("state", &state).finish_non_exhaustive()
    }
}
