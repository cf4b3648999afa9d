use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn ticket(verdict: Decision) -> Ticket {
    match verdict {
        Decision::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn shed(verdict: Decision) -> Shed {
    match verdict {
        Decision::Shed(shed) => shed,
        other => panic!("{other:?}"),
    }
}

/// A queue with one running call.
fn busy(places: usize) -> (Queue, Instant) {
    let (mut queue, now) = (Queue::new(1, places), start());
    assert_eq!(queue.offer(now, 0, None), Decision::Run);
    (queue, now)
}

#[test]
fn first_come_first_served_within_a_priority() {
    let (mut queue, now) = busy(9);
    let order = [(0, 3), (0, 4), (5, 0), (-5, 6), (5, 1), (0, 5), (9, -1)];
    let mut tickets: Vec<_> =
        order.iter().map(|&(priority, rank)| (rank, ticket(queue.offer(now, priority, None)))).collect();
    tickets.sort();
    for (_, expected) in tickets {
        assert_eq!(queue.poll(), None);
        queue.release(now, MS);
        assert_eq!(queue.poll(), Some((expected, Settled::Started)));
    }
    assert_eq!((queue.running(), queue.queued()), (1, 0));
}

#[test]
fn a_full_queue_sheds_the_newest_of_the_lowest_priority() {
    let (mut queue, now) = busy(3);
    let _old = ticket(queue.offer(now, 0, None));
    let new = ticket(queue.offer(now, 0, None));
    let _high = ticket(queue.offer(now, 1, None));
    assert_eq!(shed(queue.offer(now, 0, None)).reason, ShedReason::Full, "it is the newest itself");
    assert_eq!(shed(queue.offer(now, -1, None)).queued, 3, "it is the lowest itself");
    let _higher = ticket(queue.offer(now, 2, None));
    let (gone, settled) = queue.poll().expect("one made room");
    assert_eq!(gone, new);
    assert!(matches!(settled, Settled::Shed(Shed { reason: ShedReason::Full, limit: 1, .. })));
    assert_eq!(queue.queued(), 3);
}

#[test]
fn retry_after_is_the_time_in_which_the_queue_drains() {
    let (mut queue, now) = busy(0);
    assert_eq!(shed(queue.offer(now, 0, None)).retry_after, UNKNOWN);
    queue.release(now, 10 * MS);
    queue.set_limit(now, 2);
    queue.places = 3;
    for _ in 0..2 {
        assert_eq!(queue.offer(now, 0, None), Decision::Run);
    }
    for _ in 0..3 {
        ticket(queue.offer(now, 0, None));
    }
    assert_eq!(shed(queue.offer(now, 0, None)).retry_after, 20 * MS, "three and this one, a call each 5 ms");
    queue.held = Some(0.0);
    assert_eq!(shed(queue.offer(now, 0, None)).retry_after, MS);
    queue.held = Some(f64::MAX);
    assert_eq!(shed(queue.offer(now, 0, None)).retry_after, 1000 * MS);
}

#[test]
fn who_would_wait_too_long_is_shed_at_once() {
    let (mut queue, now) = busy(9);
    queue.release(now, 10 * MS);
    assert_eq!(queue.offer(now, 0, None), Decision::Run);
    ticket(queue.offer(now, 0, Some(now + 10 * MS)));
    assert_eq!(shed(queue.offer(now, 0, Some(now + 19 * MS))).reason, ShedReason::Late);
    ticket(queue.offer(now, 1, Some(now + 19 * MS)));
    ticket(queue.offer(now, 0, Some(now + 30 * MS)));
    assert_eq!(shed(queue.offer(now, 127, Some(now))).reason, ShedReason::Late);
}

#[test]
fn who_waited_too_long_is_not_started() {
    let (mut queue, now) = busy(9);
    let late = ticket(queue.offer(now, 0, Some(now + 10 * MS)));
    let patient = ticket(queue.offer(now, 0, None));
    queue.release(now + 10 * MS, 10 * MS);
    let (first, settled) = queue.poll().expect("settled");
    assert_eq!(first, late);
    assert!(matches!(settled, Settled::Shed(Shed { reason: ShedReason::Late, .. })));
    assert_eq!(queue.poll(), Some((patient, Settled::Started)));
}

#[test]
fn who_is_late_does_not_keep_others_out() {
    let (mut queue, now) = busy(1);
    let late = ticket(queue.offer(now, 9, Some(now + MS)));
    ticket(queue.offer(now + MS, 0, None));
    assert_eq!(queue.poll().map(|(ticket, _)| ticket), Some(late));
}

#[test]
fn an_abandoned_ticket_frees_its_place() {
    let (mut queue, now) = busy(1);
    let first = ticket(queue.offer(now, 0, None));
    assert!(queue.abandon(first));
    assert!(!queue.abandon(first));
    let second = ticket(queue.offer(now, 0, None));
    queue.release(now, MS);
    assert_eq!(queue.poll(), Some((second, Settled::Started)));
    assert!(!queue.abandon(second), "it runs");
}

#[derive(Debug, Clone)]
enum Step {
    Offer { priority: i8, deadline: Option<u64> },
    Release { held: u64 },
    Abandon { which: usize },
    SetLimit(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (-2i8..3, prop::option::of(0u64..50))
            .prop_map(|(priority, deadline)| Step::Offer { priority, deadline }),
        3 => (0u64..20).prop_map(|held| Step::Release { held }),
        1 => any::<usize>().prop_map(|which| Step::Abandon { which }),
        1 => (1usize..6).prop_map(Step::SetLimit),
        1 => (0u64..20).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Each call ends once, in order and in time. No call is lost, and no slot stays free while a call waits.
    #[test]
    fn nothing_is_lost(
        limit in 1usize..6,
        places in 0usize..8,
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut now = start();
        let mut queue = Queue::new(limit, places);
        let mut waiting: HashMap<Ticket, Option<Instant>> = HashMap::new();
        let mut running = 0usize;
        for step in steps {
            match step {
                Step::Offer { priority, deadline } => {
                    let deadline = deadline.map(|after| now + Duration::from_millis(after));
                    let before = queue.running();
                    match queue.offer(now, priority, deadline) {
                        Decision::Run => {
                            prop_assert!(before < queue.limit());
                            running += 1;
                        }
                        Decision::Wait(ticket) => {
                            prop_assert!(deadline.is_none_or(|deadline| deadline > now));
                            prop_assert!(waiting.insert(ticket, deadline).is_none());
                        }
                        Decision::Shed(shed) => {
                            prop_assert!(before >= queue.limit());
                            prop_assert!((RETRY_AFTER.0..=RETRY_AFTER.1).contains(&shed.retry_after));
                            if shed.reason == ShedReason::Full {
                                prop_assert_eq!(queue.queued(), places);
                                prop_assert!(queue.waiting.keys().all(|other| other.priority.0 >= priority));
                            }
                        }
                    }
                }
                Step::Release { held } if running > 0 => {
                    running -= 1;
                    queue.release(now, Duration::from_millis(held));
                }
                Step::Abandon { which } if !waiting.is_empty() => {
                    let mut tickets: Vec<_> = waiting.keys().copied().collect();
                    tickets.sort();
                    let ticket = tickets[which % tickets.len()];
                    prop_assert!(queue.abandon(ticket));
                    waiting.remove(&ticket);
                }
                Step::SetLimit(limit) => queue.set_limit(now, limit),
                Step::Pass(time) => now += Duration::from_millis(time),
                Step::Release { .. } | Step::Abandon { .. } => {}
            }
            while let Some((ticket, settled)) = queue.poll() {
                let deadline = waiting.remove(&ticket);
                prop_assert!(deadline.is_some(), "settled twice: {ticket:?}");
                if settled == Settled::Started {
                    running += 1;
                    prop_assert!(deadline.flatten().is_none_or(|deadline| deadline > now), "started too late");
                    prop_assert!(queue.waiting.keys().all(|other| *other > ticket), "out of turn");
                }
            }
            prop_assert_eq!(queue.running(), running);
            prop_assert_eq!(queue.queued(), waiting.len());
            prop_assert!(queue.queued() <= places);
            prop_assert!(queue.queued() == 0 || queue.running() >= queue.limit());
            prop_assert_eq!(queue.levels.values().sum::<usize>(), waiting.len());
            prop_assert_eq!(queue.deadlines.len(), waiting.values().flatten().count());
        }
    }
}
