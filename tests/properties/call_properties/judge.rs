//! The results that a call may have, given what was done to it.

use std::time::Duration;

use rpcnet::{Code, Status};
use tokio::time::Instant;

use super::{
    client::{Attempt, End, Report, SourceEnd},
    script::{DEFAULT_TIMEOUT, Shape},
    service::{Account, Verdict},
};

/// Circumstances that may keep calls from the results of their handlers.
#[derive(Debug, Default)]
pub(crate) struct Circumstances {
    /// A connection was cut or ended, then for the first time.
    pub(crate) disturbed: Option<Instant>,
    /// A server has taken nothing new.
    pub(crate) drained: bool,
    /// Calls may be refused for want of room.
    pub(crate) admission: bool,
}

/// A timer of tokio's, and the packets that tell of it.
const SLACK: Duration = Duration::from_millis(5);

type Judgement = Result<(), String>;

fn ensure(so: bool, else_wrong: &str) -> Judgement {
    if so { Ok(()) } else { Err(else_wrong.to_owned()) }
}

/// Checks that the two sides' accounts of a finished call agree with each other and with what was done.
pub(crate) fn judge(attempt: &Attempt, circumstances: &Circumstances) -> Judgement {
    let (report, account) = (&*attempt.report(), &*attempt.conversation.account());
    ensure(account.said.starts_with(&report.items), "items came that were not sent, or out of order")?;
    ensure(report.sent.starts_with(&account.heard), "items were heard that were not sent, or out of order")?;
    ensure(attempt.shape == Shape::Steady || account.started <= 1, "the handler ran more than once")?;
    judge_source(attempt, report, account, circumstances)?;
    let Some((end, at)) = &report.end else {
        return ensure(attempt.given_up, "it did not end");
    };
    let undisturbed = circumstances.disturbed.is_none_or(|since| since > *at);
    judge_time(attempt, *at)?;
    let ran = |verdict| ensure(account.verdicts.contains(&verdict), "its handler said something else");
    let complete = || ensure(report.items == account.said, "items are missing");
    match end {
        End::Value(value) => {
            ensure(!attempt.shape.reads_items(), "one value in place of items")?;
            ensure(*value == account.value(attempt.conversation.id()), "another value")?;
            ran(Verdict::Finished)
        }
        End::Clean => {
            ensure(attempt.shape.reads_items(), "items in place of one value")?;
            complete()?;
            ran(Verdict::Finished)
        }
        End::Refused(id) => {
            ensure(*id == attempt.conversation.id(), "the error of another call")?;
            complete()?;
            // With one error of its own a method has nothing else to fail with.
            ran(Verdict::Refused).or_else(|wrong| match attempt.shape {
                Shape::Up => ran(Verdict::Failed),
                _ => Err(wrong),
            })
        }
        End::Status(status) => {
            ensure(status.maybe_executed() || account.started == 0, "it is said not to have run, and has")?;
            ensure(status.maybe_executed() || report.items.is_empty(), "it has not run, and items came")?;
            judge_status(attempt, status, *at, account, circumstances, undisturbed)?;
            match status.code() {
                // A handler's panic loses the items of its stream that were not yet taken.
                Code::NotFound | Code::Internal if !account.verdicts.contains(&Verdict::Panicked) => {
                    complete()
                }
                _ => Ok(()),
            }
        }
    }
}

fn judge_status(
    attempt: &Attempt,
    status: &Status,
    at: Instant,
    account: &Account,
    circumstances: &Circumstances,
    undisturbed: bool,
) -> Judgement {
    let ran = |verdicts: &[Verdict]| verdicts.iter().any(|verdict| account.verdicts.contains(verdict));
    let possible = match status.code() {
        Code::Unavailable => !undisturbed || circumstances.drained && !status.maybe_executed(),
        Code::DeadlineExceeded => at - attempt.started + SLACK >= patience(attempt),
        // Of a call that is repeated an earlier attempt may have run.
        Code::ResourceExhausted => {
            let refused = !status.maybe_executed() || attempt.shape == Shape::Steady && !undisturbed;
            circumstances.admission && refused && status.retry_after().is_some()
        }
        // A method with a status for an error fails with it in either case.
        Code::NotFound => match attempt.shape {
            Shape::Unary | Shape::Steady => ran(&[Verdict::Failed, Verdict::Refused]),
            _ => ran(&[Verdict::Failed]),
        },
        Code::Internal => ran(&[Verdict::Panicked, Verdict::Forgot]),
        _ => false,
    };
    ensure(possible, &format!("nothing explains {status:?}"))
}

/// The shortest time after which somebody may have waited too long.
fn patience(attempt: &Attempt) -> Duration {
    let own = (attempt.shape == Shape::Impatient).then_some(Duration::from_millis(500));
    let times = [attempt.timeout, attempt.item_timeout.or(own), Some(DEFAULT_TIMEOUT)];
    times.into_iter().flatten().min().unwrap_or(DEFAULT_TIMEOUT)
}

/// A deadline bounds a call with one answer, whatever the network and the server do.
fn judge_time(attempt: &Attempt, at: Instant) -> Judgement {
    let bound = match attempt.shape {
        Shape::Unary | Shape::Steady => Some(attempt.timeout.unwrap_or(DEFAULT_TIMEOUT)),
        Shape::Up => attempt.timeout,
        Shape::Down | Shape::Both | Shape::Impatient => None,
    };
    let took = at - attempt.started;
    ensure(bound.is_none_or(|bound| took <= bound + SLACK), &format!("it took {took:?}"))
}

/// The handler's account of the caller's items.
fn judge_source(
    attempt: &Attempt,
    report: &Report,
    account: &Account,
    circumstances: &Circumstances,
) -> Judgement {
    let Some(heard) = &account.heard_end else { return Ok(()) };
    let complete = |end| report.sent_end == Some(end) && account.heard == report.sent;
    let given_up = attempt.given_up || matches!(report.end, Some((End::Status(_), _)));
    let possible = match heard {
        Ok(()) => complete(SourceEnd::Finished),
        Err(Code::DataLoss) => complete(SourceEnd::Failed),
        Err(Code::Internal) => complete(SourceEnd::BrokeOff),
        Err(Code::Cancelled) => given_up,
        Err(Code::Unavailable) => circumstances.disturbed.is_some() || circumstances.drained,
        Err(Code::DeadlineExceeded) => attempt.timeout.is_some() || attempt.shape == Shape::Impatient,
        Err(_) => false,
    };
    ensure(possible, &format!("nothing explains that the handler heard {heard:?}"))
}
