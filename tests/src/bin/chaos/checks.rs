//! Invariants of the calls of a run: a pure function of what was seen.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range, time::Duration};

use rpcnet::Code;

use crate::{
    ledger::Executions,
    load::{End, Failed, Kind, Outcome},
};

/// By how much a call may outlast its deadline.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// The codes by which callers may learn of a fault. Nothing here limits admission, so nothing is exhausted.
const EXPECTED: [Code; 2] = [Code::Unavailable, Code::DeadlineExceeded];
/// Of each invariant so many breaches are told.
const TOLD: usize = 5;

/// Counts and breaches of a run's calls.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) calls: u64,
    pub(crate) idempotent: u64,
    pub(crate) idempotent_failed: u64,
    /// By code.
    pub(crate) failed: BTreeMap<&'static str, u64>,
    /// Breaches of each invariant.
    pub(crate) breaches: BTreeMap<Invariant, u64>,
    /// The first of each.
    pub(crate) told: Vec<String>,
    /// Of small calls that are answered at once, in quiet times, in microseconds.
    pub(crate) quiet: Vec<u64>,
    /// The quiet calls: whatever kind.
    pub(crate) quiet_calls: u64,
}

/// An invariant of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// An answer that the caller has is of an execution that a ledger has.
    Lost,
    /// It is the right one.
    Wrong,
    /// A call that is not idempotent runs once at most.
    ExecutedTwice,
    /// A call that is said not to have run has not.
    ExecutedThough,
    /// Errors are of a kind that faults explain.
    UnexpectedError,
    /// Calls end at their deadlines.
    Overdue,
    /// In quiet times none fails.
    FailedWhenQuiet,
}

impl Invariant {
    pub(crate) const ALL: [Self; 7] = [
        Self::Lost,
        Self::Wrong,
        Self::ExecutedTwice,
        Self::ExecutedThough,
        Self::UnexpectedError,
        Self::Overdue,
        Self::FailedWhenQuiet,
    ];

    /// The name of its row.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost-results",
            Self::Wrong => "wrong-results",
            Self::ExecutedTwice => "executed-twice",
            Self::ExecutedThough => "executed-though-said-not",
            Self::UnexpectedError => "unexpected-errors",
            Self::Overdue => "overdue",
            Self::FailedWhenQuiet => "failed-when-quiet",
        }
    }
}

impl Findings {
    fn breach(&mut self, invariant: Invariant, outcome: &Outcome, what: &str) {
        let count = self.breaches.entry(invariant).or_default();
        *count += 1;
        if *count <= TOLD as u64 {
            let Outcome { id, kind, began, took, .. } = outcome;
            let (began, took) = (began.as_secs_f64(), took.as_secs_f64());
            let name = invariant.name();
            self.told
                .push(format!("{name}: {kind:?} {id:#x}, begun at {began:.2} s, took {took:.3} s: {what}"));
        }
    }
}

/// Compares what callers saw with what workers wrote down. Times are since the beginning of the run; for `stalled` at
/// the most the callers had no processor, and ended late for that.
pub(crate) fn check(
    outcomes: &[Outcome],
    executions: &Executions,
    quiet: &[Range<Duration>],
    stalled: Duration,
) -> Findings {
    let mut findings = Findings { calls: outcomes.len() as u64, ..Findings::default() };
    for outcome in outcomes {
        judge(&mut findings, outcome, executions, stalled);
        if quiet.iter().any(|quiet| quiet.start <= outcome.began && outcome.began + outcome.took <= quiet.end)
        {
            in_quiet(&mut findings, outcome);
        }
    }
    findings
}

fn judge(findings: &mut Findings, outcome: &Outcome, executions: &Executions, stalled: Duration) {
    let Outcome { id, kind, .. } = *outcome;
    findings.idempotent += u64::from(kind.is_idempotent());
    match &outcome.end {
        End::Answered { execution } if !executions.has(id, *execution) => {
            findings.breach(Invariant::Lost, outcome, "no ledger has its execution");
        }
        End::Answered { .. } => {}
        End::Wrong(what) => findings.breach(Invariant::Wrong, outcome, what),
        End::Failed(failed) => {
            *findings.failed.entry(failed.code.as_str()).or_default() += 1;
            findings.idempotent_failed += u64::from(kind.is_idempotent());
            if !EXPECTED.contains(&failed.code) {
                findings.breach(Invariant::UnexpectedError, outcome, &failed.to_string());
            }
            if !failed.maybe_executed && executions.count(id) > 0 {
                findings.breach(Invariant::ExecutedThough, outcome, &failed.to_string());
            }
        }
    }
    let count = executions.count(id);
    if !kind.is_idempotent() && count > 1 {
        findings.breach(Invariant::ExecutedTwice, outcome, &format!("{count} executions"));
    }
    if outcome.took > kind.deadline() + GRACE + stalled {
        findings.breach(Invariant::Overdue, outcome, &ended(&outcome.end));
    }
}

fn in_quiet(findings: &mut Findings, outcome: &Outcome) {
    findings.quiet_calls += 1;
    match &outcome.end {
        End::Answered { .. } => {
            if outcome.prompt && matches!(outcome.kind, Kind::Repeatable | Kind::Once) {
                findings.quiet.push(outcome.took.as_micros() as u64);
            }
        }
        end => findings.breach(Invariant::FailedWhenQuiet, outcome, &ended(end)),
    }
}

fn ended(end: &End) -> String {
    match end {
        End::Answered { .. } => "answered".to_owned(),
        End::Wrong(what) => what.clone(),
        End::Failed(failed) => Failed::to_string(failed),
    }
}
