//! An open loop: calls begin when they are due, independent of earlier calls.

use std::{sync::Arc, time::Duration};

use rpcnet::CallError;
use rpcnet_benches::percentile;
use tokio::{sync::mpsc, time::Instant};

/// The outcome of one call.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The time at which the call was due, after the start of the loop.
    pub(crate) due: Duration,
    /// The time from when the call was due to its end.
    pub(crate) latency: Duration,
    /// The worker that answered, or whether the call may have been executed and the error.
    pub(crate) result: Result<u32, (bool, String)>,
}

/// A running loop.
pub(crate) struct OpenLoop {
    pub(crate) started: Instant,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
}

impl OpenLoop {
    /// Begins calls at `rate` a second, for `time`. `call` is given a number that no other call has.
    pub(crate) fn start<F, R>(rate: f64, time: Duration, call: F) -> Self
    where
        F: Fn(u64) -> R + Send + Sync + 'static,
        R: Future<Output = Result<u32, CallError>> + Send + 'static,
    {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let started = Instant::now();
        let call = Arc::new(call);
        tokio::spawn(async move {
            let calls = (rate * time.as_secs_f64()) as u64;
            for id in 0..calls {
                let due = Duration::from_secs_f64(id as f64 / rate);
                // The timer has steps of a millisecond. Calls that are due within one step begin together.
                if started.elapsed() < due {
                    tokio::time::sleep_until(started + due).await;
                }
                let (call, sender) = (call.clone(), sender.clone());
                tokio::spawn(async move {
                    let result = call(id).await;
                    let latency = started.elapsed().saturating_sub(due);
                    let result = result.map_err(|error| (error.maybe_executed(), error.to_string()));
                    let _ = sender.send(Outcome { due, latency, result });
                });
            }
        });
        Self { started, outcomes }
    }

    /// All outcomes, after the last call has ended.
    pub(crate) async fn ended(mut self) -> Vec<Outcome> {
        let mut all = Vec::new();
        while let Some(outcome) = self.outcomes.recv().await {
            all.push(outcome);
        }
        all
    }
}

/// The 99th percentile of the calls that were due within a time, in milliseconds; `NaN` without such calls.
pub(crate) fn p99(outcomes: &[Outcome], from: Duration, until: Duration) -> f64 {
    let due = outcomes.iter().filter(|outcome| (from..until).contains(&outcome.due));
    let mut latencies: Vec<_> = due.map(|outcome| outcome.latency).collect();
    percentile(&mut latencies, 0.99).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}
