//! One endpoint: in, out, or tried.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use super::{
    detector::Detector,
    ejection_slots::EjectionSlot,
    window::{FailureWindow, SlotCounts},
};

/// The weight with which one that is back begins. Source: Envoy's `min_weight_percent`.
const FIRST_WEIGHT: f64 = 0.1;
/// Ejections are longer or shorter by up to this share.
const JITTER: f64 = 0.2;
/// A trial of which nothing was heard for so long keeps no other away: who made it has forgotten it.
const TRIAL_LOST: Duration = Duration::from_secs(60);

/// How a call ended, as far as it says something of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was answered. An error that lies with the call or its caller is such an answer too.
    Success,
    /// It failed for a reason that lies with the endpoint, or with the path to it.
    Failure,
    /// Its deadline passed.
    Timeout,
    /// It ended otherwise, cancelled by its caller say, which says nothing.
    Unknown,
}

/// Whether a call may go to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialState {
    /// As to any other.
    Yes,
    /// One may, which decides whether others may.
    Trial,
    /// None may.
    No,
}

/// Why an endpoint is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Calls failed one after the other.
    InARow,
    /// More calls failed than elsewhere.
    SuccessRate,
    /// More calls failed than may.
    FailureShare,
    /// It was out, and the trial failed.
    Trial,
    /// Somebody says so: another client or a director, or a check of its health.
    Told,
}

/// That an endpoint was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ejected {
    /// When it will be tried again.
    pub until: Instant,
    /// Why it is out.
    pub cause: Cause,
    /// The how manieth time in a row this is, from 1.
    pub times: u32,
}

/// What is remembered of one endpoint. It has a seat with its [`Detector`] while it is out, and gives it back when dropped.
#[derive(Debug)]
pub struct Outlier {
    state: EjectionState,
    /// Failures in a row, in halves.
    run: u32,
    window: FailureWindow,
    /// Ejections in a row.
    times: u32,
    /// Calls that began before say nothing any more.
    counts_from: Option<Instant>,
}

#[derive(Debug)]
enum EjectionState {
    In { since: Instant, slow_start: Duration },
    Out { until: Instant, trial: Option<Instant>, passed: u32, seat: EjectionSlot },
}

impl Outlier {
    /// An endpoint of which nothing is known; it is in.
    pub fn new(now: Instant) -> Self {
        Self {
            state: EjectionState::In { since: now, slow_start: Duration::ZERO },
            run: 0,
            window: FailureWindow::new(now),
            times: 0,
            counts_from: None,
        }
    }

    /// Whether a call may go there now.
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

    /// A call goes there that was picked; false where it must not, since another call has become the trial meanwhile, or
    /// the endpoint went out.
    #[must_use]
    pub fn begin(&mut self, now: Instant) -> bool {
        let admission = self.admits(now);
        if let (TrialState::Trial, EjectionState::Out { trial, .. }) = (admission, &mut self.state) {
            *trial = Some(now);
        }
        admission != TrialState::No
    }

    /// A call has ended that [began](Self::begin) then. Says if the endpoint is out because of that.
    ///
    /// What began before the endpoint was out, and ends later, says nothing.
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

    /// Takes it out, unless as many are out as may be.
    pub fn eject(
        &mut self,
        detector: &Detector,
        now: Instant,
        cause: Cause,
        rng: &mut impl Rng,
    ) -> Option<Ejected> {
        let config = detector.config();
        let fresh = FailureWindow::new(now);
        let (seat, well) = match std::mem::replace(
            &mut self.state,
            EjectionState::In { since: now, slow_start: Duration::ZERO },
        ) {
            EjectionState::Out { seat, .. } => (seat, Duration::ZERO),
            EjectionState::In { since, slow_start } => match detector.seat() {
                Some(seat) => (seat, now.saturating_duration_since(since)),
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
        self.state = EjectionState::Out { until, trial: None, passed: 0, seat };
        self.run = 0;
        self.window = fresh;
        self.counts_from = Some(until);
        Some(Ejected { until, cause, times: self.times })
    }

    /// The share of its weight that it has now: less than 1 for a while after it was out.
    pub fn weight(&self, now: Instant) -> f64 {
        let EjectionState::In { since, slow_start } = self.state else {
            // A trial is one call anyway; with less weight it would not be made.
            return 1.0;
        };
        let back = now.saturating_duration_since(since);
        if back >= slow_start {
            return 1.0;
        }
        FIRST_WEIGHT + (1.0 - FIRST_WEIGHT) * back.as_secs_f64() / slow_start.as_secs_f64()
    }

    /// Until when it is out: then it is tried.
    pub fn out_until(&self) -> Option<Instant> {
        match self.state {
            EjectionState::In { .. } => None,
            EjectionState::Out { until, .. } => Some(until),
        }
    }

    /// Its last calls, if it is in and there were so many.
    pub(super) fn last(&self, now: Instant, calls: u32, within: Duration) -> Option<SlotCounts> {
        let EjectionState::In { .. } = self.state else { return None };
        Some(self.window.last(now, calls, within)).filter(|counts| counts.calls >= calls)
    }
}
