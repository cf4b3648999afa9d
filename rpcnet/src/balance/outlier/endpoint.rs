//! The state of one endpoint: admitted, ejected, or on trial.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use super::{
    detector::Detector,
    ejection_slots::EjectionSlot,
    window::{FailureWindow, SlotCounts},
};

/// The share of its weight with which an endpoint comes back. Source: Envoy's `min_weight_percent`.
const FIRST_WEIGHT: f64 = 0.1;
/// The share by which the duration of an ejection varies.
const JITTER: f64 = 0.2;
/// The time after which a trial call without an outcome counts as lost, so that another one may be made.
const TRIAL_LOST: Duration = Duration::from_secs(60);

/// The outcome of a call, in terms of the endpoint's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The endpoint answered. Errors that lie with the call or its caller count as answers too.
    Success,
    /// The call failed for a reason that lies with the endpoint or the path to it.
    Failure,
    /// Its deadline passed.
    Timeout,
    /// The call ended in a way that says nothing, for example because its caller cancelled it.
    Unknown,
}

/// An endpoint's readiness for calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialState {
    /// The endpoint takes calls.
    Yes,
    /// The endpoint takes one call, whose outcome decides about further ones.
    Trial,
    /// The endpoint takes no calls.
    No,
}

/// The reason of an ejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Consecutive calls failed.
    InARow,
    /// The success rate was lower than at other endpoints.
    SuccessRate,
    /// The share of failed calls was above the bound.
    FailureShare,
    /// A trial call failed.
    Trial,
    /// Reported from outside: by another client, a director, or a health check.
    Told,
}

/// An ejection of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ejected {
    /// The end of the ejection. A trial call is made then.
    pub until: Instant,
    /// The reason of the ejection.
    pub cause: Cause,
    /// The number of this ejection among consecutive ones, from 1.
    pub times: u32,
}

/// The state of one endpoint. While the endpoint is ejected, it holds a slot of its [`Detector`], which is freed on
/// drop.
#[derive(Debug)]
pub struct Outlier {
    state: EjectionState,
    /// Consecutive failures, in halves.
    run: u32,
    window: FailureWindow,
    /// The number of consecutive ejections.
    times: u32,
    /// Calls that began before this time are ignored.
    counts_from: Option<Instant>,
}

#[derive(Debug)]
enum EjectionState {
    In { since: Instant, slow_start: Duration },
    Out { until: Instant, trial: Option<Instant>, passed: u32, slot: EjectionSlot },
}

impl Outlier {
    /// Creates the state of an unknown endpoint, which takes calls.
    pub fn new(now: Instant) -> Self {
        Self {
            state: EjectionState::In { since: now, slow_start: Duration::ZERO },
            run: 0,
            window: FailureWindow::new(now),
            times: 0,
            counts_from: None,
        }
    }

    /// Returns whether a call may go to the endpoint now.
    pub fn admits(&self, now: Instant) -> TrialState {
        match self.state {
            EjectionState::In { .. } => TrialState::Yes,
            EjectionState::Out { until, .. } if now < until => TrialState::No,
            EjectionState::Out { trial: Some(since), .. }
                if now.saturating_duration_since(since) < TRIAL_LOST =>
            {
                TrialState::No
            }
            EjectionState::Out { .. } => TrialState::Trial,
        }
    }

    /// Records that a picked call starts. Returns false if it must not start, because another call has become the trial
    /// in the meantime or the endpoint was ejected.
    #[must_use]
    pub fn begin(&mut self, now: Instant) -> bool {
        let admission = self.admits(now);
        if let (TrialState::Trial, EjectionState::Out { trial, .. }) = (admission, &mut self.state) {
            *trial = Some(now);
        }
        admission != TrialState::No
    }

