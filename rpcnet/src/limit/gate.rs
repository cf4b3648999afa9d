//! Admission of calls: [`Queue`] and [`Gradient`] behind a mutex.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Admission,
    gradient::Gradient,
    queue::{Decision, Queue, Settled, Shed, ShedReason, Ticket},
};
use crate::{lock::Mutex, metrics::Metrics};

/// The end of an admitted call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PermitOutcome {
    /// Its handler returned any result. The time that it took shows the server's load.
    Completed,
    /// Its caller or its deadline cut it off, or it is a stream, whose duration says nothing about the load.
    Abandoned,
}

/// Admits calls according to an [`Admission`]. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    shared: Arc<GateShared>,
}

#[derive(Debug)]
struct GateShared {
    state: Mutex<GateState>,
    metrics: Metrics,
}

#[derive(Debug)]
struct GateState {
    queue: Queue,
    gradient: Option<Gradient>,
    waiting: HashMap<Ticket, oneshot::Sender<Result<Instant, Shed>>>,
}

impl Gate {
    pub(crate) fn new(admission: &Admission, metrics: Metrics) -> Self {
        let queue = Queue::new(admission.first_limit(), admission.queue());
        metrics.admission(queue.limit(), 0);
        let state = GateState { queue, gradient: admission.gradient(), waiting: HashMap::new() };
        Self { shared: Arc::new(GateShared { state: Mutex::new(state), metrics }) }
    }

    /// Waits for the call's turn, at most until its deadline. The caller holds the permit until the handler has ended.
    ///
    /// Cancel-safe: dropping the future frees the call's place in the queue, or its turn if that has just come.
    ///
    /// # Errors
    ///
    /// [`Shed`] if the call must not start: the queue is full of calls that go first, now or while the call waits, or
    /// the deadline comes before its turn.
    pub(crate) async fn enter(&self, priority: i8, deadline: Option<Instant>) -> Result<Permit, Shed> {
        let now = Instant::now();
        let verdict = {
            let mut state = self.shared.state();
            match state.queue.offer(now.into_std(), priority, deadline.map(Instant::into_std)) {
                Decision::Run => Ok(None),
                Decision::Wait(ticket) => {
                    let (sender, decision) = oneshot::channel();
                    state.waiting.insert(ticket, sender);
                    state.settle(now, &self.shared.metrics);
                    Ok(Some(Waiter { shared: &self.shared, ticket, decision }))
                }
                Decision::Shed(shed) => {
                    // The offer may have expired other calls.
                    state.settle(now, &self.shared.metrics);
                    Err(shed)
                }
            }
        };
        let decided = match verdict {
            Ok(None) => Ok(now),
            Ok(Some(mut waiter)) => waiter.wait(deadline).await,
            Err(shed) => Err(shed),
        };
        match decided {
            Ok(since) => Ok(Permit { shared: self.shared.clone(), since, outcome: PermitOutcome::Abandoned }),
            Err(shed) => {
                self.shared.metrics.shed(shed.reason);
                Err(shed)
            }
        }
    }
}

impl GateShared {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock()
    }

    fn release(&self, since: Instant, outcome: PermitOutcome) {
        let now = Instant::now();
        let held = now.saturating_duration_since(since);
        let mut state = self.state();
        let in_flight = state.queue.running();
        state.queue.release(now.into_std(), held);
        if let Some(gradient) = &mut state.gradient {
            match outcome {
                PermitOutcome::Completed => gradient.observe(now.into_std(), held, in_flight),
                PermitOutcome::Abandoned => gradient.pass(now.into_std()),
            }
            let limit = gradient.limit();
            if limit != state.queue.limit() {
                state.queue.set_limit(now.into_std(), limit);
                self.metrics.admission(limit, state.queue.queued());
            }
        }
        state.settle(now, &self.metrics);
    }
}

impl GateState {
    /// Tells waiting calls their outcome.
    fn settle(&mut self, now: Instant, metrics: &Metrics) {
        if self.queue.queued() == 0 && self.waiting.is_empty() {
            return;
        }
        while let Some((ticket, settled)) = self.queue.poll() {
            let Some(waiter) = self.waiting.remove(&ticket) else { continue };
            // The receiver still exists: a dropped waiter first removes its sender, under the same lock.
            let _ = waiter.send(match settled {
                Settled::Started => Ok(now),
                Settled::Shed(shed) => Err(shed),
            });
        }
        metrics.admission(self.queue.limit(), self.queue.queued());
    }
}

/// A call that waits for its turn.
struct Waiter<'a> {
    shared: &'a GateShared,
    ticket: Ticket,
    decision: oneshot::Receiver<Result<Instant, Shed>>,
}

impl Waiter<'_> {
    async fn wait(&mut self, deadline: Option<Instant>) -> Result<Instant, Shed> {
        let decision = match deadline {
            Some(deadline) => timeout_at(deadline, &mut self.decision).await.ok(),
            None => Some((&mut self.decision).await),
        };
        match decision {
            Some(Ok(decided)) => decided,
            // The sender is dropped only after a decision, so the deadline has passed.
            Some(Err(_)) | None => Err(self.shared.state().queue.shed(ShedReason::Late)),
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.waiting.remove(&self.ticket).is_some() {
            state.queue.abandon(self.ticket);
            self.shared.metrics.admission(state.queue.limit(), state.queue.queued());
            return;
        }
        drop(state);
        // The turn came, but the waiter was dropped before it noticed.
        if let Ok(Ok(since)) = self.decision.try_recv() {
            self.shared.release(since, PermitOutcome::Abandoned);
        }
    }
}

/// The permit of a running call. Dropping it ends the call's turn.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<GateShared>,
    since: Instant,
    outcome: PermitOutcome,
}

impl Permit {
    /// Records the end of the handler.
    pub(crate) fn done(mut self, outcome: PermitOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.release(self.since, self.outcome);
    }
}

#[cfg(test)]
mod tests;
