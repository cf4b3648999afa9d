//! An open loop: calls begin when they are due, independent of earlier calls.

use std::time::Duration;

use rpcnet_benches::Failure;
use tokio::{task::JoinSet, time::Instant};

use crate::{latencies::Latencies, order::Outcome, peer::Client};

/// Makes the calls of an open loop. A latency counts from the time at which the call was due, and only calls that were
/// due after `settle` count. The round ends with the last answer.
pub(super) async fn arrivals<C: Client>(
    client: C,
    rate: u32,
    settle: Duration,
    time: Duration,
) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let calls = (f64::from(rate) * (settle + time).as_secs_f64()) as u32;
    let mut tasks = JoinSet::new();
    for call in 0..calls {
        let due = Duration::from_secs(1) * call / rate;
        // The timer has steps of a millisecond. Calls that are due within one step begin together.
        if started.elapsed() < due {
            tokio::time::sleep_until(started + due).await;
        }
        let client = client.clone();
        tasks.spawn(async move {
            let slow = client.work().await?;
            Ok::<_, Failure>((due, started.elapsed().saturating_sub(due), slow))
        });
    }
    let (mut latencies, mut at_slow) = (Latencies::default(), 0_u32);
    while let Some(task) = tasks.join_next().await {
        let (due, latency, slow) = task??;
        if due >= settle {
            latencies.push(latency);
            at_slow += u32::from(slow);
        }
    }
    let settled = latencies.len();
    Ok(Outcome {
        done: u64::from(calls),
        seconds: started.elapsed().as_secs_f64(),
        latency: latencies.summary(),
        slow_share: (settled > 0).then(|| f64::from(at_slow) / settled as f64),
    })
}
