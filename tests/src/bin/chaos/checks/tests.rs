use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn outcome(id: u64, kind: Kind, end: End) -> Outcome {
    Outcome { id, kind, prompt: true, began: SECOND * 10, took: Duration::from_millis(2), end }
}

fn failed(code: Code, maybe_executed: bool) -> End {
    End::Failed(Failed { code, maybe_executed, message: "gone".into() })
}

fn ledger(entries: &[(u64, u64)]) -> Executions {
    let mut executions = Executions::default();
    entries.iter().for_each(|&(id, execution)| executions.add(id, execution));
    executions
}

fn breached(outcomes: &[Outcome], executions: &Executions) -> Vec<Invariant> {
    let findings = check(outcomes, executions, &[], Duration::ZERO);
    assert_eq!(findings.told.len() as u64, findings.breaches.values().sum::<u64>());
    findings.breaches.into_keys().collect()
}

#[test]
fn what_is_right_breaks_nothing() {
    let outcomes = [
        outcome(1, Kind::Once, End::Answered { execution: 11 }),
        outcome(2, Kind::Repeatable, End::Answered { execution: 22 }),
        outcome(3, Kind::Once, failed(Code::Unavailable, true)),
        outcome(4, Kind::Once, failed(Code::Unavailable, false)),
        outcome(5, Kind::Large, failed(Code::DeadlineExceeded, true)),
    ];
    let executions = ledger(&[(1, 11), (2, 21), (2, 22), (3, 33)]);
    assert_eq!(breached(&outcomes, &executions), []);
    let findings = check(&outcomes, &executions, &[], Duration::ZERO);
    assert_eq!((findings.calls, findings.idempotent, findings.idempotent_failed), (5, 2, 1));
    assert_eq!(findings.failed, BTreeMap::from([("unavailable", 2), ("deadline_exceeded", 1)]));
}

#[test]
fn each_breach_is_found() {
    let answered = || End::Answered { execution: 11 };
    let cases = [
        (outcome(1, Kind::Once, answered()), &[][..], Invariant::Lost),
        (outcome(1, Kind::Once, answered()), &[(1, 12)][..], Invariant::Lost),
        (outcome(1, Kind::Once, End::Wrong("5 in place of 6".into())), &[(1, 11)][..], Invariant::Wrong),
        (outcome(1, Kind::Once, answered()), &[(1, 11), (1, 12)][..], Invariant::ExecutedTwice),
        (
            outcome(1, Kind::Items, failed(Code::Unavailable, true)),
            &[(1, 1), (1, 2)][..],
            Invariant::ExecutedTwice,
        ),
        (outcome(1, Kind::Large, failed(Code::Unavailable, false)), &[(1, 1)][..], Invariant::ExecutedThough),
        (outcome(1, Kind::Large, failed(Code::Internal, true)), &[][..], Invariant::UnexpectedError),
        (
            Outcome { took: SECOND * 5, ..outcome(1, Kind::Once, answered()) },
            &[(1, 11)][..],
            Invariant::Overdue,
        ),
    ];
    for (outcome, entries, invariant) in cases {
        assert_eq!(breached(&[outcome], &ledger(entries)), [invariant]);
    }
}

#[test]
fn quiet_calls_began_and_ended_in_it() {
    let calls = || {
        [
            outcome(1, Kind::Once, failed(Code::Unavailable, true)),
            outcome(2, Kind::Once, End::Answered { execution: 22 }),
            outcome(3, Kind::Items, End::Answered { execution: 33 }),
        ]
    };
    let executions = ledger(&[(2, 22), (3, 33)]);
    let during = |quiet: Range<Duration>| check(&calls(), &executions, &[quiet], Duration::ZERO);
    let findings = during(SECOND * 9..SECOND * 11);
    assert_eq!((findings.quiet_calls, findings.quiet), (3, vec![2000]));
    assert_eq!(findings.breaches, BTreeMap::from([(Invariant::FailedWhenQuiet, 1)]));
    for quiet in [SECOND * 11..SECOND * 12, SECOND * 9..SECOND * 10] {
        assert_eq!(during(quiet).quiet_calls, 0);
    }
}
