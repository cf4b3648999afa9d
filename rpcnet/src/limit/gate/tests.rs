use std::time::Duration;

use tokio::task::JoinSet;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn gate(admission: Admission) -> Gate {
    Gate::new(&admission.check().expect("it makes sense"), Metrics::default())
}

/// Running and waiting.
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
    first.done(Outcome::Completed);
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

    // Dropped after its turn came, before it could know.
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
    // Now it is known how long calls take.
    first.done(Outcome::Completed);
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
        tasks.spawn(work(Outcome::Abandoned));
    }
    while tasks.join_next().await.is_some() {}
    assert_eq!(gate.shared.state().queue.limit(), 2);
    for _ in 0..40 {
        tasks.spawn(work(Outcome::Completed));
    }
    while tasks.join_next().await.is_some() {}
    assert!(gate.shared.state().queue.limit() >= 20);
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
                    // Given up in the middle.
                    let _ = tokio::time::timeout(Duration::from_micros(round), entered).await;
                } else if let Ok(permit) = entered.await {
                    tokio::task::yield_now().await;
                    permit.done(Outcome::Completed);
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    assert_eq!(counts(&gate), (0, 0));
}

/// A future that was polled once and waits.
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
