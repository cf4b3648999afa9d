//! One round: as many calls as fit into its time, with a fixed number in flight.

use std::time::Duration;

use bytes::Bytes;
use rpcnet_benches::{median, percentile};
use tokio::{task::JoinSet, time::Instant};

use super::System;
use rpcnet_benches::Failure;

/// The result of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Round {
    pub(super) calls: usize,
    /// The time from the first call's start to the last call's end.
    pub(super) elapsed: Duration,
    pub(super) p50: Duration,
}

impl Round {
    fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }
}

/// Keeps `in_flight` calls in flight for this time. Each is made by a task that makes one call after the other.
pub(super) async fn round<S: System>(
    system: &S,
    payload: &Bytes,
    in_flight: usize,
    time: Duration,
) -> Result<Round, Failure> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        tasks.spawn(calls(system.clone(), payload.clone(), started + time));
    }
    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.append(&mut task??);
    }
    let elapsed = started.elapsed();
    let p50 = percentile(&mut latencies, 0.5).ok_or("no call was made within a round")?;
    Ok(Round { calls: latencies.len(), elapsed, p50 })
}

async fn calls<S: System>(system: S, payload: Bytes, until: Instant) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    let mut now = Instant::now();
    while now < until {
        let reply = system.echo(&payload).await?;
        if reply.len() != payload.len() {
            return Err("the echo is not as long as what was sent".into());
        }
        let done = Instant::now();
        latencies.push(done - now);
        now = done;
    }
    Ok(latencies)
}

/// The rounds of one system at one workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rounds {
    rounds: Vec<Round>,
    client_cpu: Duration,
    server_cpu: Duration,
}

impl Rounds {
    pub(super) fn push(&mut self, round: Round, client_cpu: Duration, server_cpu: Duration) {
        self.rounds.push(round);
        self.client_cpu += client_cpu;
        self.server_cpu += server_cpu;
    }

    /// The median over the rounds.
    pub(super) fn calls_per_second(&self) -> f64 {
        self.median(Round::calls_per_second)
    }

    /// The median over the rounds of each round's median latency.
    pub(super) fn p50_micros(&self) -> f64 {
        self.median(|round| round.p50.as_secs_f64() * 1e6)
    }

    pub(super) fn client_cpu_micros(&self) -> f64 {
        self.a_call(self.client_cpu)
    }

    pub(super) fn server_cpu_micros(&self) -> f64 {
        self.a_call(self.server_cpu)
    }

    /// The median over the rounds of the ratio between this throughput and the throughput of the other system's round
    /// at the same time.
    pub(super) fn throughput_by(&self, other: &Self) -> f64 {
        self.ratio(other, Round::calls_per_second)
    }

    /// The same as [`throughput_by`](Self::throughput_by), for the median latency.
    pub(super) fn p50_by(&self, other: &Self) -> f64 {
        self.ratio(other, |round| round.p50.as_secs_f64())
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure)).unwrap_or(f64::NAN)
    }

    fn ratio(&self, other: &Self, figure: impl Fn(&Round) -> f64) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(own, other)| figure(own) / figure(other))).unwrap_or(f64::NAN)
    }

    /// The processor time for each call. It is taken over all rounds: the kernel counts in steps of 10 ms, which are
    /// too coarse for one round.
    fn a_call(&self, cpu: Duration) -> f64 {
        let calls: usize = self.rounds.iter().map(|round| round.calls).sum();
        cpu.as_secs_f64() * 1e6 / calls as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(all: &[(usize, u64)]) -> Rounds {
        let mut rounds = Rounds::default();
        for &(calls, p50) in all {
            let round = Round { calls, elapsed: Duration::from_secs(2), p50: Duration::from_micros(p50) };
            rounds.push(round, Duration::from_millis(30), Duration::from_millis(60));
        }
        rounds
    }

    #[test]
    fn figures_are_medians_over_rounds() {
        let rounds = rounds(&[(2_000, 50), (8_000, 90), (2_400, 70)]);
        assert_eq!(rounds.calls_per_second(), 1_200.0);
        assert!((rounds.p50_micros() - 70.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_compare_rounds_of_the_same_time() {
        // The machine was slow for the second round of both systems. The ratio is not affected.
        let ours = rounds(&[(900, 110), (90, 1100), (900, 110)]);
        let bare = rounds(&[(1_000, 100), (100, 1000), (1_000, 100)]);
        assert!((ours.throughput_by(&bare) - 0.9).abs() < 1e-9);
        assert!((ours.p50_by(&bare) - 1.1).abs() < 1e-9);
    }

    #[test]
    fn processor_time_is_spread_over_all_calls() {
        let rounds = rounds(&[(1_000, 1), (2_000, 1)]);
        assert!((rounds.client_cpu_micros() - 20.0).abs() < 1e-9);
        assert!((rounds.server_cpu_micros() - 40.0).abs() < 1e-9);
    }

    #[derive(Clone)]
    struct Local {
        short: bool,
    }

    impl System for Local {
        async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(if self.short { payload.slice(1..) } else { payload.clone() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_keeps_its_calls_in_flight() {
        let payload = Bytes::from_static(b"payload");
        let round =
            round(&Local { short: false }, &payload, 4, Duration::from_secs(1)).await.expect("it echoes");
        assert_eq!(round.calls, 400);
        assert_eq!(round.elapsed, Duration::from_secs(1));
        assert_eq!(round.p50, Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_echo_fails_the_round() {
        let payload = Bytes::from_static(b"payload");
        assert!(round(&Local { short: true }, &payload, 1, Duration::from_secs(1)).await.is_err());
    }
}
