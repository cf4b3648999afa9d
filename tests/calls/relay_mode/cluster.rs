//! Clients of a cluster who leave their calls to its directors; and those who don't, when no director is left.

use std::time::Duration;

use rpcnet::{Code, ConnectError, Server, Status, discover::Standing, rpc_impl, rpc_trait};
use rpcnet_cluster::{ClusterChannel, Director, Mode};
use rpcnet_tests::{
    Host, Load, Net, ProbeClient, Worker, any_port, cluster_channel, executions, free_addr, local,
    ready_workers, start_director, start_director_with, until, within,
};

struct Fleet {
    net: Net,
    directors: Vec<(Host, Director)>,
    workers: Vec<Worker>,
}

impl Fleet {
    async fn start(tags: &[(&str, &str)]) -> Self {
        let net = Net::quic();
        let first = start_director(&net, any_port(), &[]).await;
        let second = start_director(&net, any_port(), &[first.0.addr()]).await;
        let directors = vec![first, second];
        let addrs: Vec<_> = directors.iter().map(|(host, _)| host.addr()).collect();
        let mut workers = Vec::new();
        for (name, zone) in tags {
            let config = local(&addrs).with_tag("zone", *zone);
            workers.push(Worker::start_at(&net, name, any_port(), config).await);
        }
        for (_, director) in &directors {
            within(director.registry().wait_for_healthy(tags.len())).await;
        }
        Self { net, directors, workers }
    }

    fn addrs(&self) -> Vec<std::net::SocketAddr> {
        self.directors.iter().map(|(host, _)| host.addr()).collect()
    }

    async fn relayed(&self, filter: &str) -> ClusterChannel {
        let builder = cluster_channel(&self.net, &self.addrs()).with_mode(Mode::Relay);
        let filter = filter.parse().expect("a filter");
        builder.with_filter(filter).connect().await.expect("they answer")
    }
}

