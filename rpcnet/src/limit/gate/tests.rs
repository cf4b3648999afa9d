use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::Semaphore, task::JoinSet};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn gate(admission: Admission) -> Gate {
    Gate::new(&admission.check().expect("it makes sense"), Metrics::default())
}

/// Returns the numbers of running and waiting calls.
fn counts(gate: &Gate) -> (usize, usize) {
    let state = gate.shared.state();
    assert_eq!(state.waiting.len(), state.queue.queued());
    (state.queue.running(), state.queue.queued())
}

#[tokio::test(start_paused = true)]
async fn one_after_the_other() {
    let gate = gate(Admission::fixed(1).with_queue(1));
    let first = gate.enter(0, None).await.expect("room");
    let second = polled(gate.enter(0, None));
    assert!(second.is_pending());
    let shed = gate.enter(0, None).await.expect_err("full");
    assert_eq!((shed.reason, shed.queued, shed.limit), (ShedReason::Full, 1, 1));
    first.done(PermitOutcome::Completed);
    let second = second.into_output().await.expect("its turn");
    assert_eq!(counts(&gate), (1, 0));
    drop(second);
    assert_eq!(counts(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_frees_its_place() {
    let gate = gate(Admission::fixed(1).with_queue(1));
    let first = gate.enter(0, None).await.expect("room");
    let waiter = polled(gate.enter(0, None));
    assert_eq!(counts(&gate), (1, 1));
    drop(waiter);
    assert_eq!(counts(&gate), (1, 0));

    // The waiter is dropped after its turn came, before it was polled.
    let waiter = polled(gate.enter(0, None));
    drop(first);
    assert_eq!(counts(&gate), (1, 0));
    drop(waiter);
    assert_eq!(counts(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait() {
    let gate = gate(Admission::fixed(1).with_queue(2));
    let first = gate.enter(0, None).await.expect("room");
    let begin = Instant::now();
    let shed = gate.enter(0, Some(begin + 50 * MS)).await.expect_err("too late");
    assert_eq!(shed.reason, ShedReason::Late);
    assert_eq!(begin.elapsed(), 50 * MS);
    assert_eq!(counts(&gate), (1, 0));
    // From here on the duration of calls is known.
    first.done(PermitOutcome::Completed);
    let _first = gate.enter(0, None).await.expect("room");
    let begin = Instant::now();
    gate.enter(0, Some(begin + 49 * MS)).await.expect_err("it would be too late");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_higher_priority_takes_the_place_of_a_lower_one() {
    let gate = gate(Admission::fixed(1).with_queue(1));
    let first = gate.enter(0, None).await.expect("room");
    let low = polled(gate.enter(-1, None));
    let high = polled(gate.enter(1, None));
    assert_eq!(low.into_output().await.expect_err("displaced").reason, ShedReason::Full);
    drop(first);
    high.into_output().await.expect("its turn");
    let metrics = gate.shared.metrics.render();
    assert!(metrics.contains("rpc_shed_total{reason=\"full\"} 1"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_grows_with_what_is_done_and_not_with_what_is_cut_off() {
    let gate = gate(Admission::adaptive().with_bounds(2, 50).with_queue(50));
    let mut tasks = JoinSet::new();
    let work = |outcome| {
        let gate = gate.clone();
        async move {
            for _ in 0..500 {
                let permit = gate.enter(0, None).await.expect("a place for each");
                tokio::time::sleep(5 * MS).await;
                permit.done(outcome);
            }
        }
    };
    for _ in 0..40 {
        tasks.spawn(work(PermitOutcome::Abandoned));
    }
    while tasks.join_next().await.is_some() {}
    assert_eq!(gate.shared.state().queue.limit(), 20, "where it begins when it knows nothing");
    for _ in 0..40 {
        tasks.spawn(work(PermitOutcome::Completed));
    }
    while tasks.join_next().await.is_some() {}
    assert!(gate.shared.state().queue.limit() > 30);
    assert_eq!(counts(&gate), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_under_contention() {
    let gate = gate(Admission::fixed(3).with_queue(5));
    let mut tasks = JoinSet::new();
    for index in 0..64u64 {
        let gate = gate.clone();
        tasks.spawn(async move {
            for round in 0..50u64 {
                let deadline = (index % 3 == 0).then(|| Instant::now() + Duration::from_micros(round * 10));
                let entered = gate.enter((index % 5) as i8, deadline);
                if index % 4 == 1 {
                    // The wait is dropped in the middle.
                    let _ = tokio::time::timeout(Duration::from_micros(round), entered).await;
                } else if let Ok(permit) = entered.await {
                    tokio::task::yield_now().await;
                    permit.done(PermitOutcome::Completed);
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    assert_eq!(counts(&gate), (0, 0));
}

/// The callers' results. They offer a multiple of the load that 8 slots of 100 ms can serve, and wait for at most 2 s.
struct Seen {
    /// Calls that were answered in time, as a share of those that could have been.
    goodput: f64,
    p99: Duration,
}

async fn overload(admission: Admission, demand: f64, sheds: bool) -> Seen {
    const CALLS: usize = 20_000;
    let gate = gate(admission);
    let slots = Arc::new(Semaphore::new(8));
    let mut rng = StdRng::seed_from_u64(3);
    let mut calls = JoinSet::new();
    let start = Instant::now();
    let mut at = start;
    for _ in 0..CALLS {
        at += Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / (demand * 80.0));
        tokio::time::sleep_until(at).await;
        let (gate, slots) = (gate.clone(), slots.clone());
        calls.spawn(async move {
            let begin = Instant::now();
            let deadline = begin + 2000 * MS;
            let permit = gate.enter(0, sheds.then_some(deadline)).await.ok()?;
            let slot = slots.acquire().await.expect("never closed");
            tokio::time::sleep(100 * MS).await;
            drop(slot);
            permit.done(PermitOutcome::Completed);
            Some(begin.elapsed()).filter(|took| *took <= 2000 * MS)
        });
    }
    let possible = start.elapsed().as_secs_f64() * 80.0 * demand.min(1.0);
    let mut took: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    took.sort();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    Seen { goodput: took.len() as f64 / possible, p99 }
}

/// All times are twenty times the bench's, as tokio's timer has a resolution of a millisecond.
#[tokio::test(start_paused = true)]
async fn overload_is_shed_and_the_rest_is_answered_in_time() {
    for admission in [Admission::fixed(8).with_queue(16), Admission::adaptive().with_queue(8)] {
        let well = overload(admission, 0.8, true).await;
        assert!(well.goodput > 0.97, "{}", well.goodput);
        for demand in [2.0, 5.0] {
            let much = overload(admission, demand, true).await;
            assert!(much.goodput > 0.95, "{admission:?} at {demand}: {}", much.goodput);
            assert!(much.p99 < 3 * well.p99, "{admission:?} at {demand}: {:?}, {:?}", much.p99, well.p99);
        }
    }
    let collapsed = overload(Admission::fixed(1 << 20), 2.0, false).await;
    assert!(collapsed.goodput < 0.1, "without shedding nobody is answered in time: {}", collapsed.goodput);
}

/// A future that was polled once and is pending.
struct Polled<F: Future>(std::pin::Pin<Box<F>>, Option<F::Output>);

fn polled<F: Future>(future: F) -> Polled<F> {
    let mut future = Box::pin(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => Polled(future, Some(output)),
        std::task::Poll::Pending => Polled(future, None),
    }
}

impl<F: Future> Polled<F> {
    fn is_pending(&self) -> bool {
        self.1.is_none()
    }

    async fn into_output(self) -> F::Output {
        match self.1 {
            Some(output) => output,
            None => self.0.await,
        }
    }
}