    /// Records the outcome of a call that [began](Self::begin) at this time. Returns the ejection that follows from it,
    /// if any.
    ///
    /// Calls that began before the end of an ejection are ignored.
    pub fn observe(
        &mut self,
        detector: &Detector,
        began: Instant,
        now: Instant,
        outcome: CallOutcome,
        rng: &mut impl Rng,
    ) -> Option<Ejected> {
        if self.counts_from.is_some_and(|from| began < from) {
            return None;
        }
        let config = detector.config();
        if let EjectionState::Out { trial, passed, .. } = &mut self.state {
            if *trial == Some(began) {
                *trial = None;
            }
            match outcome {
                CallOutcome::Unknown => {}
                CallOutcome::Failure | CallOutcome::Timeout => {
                    return self.eject(detector, now, Cause::Trial, rng);
                }
                CallOutcome::Success => {
                    *passed += 1;
                    if *passed >= config.trials {
                        self.state = EjectionState::In { since: now, slow_start: config.slow_start };
                    }
                }
            }
            return None;
        }
        self.run = match outcome {
            CallOutcome::Unknown => return None,
            CallOutcome::Success => 0,
            CallOutcome::Failure => self.run.saturating_add(2),
            CallOutcome::Timeout => self.run.saturating_add(1),
        };
        self.window.add(now, outcome != CallOutcome::Success);
        if config.in_a_row > 0 && self.run >= config.in_a_row.saturating_mul(2) {
            return self.eject(detector, now, Cause::InARow, rng);
        }
        None
    }

    /// Ejects the endpoint, unless the bound on ejections is reached.
    pub fn eject(
        &mut self,
        detector: &Detector,
        now: Instant,
        cause: Cause,
        rng: &mut impl Rng,
    ) -> Option<Ejected> {
        let config = detector.config();
        let fresh = FailureWindow::new(now);
        let (slot, well) = match std::mem::replace(
            &mut self.state,
            EjectionState::In { since: now, slow_start: Duration::ZERO },
        ) {
            EjectionState::Out { slot, .. } => (slot, Duration::ZERO),
            EjectionState::In { since, slow_start } => match detector.slot() {
                Some(slot) => (slot, now.saturating_duration_since(since)),
                None => {
                    self.state = EjectionState::In { since, slow_start };
                    return None;
                }
            },
        };
        let forgiven = well.as_nanos() / config.forgiven_after.as_nanos().max(1);
        self.times = self.times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)).saturating_add(1);
        let doubled = 1_u32.checked_shl(self.times - 1).unwrap_or(u32::MAX);
        let time = config.ejection.saturating_mul(doubled).min(config.longest_ejection);
        let until = now + time.mul_f64(rng.random_range(1.0 - JITTER..=1.0 + JITTER));
        self.state = EjectionState::Out { until, trial: None, passed: 0, slot };
        self.run = 0;
        self.window = fresh;
        self.counts_from = Some(until);
        Some(Ejected { until, cause, times: self.times })
    }

    /// Returns the share of its weight that the endpoint has now. It is less than 1 for a while after an ejection.
    pub fn weight(&self, now: Instant) -> f64 {
        let EjectionState::In { since, slow_start } = self.state else {
            // A trial is only one call. With less weight it might never be made.
            return 1.0;
        };
        let back = now.saturating_duration_since(since);
        if back >= slow_start {
            return 1.0;
        }
        FIRST_WEIGHT + (1.0 - FIRST_WEIGHT) * back.as_secs_f64() / slow_start.as_secs_f64()
    }

    /// Returns the end of the ejection; `None` if the endpoint is not ejected.
    pub fn out_until(&self) -> Option<Instant> {
        match self.state {
            EjectionState::In { .. } => None,
            EjectionState::Out { until, .. } => Some(until),
        }
    }

    /// Returns the last calls, if the endpoint is not ejected and had at least `calls` of them.
    pub(super) fn last(&self, now: Instant, calls: u32, within: Duration) -> Option<SlotCounts> {
        let EjectionState::In { .. } = self.state else { return None };
        Some(self.window.last(now, calls, within)).filter(|counts| counts.calls >= calls)
    }
}
