//! Workers of different applications under the same directors.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use rpcnet::Code;
use rpcnet_cluster::{ClusterChannel, Director, Mode, SelectError};
use rpcnet_tests::{Host, Net, any_port, cluster_channel, local, start_director, until, within};
use tokio::time::Instant;

use super::service::{COUNT, CountClient, INFER, InferClient, register};

struct Place {
    net: Net,
    directors: Vec<(Host, Director)>,
    workers: Vec<Host>,
}

async fn start_worker(
    net: &Net,
    name: &'static str,
    services: &'static [&'static str],
    seeds: &[SocketAddr],
) -> Host {
    let config = local(seeds).with_tag("role", "worker");
    Host::start(net, any_port(), config, move |server| register(server, name, services)).await
}

impl Place {
    /// Two directors, three workers that count, two that infer.
    async fn start() -> Self {
        let net = Net::quic();
        let first = start_director(&net, any_port(), &[]).await;
        let second = start_director(&net, any_port(), &[first.0.addr()]).await;
        let seeds = [first.0.addr(), second.0.addr()];
        let mut workers = Vec::new();
        let plan: [(_, &[_]); 5] =
            [("a", &[COUNT]), ("b", &[INFER]), ("c", &[COUNT]), ("d", &[INFER]), ("e", &[COUNT])];
        for (name, services) in plan {
            workers.push(start_worker(&net, name, services, &seeds).await);
        }
        for (_, director) in [&first, &second] {
            within(director.registry().wait_for_healthy(5)).await;
        }
        Self { net, directors: vec![first, second], workers }
    }

    fn seeds(&self) -> Vec<SocketAddr> {
        self.directors.iter().map(|(host, _)| host.addr()).collect()
    }

    async fn channel(&self, mode: Mode) -> ClusterChannel {
        cluster_channel(&self.net, &self.seeds()).with_mode(mode).connect().await.expect("they answer")
    }
}

#[tokio::test]
async fn no_call_lands_on_a_worker_of_the_other_application() {
    let place = Place::start().await;
    for mode in [Mode::Direct, Mode::Relay] {
        let channel = place.channel(mode).await;
        let (count, infer) = (CountClient::new(channel.clone()), InferClient::new(channel.clone()));
        let (mut counted, mut inferred) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..200 {
            counted.insert(within(count.count()).await.expect("three serve it"));
            inferred.insert(within(infer.infer()).await.expect("two serve it"));
        }
        assert!(counted.iter().all(|name| "ace".contains(name)), "{mode:?}: {counted:?}");
        assert!(inferred.iter().all(|name| "bd".contains(name)), "{mode:?}: {inferred:?}");
        // They were known, not found out.
        assert_eq!(channel.retries(), 0, "{mode:?}");
        for endpoint in channel.endpoints() {
            assert_eq!((endpoint.failures, endpoint.ejected), (0, false), "{endpoint:?}");
        }
    }
    for worker in &place.workers {
        let refused = worker.metric("rpc_errors_total", "unimplemented").unwrap_or_default();
        assert_eq!(refused, 0.0);
    }
}

#[tokio::test]
async fn a_broadcast_asks_those_that_serve_it() {
    let place = Place::start().await;
    let channel = place.channel(Mode::Direct).await;
    until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == 5).await;
    let any = "".parse().expect("a filter");
    let replies = channel.broadcast(&any, |worker| InferClient::new(worker).infer());
    let names: BTreeSet<_> =
        within(replies.all()).await.into_iter().map(|from| from.output.expect("it serves it")).collect();
    assert_eq!(names, ["b", "d"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_service_that_is_registered_late_is_called() {
    let place = Place::start().await;
    let seeds = place.seeds();
    let late = start_worker(&place.net, "late", &[], &seeds).await;
    let registry = place.directors[0].1.registry();
    within(registry.wait_for_healthy(6)).await;
    let counting = registry.serving(COUNT);
    until(|| counting.workers().len() == 3).await;
    let channel = place.channel(Mode::Direct).await;
    let count = CountClient::new(channel.clone());
    for _ in 0..100 {
        assert_ne!(within(count.count()).await.expect("three serve it"), "late");
    }
    register(&late.server, "late", &[COUNT]);
    within(async { while count.count().await.expect("four serve it") != "late" {} }).await;
    until(|| counting.workers().len() == 4).await;
    assert_eq!(channel.retries(), 0);
}

#[tokio::test]
async fn a_service_that_no_worker_has_is_unimplemented() {
    let net = Net::quic();
    let (host, director) = start_director(&net, any_port(), &[]).await;
    let seeds = [host.addr()];
    let _workers =
        [start_worker(&net, "a", &[COUNT], &seeds).await, start_worker(&net, "b", &[COUNT], &seeds).await];
    within(director.registry().wait_for_healthy(2)).await;
    for mode in [Mode::Direct, Mode::Relay] {
        let channel = cluster_channel(&net, &seeds).with_mode(mode).connect().await.expect("it answers");
        let infer = InferClient::new(channel.clone());
        let start = Instant::now();
        let error = within(infer.infer()).await.expect_err("nobody serves it");
        assert_eq!((error.code(), error.maybe_executed()), (Code::Unimplemented, false), "{mode:?}: {error}");
        assert!(error.to_string().contains("none of 2 endpoints serves"), "{mode:?}: {error}");
        // Not the five seconds for which a call waits for an endpoint, nor a director's two.
        assert!(start.elapsed() < Duration::from_secs(4), "{mode:?}: {:?}", start.elapsed());
        CountClient::new(channel).count().await.expect("two serve it");
    }
}

#[tokio::test]
async fn the_registry_can_be_asked_by_service() {
    let place = Place::start().await;
    let registry = place.directors[0].1.registry();
    let (counting, inferring) = (registry.serving(COUNT), registry.serving(INFER));
    assert_eq!((counting.worker_count().await, inferring.healthy_count().await), (3, 2));
    let infer: BTreeSet<_> = inferring.workers().into_iter().map(|worker| worker.addr).collect();
    assert_eq!(infer, [&place.workers[1], &place.workers[3]].map(Host::addr).into());
    for _ in 0..10 {
        assert!(infer.contains(&inferring.select_worker(None).expect("two serve it").addr));
    }
    let error = registry.serving("tests.v1.Nothing").select_worker(None).expect_err("nobody serves it");
    assert_eq!(
        error.to_string(),
        "none of 5 healthy workers serves tests.v1.Nothing: register it at one of them, or check its name"
    );
    let error = inferring.select_worker(Some("zone=x")).expect_err("none has it");
    assert_eq!(error, SelectError::NoWorker { workers: 2, filter: "zone=x".into() });
    assert!(
        registry
            .workers()
            .iter()
            .all(|worker| worker.services.as_ref().is_some_and(|services| services.len() == 1))
    );
    // They are no tags.
    assert!(registry.workers().iter().all(|worker| worker.tags.keys().all(|key| key == "role")));
}
