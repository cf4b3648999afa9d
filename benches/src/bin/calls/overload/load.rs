//! Calls as from many users: an open loop with random times.
//!
//! A closed loop would send less as soon as the server is slow, and so would never overload it ("Open Versus Closed: A
//! Cautionary Tale", Schroeder et al., NSDI 2006).

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rpcnet::Code;
use tokio::{
    runtime::Handle,
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{Instant, timeout_at},
};

use super::service::WorkClient;
use rpcnet_benches::Failure;

/// The longest time for an answer, from the time at which the call was due.
pub(super) const DEADLINE: Duration = Duration::from_millis(100);
/// The number of calls in flight while the capacity is measured: enough to keep all places taken, and few enough that
/// none is refused.
const IN_FLIGHT: usize = 20;

/// The load that is offered to a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// The rate in calls a second.
    pub(super) rate: f64,
    /// The time before which calls are made, but not counted.
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
    pub(super) seed: u64,
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answered after this time.
    Answered(Duration),
    /// Refused by the server.
    Shed,
    /// The deadline passed.
    Expired,
}

/// Makes the calls, and waits until each has ended.
pub(super) async fn offer(client: &WorkClient, load: Load) -> Result<Vec<Outcome>, Failure> {
    let client = client.clone();
    let runtime = Handle::current();
    // On a thread of its own, because tokio's timers count milliseconds, and several calls arrive within one.
    let calls = spawn_blocking(move || {
        let started = Instant::now();
        let make = |at| {
            let due = started + at;
            wait_until(due);
            (at >= load.warm_up, runtime.spawn(call(client.clone(), due)))
        };
        arrivals(load).into_iter().map(make).collect::<Vec<(bool, JoinHandle<_>)>>()
    });
    let mut outcomes = Vec::new();
    for (counts, call) in calls.await? {
        let outcome = call.await??;
        if counts {
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// Poisson arrivals: the times between calls are distributed exponentially.
fn arrivals(load: Load) -> Vec<Duration> {
    let mut rng = StdRng::seed_from_u64(load.seed);
    let end = load.warm_up + load.time;
    let mut at = 0.0;
    std::iter::repeat_with(move || {
        at -= (1.0 - rng.random::<f64>()).ln() / load.rate;
        Duration::from_secs_f64(at)
    })
    .take_while(|at| *at < end)
    .collect()
}

/// Blocks the thread until `due`. `park_timeout` may return early.
fn wait_until(due: Instant) {
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

async fn call(client: WorkClient, due: Instant) -> Result<Outcome, Failure> {
    let left = (due + DEADLINE).saturating_duration_since(Instant::now());
    let result = client.work().timeout(left).await;
    let latency = due.elapsed();
    match result {
        Ok(()) if latency <= DEADLINE => Ok(Outcome::Answered(latency)),
        Ok(()) => Ok(Outcome::Expired),
        Err(error) => match error.code() {
            Code::ResourceExhausted => Ok(Outcome::Shed),
            Code::DeadlineExceeded => Ok(Outcome::Expired),
            _ => Err(error.into()),
        },
    }
}

/// The number of calls a second that a server answers if it gets no more calls than that.
pub(super) async fn capacity(client: &WorkClient, time: Duration) -> Result<f64, Failure> {
    let started = Instant::now();
    let until = started + time;
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let client = client.clone();
        tasks.spawn(async move {
            let mut answered = 0_u32;
            // Calls in flight at the end are not counted: they would count in part.
            while let Ok(result) = timeout_at(until, client.work()).await {
                result?;
                answered += 1;
            }
            Ok::<u32, Failure>(answered)
        });
    }
    let mut answered = 0;
    while let Some(task) = tasks.join_next().await {
        answered += task??;
    }
    Ok(f64::from(answered) / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_as_many_as_their_rate_says_and_as_irregular() {
        let load =
            Load { rate: 2_000.0, warm_up: Duration::from_secs(1), time: Duration::from_secs(9), seed: 7 };
        let times = arrivals(load);
        assert!(times.is_sorted());
        assert!((19_000..21_000).contains(&times.len()), "{}", times.len());
        assert_eq!(times, arrivals(load), "the seed decides");
        // In a Poisson process, a share of e^-1 of all gaps is longer than the mean.
        let long = times.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_micros(500)).count();
        let share = long as f64 / times.len() as f64;
        assert!((0.34..0.40).contains(&share), "{share}");
    }
}