#[tokio::test]
async fn calls_go_on_while_workers_and_directors_come_and_go() {
    let mut fleet = Fleet::start(&[("first", "x"), ("second", "y")]).await;
    let channel = fleet.relayed("").await;
    assert_eq!(channel.routes_age(), None);
    assert!(!channel.is_stale());
    ready_workers(&channel, 2).await;
    let load = Load::start_idempotent(&channel, 4);
    load.more(100).await;
    fleet.directors.remove(0).0.kill().await;
    load.more(200).await;
    let addrs = fleet.addrs();
    let late = Worker::start(&fleet.net, "late", &addrs).await;
    fleet.workers.push(late);
    let client = ProbeClient::new(channel.clone());
    within(async { while client.server_name().await.expect("idempotent") != "late" {} }).await;
    fleet.workers.remove(0).host.kill().await;
    load.more(200).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn a_director_that_shuts_down_fails_no_call() {
    let fleet = Fleet::start(&[("first", "x"), ("second", "y")]).await;
    let channel = fleet.relayed("").await;
    ready_workers(&channel, 2).await;
    let load = Load::start(&channel, 4);
    load.more(100).await;
    let leaver = &fleet.directors[0].0.server;
    within(leaver.run_until(std::future::ready(()))).await.expect("it was not shut down before");
    load.more(100).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    assert!(executions(&fleet.workers).values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_filter_goes_with_the_calls() {
    let fleet = Fleet::start(&[("here", "x"), ("there", "y")]).await;
    let channel = fleet.relayed("zone=y").await;
    let client = ProbeClient::new(channel.clone());
    for _ in 0..50 {
        assert_eq!(client.server_name().await.expect("one matches"), "there");
    }
    fleet.workers[0].host.cluster.set_tag("zone", "y");
    within(async { while client.server_name().await.expect("two match") != "here" {} }).await;

    let builder = cluster_channel(&fleet.net, &fleet.addrs()).with_mode(Mode::Relay);
    let none = builder.with_filter("zone=z".parse().expect("a filter")).connect().await.expect("they answer");
    let error = within(ProbeClient::new(none).once(1)).await.expect_err("none matches");
    assert_eq!((error.code(), error.maybe_executed()), (Code::Unavailable, false), "{error}");
}

#[tokio::test]
async fn a_service_that_a_worker_does_not_serve_is_called_at_others() {
    let fleet = Fleet::start(&[("first", "x"), ("second", "y")]).await;
    let server = &fleet.workers[0].host.server;
    let probe = server.services().into_iter().find(|name| name.ends_with("Probe")).expect("registered");
    server.set_serving(probe, false);
    let client = ProbeClient::new(fleet.relayed("").await);
    let mut in_a_row = 0;
    // Directors hear of it in a moment; then it is so for good.
    within(async {
        while in_a_row < 50 {
            let name = client.server_name().await.expect("the second serves it");
            in_a_row = if name == "second" { in_a_row + 1 } else { 0 };
        }
    })
    .await;
}

#[rpc_trait(name = "tests.Errand")]
trait Errand {
    #[rpc(idempotent)]
    async fn run(&self) -> rpcnet::Result<()>;
}

/// Fails, or does not.
struct Runner(bool);

#[rpc_impl]
impl Errand for Runner {
    async fn run(&self) -> rpcnet::Result<()> {
        if self.0 { Err(Status::unavailable("out of order")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_worker_at_which_relayed_calls_fail_is_doubtful_for_all() {
    let mut fleet = Fleet::start(&[]).await;
    let mut hosts = Vec::new();
    for fails in [true, false] {
        let config = local(&fleet.addrs()).with_tag("role", "worker");
        let register =
            move |server: &Server| server.register(ErrandServer::new(Runner(fails))).expect("the first");
        hosts.push(Host::start(&fleet.net, any_port(), config, register).await);
    }
    // The one that relays, and the one that only hears of it.
    let (relaying, _) = fleet.directors.remove(0);
    let relayed = cluster_channel(&fleet.net, &[relaying.addr()]).with_mode(Mode::Relay);
    let client = ErrandClient::new(relayed.connect().await.expect("it answers"));
    let listed = cluster_channel(&fleet.net, &fleet.addrs()).connect().await.expect("it answers");
    ready_workers(&listed, 2).await;
    let standing = |host: &Host| {
        let endpoints = listed.endpoints();
        endpoints.into_iter().find(|endpoint| endpoint.addr == host.addr()).map(|endpoint| endpoint.standing)
    };
    // Until the relay has a connection to the other one, there is nowhere else for a call that fails.
    within(async { while client.run().await.is_err() {} }).await;
    within(async {
        while standing(&hosts[0]) != Some(Standing::Suspect) {
            client.run().await.expect("the other one works");
        }
    })
    .await;
    assert_eq!(standing(&hosts[1]), Some(Standing::Ready));
}

#[tokio::test]
async fn filters_are_not_kept_without_bound() {
    let fleet = Fleet::start(&[("here", "x")]).await;
    let mut refused = 0;
    // Whichever of the two directors it goes to.
    for index in 0..70 {
        let channel = fleet.relayed(&format!("zone{}", ",zone".repeat(index))).await;
        match within(ProbeClient::new(channel).server_name()).await {
            Ok(name) => assert_eq!(name, "here"),
            Err(error) => {
                assert_eq!(
                    (error.code(), error.maybe_executed()),
                    (Code::ResourceExhausted, false),
                    "{error}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_director_may_refuse_to_relay() {
    let net = Net::quic();
    let (host, _director) =
        start_director_with(&net, any_port(), &[], |director| director.with_relay(false)).await;
    let builder = cluster_channel(&net, &[host.addr()]).with_connect_timeout(Duration::from_millis(500));
    let error = within(builder.clone().with_mode(Mode::Relay).connect()).await.expect_err("it does not");
    assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error}");
    within(builder.connect()).await.expect("but it tells where the workers are");
}

#[tokio::test]
async fn no_relay_answers() {
    let net = Net::quic();
    let addr = free_addr();
    let builder = cluster_channel(&net, &[addr]).with_mode(Mode::Relay);
    let error = within(builder.with_connect_timeout(Duration::from_millis(500)).connect()).await;
    let error = error.expect_err("nobody listens");
    assert!(
        matches!(&error, ConnectError::NoAnswer { .. }) && error.to_string().contains(&addr.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_list_is_stale_when_no_director_was_heard_from_for_long() {
    let mut fleet = Fleet::start(&[("first", "x"), ("second", "y")]).await;
    let stale_after = Duration::from_secs(3);
    let builder = cluster_channel(&fleet.net, &fleet.addrs()).with_stale_after(stale_after);
    let channel = builder.connect().await.expect("they answer");
    ready_workers(&channel, 2).await;
    let load = Load::start(&channel, 2);
    load.more(100).await;
    assert!(!channel.is_stale());
    let addrs = fleet.addrs();
    for (host, _) in fleet.directors.drain(..) {
        host.kill().await;
    }
    let dead = tokio::time::Instant::now();
    until(|| channel.is_stale()).await;
    // A director that lives is heard every second.
    let took = dead.elapsed();
    assert!(took > Duration::from_millis(1500) && took < 2 * stale_after, "{took:?}");
    assert!(channel.routes_age().is_some_and(|age| age >= stale_after));
    load.more(100).await;

    fleet.directors.push(start_director(&fleet.net, addrs[0], &[]).await);
    until(|| !channel.is_stale()).await;
    assert!(channel.routes_age().is_some_and(|age| age < stale_after));
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn a_director_that_is_a_worker_calls_itself() {
    let net = Net::quic();
    let worker = Worker::start(&net, "both", &[]).await;
    let director = Director::new(&worker.host.server, &worker.host.cluster).expect("its first");
    within(director.registry().wait_for_healthy(1)).await;
    let builder = cluster_channel(&net, &[worker.host.addr()]).with_mode(Mode::Relay);
    let channel = builder.connect().await.expect("it answers");
    assert_eq!(within(ProbeClient::new(channel).server_name()).await.expect("answered"), "both");
}
