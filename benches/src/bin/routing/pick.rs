//! The cost of a pick.

use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::SmallRng};
use rpcnet::{
    BalancedChannel, BalancedConfig, Channel, Server, ServerConfig,
    balance::{
        HashOptions, Policy,
        core::{Candidates, Layout, PeakEwma, Picker},
    },
    discover::{Endpoint, EndpointSet},
    testing::Network,
};
use rpcnet_benches::{Failure, Row, median};
use tokio::sync::watch;

use super::{Plan, slow::all_ready, target};

pub(crate) const PREFIX: &str = "routing/pick/";

const WORKERS: usize = 1000;
const PICKS: usize = 100_000;

/// A thousand estimates, all of workers that take calls.
struct Estimates {
    now: Instant,
    all: Vec<PeakEwma>,
}

impl Candidates for Estimates {
    fn len(&self) -> usize {
        self.all.len()
    }

    fn cost(&self, index: usize) -> Option<f64> {
        Some(self.all[index].load(self.now, index % 7))
    }

    fn takes_calls(&self, _: usize) -> bool {
        true
    }

    fn pending(&self, index: usize) -> usize {
        index % 7
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn ready(&self) -> usize {
        self.all.len()
    }

    fn pending_in_all(&self) -> usize {
        3 * self.all.len()
    }
}

pub(crate) async fn measure(plan: Plan) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let policies = [
        Policy::PeakEwma,
        Policy::RoundRobin,
        Policy::Random,
        Policy::LeastRequest,
        Policy::Weighted,
        Policy::ConsistentHash,
    ];
    for policy in policies {
        let nanos = median((0..plan.rounds(7)).map(|_| policy_alone(policy))).unwrap_or(f64::NAN);
        let id = format!("{PREFIX}{policy}");
        rows.push(Row::new(id, nanos, "ns").with_target(target("<=200")));
    }
    for (name, serving) in [("channel", None), ("service", Some(10))] {
        let nanos = whole_channel(plan, serving).await?;
        rows.push(Row::new(format!("{PREFIX}{name}"), nanos, "ns").with_target(target("<=200")));
    }
    Ok(rows)
}

/// The time of one of the policy's picks among a thousand estimates, in nanoseconds.
fn policy_alone(policy: Policy) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "it measures time")]
    let now = Instant::now();
    let all = (0..WORKERS).map(|index| {
        let mut ewma = PeakEwma::new(now, Duration::from_millis(1), Duration::from_secs(10));
        ewma.begin(now);
        ewma.observe(now, Duration::from_micros(900 + index as u64 % 200));
        ewma
    });
    let estimates = Estimates { now: now + Duration::from_millis(50), all: all.collect() };
    let ids: Vec<_> = (0..WORKERS).map(|index| index.to_string()).collect();
    let layout = Layout::new(policy, ids.iter().map(String::as_str), &HashOptions::default())
        .with_weights((0..WORKERS).map(|_| 1.0));
    let (picker, mut rng) = (Picker::new(policy), SmallRng::seed_from_u64(3));
    #[expect(clippy::disallowed_methods, reason = "it measures time")]
    let started = Instant::now();
    for key in 0..PICKS as u64 {
        black_box(picker.pick(&layout, &estimates, Some(key.wrapping_mul(0x9e37_79b9_7f4a_7c15)), &mut rng));
    }
    started.elapsed().as_nanos() as f64 / PICKS as f64
}

/// The time in which a channel picks one of a thousand connected endpoints and forgets the pick again, in nanoseconds.
/// With `serving`, one of `serving` endpoints serves the service, and the others serve another one.
async fn whole_channel(plan: Plan, serving: Option<usize>) -> Result<f64, Failure> {
    let network = Network::new();
    let config = ServerConfig::builder()
        .with_bind_addr(SocketAddr::from(([127, 0, 0, 1], 0)))
        .with_network(&network)
        .build()?;
    let server = Server::new(config)?;
    let running = server.clone();
    tokio::spawn(async move { running.run().await });
    let endpoint = |index: usize| {
        let endpoint = Endpoint::new(index.to_string(), server.local_addr());
        match serving {
            None => endpoint,
            Some(one_in) if index.is_multiple_of(one_in) => {
                endpoint.with_services(["bench.Pick"].into_iter().collect())
            }
            Some(_) => endpoint.with_services(["bench.Other"].into_iter().collect()),
        }
    };
    let set = watch::Sender::new((0..WORKERS).map(endpoint).collect::<EndpointSet>());
    let builder = Channel::builder().with_network(&network);
    let channel = BalancedChannel::new(builder, set.subscribe(), BalancedConfig::default())?;
    all_ready(&channel, WORKERS).await;
    let round = || {
        #[expect(clippy::disallowed_methods, reason = "it measures time")]
        let started = Instant::now();
        assert!(channel.pick_for_measuring(PICKS), "all are connected");
        started.elapsed().as_nanos() as f64 / PICKS as f64
    };
    Ok(median((0..plan.rounds(7)).map(|_| round())).unwrap_or(f64::NAN))
}
