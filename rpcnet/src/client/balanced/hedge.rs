//! Hedging: a late call is made a second time elsewhere.
//!
//! Source: Dean, Barroso, "The Tail at Scale", CACM 2013 (hedged requests).

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{attempts::Attempts, endpoint::InFlight};
use crate::{Code, Hedge, Method, Reply, Request, Status, hash::IdMap, lock::Mutex, retry::Lateness};

/// The lateness that is assumed until it has been measured.
const ASSUMED: Duration = Duration::from_millis(50);

/// The measured lateness of each hedged method, and the number of hedges.
#[derive(Debug, Default)]
pub(super) struct Hedges {
    /// Keyed by the address of the method. Holds only methods that leave the delay to the channel.
    late: Mutex<IdMap<Lateness>>,
    made: AtomicU64,
}

impl Hedges {
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Records the latency of an answered call.
    pub(super) fn observe(&self, request: &Request, latency: Duration) {
        if request.hedge() == Some(Hedge::Automatic) {
            self.with(request.method, |late| late.observe(latency));
        }
    }

    fn with<T>(&self, method: &'static Method, then: impl FnOnce(&mut Lateness) -> T) -> T {
        let mut late = self.late.lock();
        then(late.entry(method.address() as u64).or_insert_with(|| Lateness::new(ASSUMED)))
    }
}

impl Attempts<'_> {
    /// The time after which the call is late; `None` if it must not be hedged.
    pub(super) fn hedge_after(&self) -> Option<Duration> {
        let (method, config) = (self.request.method, &self.shared.config);
        let hedge = self.request.hedge()?;
        let allowed = config.hedging
            && method.idempotent()
            // A relay hedges the call itself.
            && !self.shared.dialer.relays()
            && !self.request.items.is_some()
            && self.tried.len() + 2 <= config.max_attempts;
        allowed.then(|| match hedge {
            Hedge::After(delay) => delay,
            Hedge::Automatic => self.shared.hedges.with(method, |late| late.threshold()),
        })
    }

    /// Makes an attempt and, if it is late, another one elsewhere. The first answer wins and cancels the
    /// other call. If one attempt fails, the other is awaited.
    pub(super) async fn hedged(
        &mut self,
        first: InFlight,
        delay: Duration,
    ) -> (InFlight, Result<Reply, Status>) {
        let mut second = None;
        let (first_won, result, lost) = {
            let this = &*self;
            let mut one = pin!(this.attempt(&first, None));
            if let Ok(result) = tokio::time::timeout(delay, &mut one).await {
                (true, result, None)
            } else {
                second = this.hedge(&first);
                match &second {
                    None => (true, one.await, None),
                    Some(other) => {
                        let mut two = pin!(this.attempt(other, None));
                        let (first_ended, result) = tokio::select! {
                            biased;
                            result = &mut one => (true, result),
                            result = &mut two => (false, result),
                        };
                        match result {
                            Err(status) if is_of_endpoint(&status) => {
                                let result = if first_ended { two.await } else { one.await };
                                (!first_ended, result, Some(status))
                            }
                            result => (first_ended, result, None),
                        }
                    }
                }
            }
        };
        let (winner, loser) = match second {
            Some(second) if !first_won => (second, Some(first)),
            second => (first, second),
        };
        if let (Some(loser), Some(status)) = (loser, lost) {
            self.record_lost(loser, &status);
        }
        (winner, result)
    }

    /// Picks an endpoint for the hedge, if the budget allows one.
    fn hedge(&self, first: &InFlight) -> Option<InFlight> {
        let tried: Vec<_> = self.tried.iter().chain([&first.session]).cloned().collect();
        let second = self.shared.pick(&self.request, &tried).ok()?;
        let budget = &mut *self.shared.budget();
        if !budget.hedges.withdraw(&mut budget.retries) {
            return None;
        }
        self.shared.hedges.made.fetch_add(1, Ordering::Relaxed);
        Some(second.mark_sent())
    }
}

/// Returns true if another endpoint may succeed after this status.
fn is_of_endpoint(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => true,
        Code::Unimplemented => !status.maybe_executed(),
        _ => false,
    }
}
