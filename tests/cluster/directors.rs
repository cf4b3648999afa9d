//! Directors: what clients learn from them, and the loss of one.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use rpcnet::{BalancedConfig, Code, ConfigError, ConnectError, balance::Policy, discover::EndpointSet};
use rpcnet_cluster::{ClusterChannel, ClusterExt, Director, DirectorError};
use rpcnet_tests::{
    Host, Load, Net, ProbeClient, Worker, any_port, cluster_channel, free_addr, local, ready_workers,
    start_director, start_director_with, until, within,
};
use tokio::{sync::watch, time::Instant};

/// Two directors and two workers that know both.
struct Fleet {
    net: Net,
    directors: Vec<(Host, Director)>,
    workers: Vec<Worker>,
    channel: ClusterChannel,
}

impl Fleet {
    async fn start() -> Self {
        let net = Net::quic();
        let first = start_director(&net, any_port(), &[]).await;
        let second = start_director(&net, any_port(), &[first.0.addr()]).await;
        let directors = vec![first, second];
        let addrs: Vec<_> = directors.iter().map(|(host, _)| host.addr()).collect();
        let mut workers = Vec::new();
        for name in ["first", "second"] {
            workers.push(Worker::start(&net, name, &addrs).await);
        }
        // Whichever it asks, it is told of both.
        for (_, director) in &directors {
            within(director.registry().wait_for_healthy(2)).await;
        }
        let channel = cluster_channel(&net, &addrs).connect().await.expect("they answer");
        ready_workers(&channel, 2).await;
        Self { net, directors, workers, channel }
    }

    /// Which of the directors the channel follows: its one client's call runs there.
    fn followed(&self) -> usize {
        self.directors.iter().position(|(host, _)| host.server.in_flight() > 0).expect("one is followed")
    }
}

async fn channel_to_one(net: &Net, director: &Host) -> ClusterChannel {
    cluster_channel(net, &[director.addr()]).connect().await.expect("it answers")
}

#[tokio::test]
async fn the_followed_director_dies_and_another_tells_of_new_workers() {
    let mut fleet = Fleet::start().await;
    let load = Load::start(&fleet.channel, 4);
    load.more(100).await;
    let dead = fleet.directors.remove(fleet.followed());
    dead.0.kill().await;
    let since = Instant::now();
    let late = Worker::start(&fleet.net, "late", &[fleet.directors[0].0.addr()]).await;
    until(|| late.executed() > 0).await;
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn a_director_leaves_at_once_and_another_is_followed() {
    let mut fleet = Fleet::start().await;
    let load = Load::start(&fleet.channel, 4);
    load.more(100).await;
    let leaver = fleet.directors.remove(fleet.followed());
    let since = Instant::now();
    // The drain timeout is 30 s, and the channel's call there would never end by itself.
    within(leaver.0.server.run_until(std::future::ready(()))).await.expect("it was not shut down before");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    until(|| fleet.directors[0].0.server.in_flight() > 0).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn all_directors_die_and_come_back() {
    let mut fleet = Fleet::start().await;
    let addrs: Vec<_> = fleet.directors.iter().map(|(host, _)| host.addr()).collect();
    // Calls that can't wait: a list that is empty for a moment fails them.
    let client = ProbeClient::new(fleet.channel.clone());
    let load = Load::start(&fleet.channel, 2);
    for (host, _) in fleet.directors.drain(..) {
        host.kill().await;
    }
    // Directors that live are heard every second.
    let age = || fleet.channel.routes_age().expect("they were heard");
    until(|| age() > Duration::from_secs(4)).await;
    load.more(100).await;

    for (index, addr) in addrs.iter().enumerate() {
        fleet.directors.push(start_director(&fleet.net, *addr, &addrs[..index]).await);
    }
    within(async {
        while age() > Duration::from_secs(1)
            || fleet.directors.iter().any(|(_, director)| director.registry().workers().len() < 2)
        {
            client
                .server_name()
                .timeout(Duration::from_millis(500))
                .await
                .expect("workers are known all the time");
            assert_eq!(fleet.channel.endpoints().len(), 2);
        }
    })
    .await;
    let late = Worker::start(&fleet.net, "late", &addrs).await;
    until(|| late.executed() > 0).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn workers_that_died_while_no_director_lived_are_forgotten() {
    let mut fleet = Fleet::start().await;
    let addrs: Vec<_> = fleet.directors.iter().map(|(host, _)| host.addr()).collect();
    for (host, _) in fleet.directors.drain(..) {
        host.kill().await;
    }
    fleet.workers.remove(0).host.kill().await;
    fleet.directors.push(start_director(&fleet.net, addrs[0], &[fleet.workers[0].host.addr()]).await);
    ready_workers(&fleet.channel, 1).await;
    assert_eq!(fleet.channel.endpoints()[0].addr, fleet.workers[0].host.addr());
}

#[tokio::test]
async fn no_director_answers() {
    let net = Net::quic();
    let addrs = [free_addr(), free_addr()];
    let since = Instant::now();
    let builder = cluster_channel(&net, &addrs).with_connect_timeout(Duration::from_secs(1));
    let error = builder.connect().await.expect_err("nobody listens");
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert!(
        matches!(&error, ConnectError::NoAnswer { after, .. } if *after == Duration::from_secs(1)),
        "{error}"
    );
    for addr in addrs {
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    }
}

#[tokio::test]
async fn directors_that_are_no_addresses() {
    let net = Net::quic();
    let builder = cluster_channel(&net, &[]);
    assert!(matches!(
        builder.clone().connect().await,
        Err(ConnectError::Config(ConfigError::Missing("a director", _)))
    ));
    let error =
        builder.with_directors(["127.0.0.1:1", "director-1"]).connect().await.expect_err("it has no port");
    assert!(matches!(&error, ConnectError::Address(address) if address.text() == "director-1"), "{error}");
}

#[tokio::test]
async fn one_director_that_answers_is_enough() {
    let net = Net::quic();
    let (host, _director) = start_director(&net, any_port(), &[]).await;
    let mut addrs: Vec<SocketAddr> = (0..6).map(|_| free_addr()).collect();
    addrs.push(host.addr());
    let since = Instant::now();
    cluster_channel(&net, &addrs).connect().await.expect("the last one answers");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

/// Calls answered by each worker, of 300 that are made one after the other.
async fn shares(channel: &ClusterChannel, workers: &[Worker]) -> Vec<usize> {
    let client = ProbeClient::new(channel.clone());
    for id in 0..300 {
        client.once(id).await.expect("three workers take it");
    }
    workers.iter().map(Worker::executed).collect()
}

#[tokio::test]
async fn clients_follow_the_policy_that_a_director_suggests() {
    let net = Net::quic();
    let (host, _director) =
        start_director_with(&net, any_port(), &[], |director| director.with_policy(Policy::RoundRobin)).await;
    let mut workers = Vec::new();
    for name in ["first", "second", "third"] {
        workers.push(Worker::start(&net, name, &[host.addr()]).await);
    }
    let channel = channel_to_one(&net, &host).await;
    ready_workers(&channel, 3).await;
    assert_eq!(shares(&channel, &workers).await, [100; 3]);
}

#[tokio::test]
async fn a_clients_own_policy_goes_first() {
    let net = Net::quic();
    // Peak EWMA would never spread this evenly.
    let (host, _director) =
        start_director_with(&net, any_port(), &[], |director| director.with_policy(Policy::PeakEwma)).await;
    let mut workers = Vec::new();
    for name in ["first", "second", "third"] {
        workers.push(Worker::start(&net, name, &[host.addr()]).await);
    }
    let builder = cluster_channel(&net, &[host.addr()]).with_policy(Policy::RoundRobin);
    let channel = builder.connect().await.expect("it answers");
    ready_workers(&channel, 3).await;
    assert_eq!(shares(&channel, &workers).await, [100; 3]);
}

#[tokio::test]
async fn only_workers_that_match_are_called() {
    let net = Net::quic();
    let (host, director) = start_director(&net, any_port(), &[]).await;
    let seeds = [host.addr()];
    let here = Worker::start_at(&net, "here", any_port(), local(&seeds).with_tag("zone", "x")).await;
    let there = Worker::start_at(&net, "there", any_port(), local(&seeds).with_tag("zone", "y")).await;
    within(director.registry().wait_for_healthy(2)).await;
    let builder = cluster_channel(&net, &seeds).with_filter("zone=x".parse().expect("a filter"));
    let channel = builder.connect().await.expect("it answers");
    ready_workers(&channel, 1).await;
    let client = ProbeClient::new(channel.clone());
    for id in 0..50 {
        assert_eq!(client.once(id).await.expect("one matches"), "here");
    }
    // Tags change: so does who is called.
    there.host.cluster.set_tag("zone", "x");
    ready_workers(&channel, 2).await;
    here.host.cluster.set_tag("zone", "z");
    ready_workers(&channel, 1).await;
    assert_eq!(client.once(50).await.expect("one matches"), "there");
}

#[tokio::test]
async fn a_worker_that_becomes_something_else_is_no_longer_called() {
    let fleet = Fleet::start().await;
    let load = Load::start(&fleet.channel, 4);
    load.more(50).await;
    fleet.workers[0].host.cluster.set_tag("role", "retired");
    until(|| fleet.channel.endpoints().len() == 1).await;
    // Calls that were sent before may still arrive; one that is made now is behind them at both ends.
    load.more(50).await;
    let before = fleet.workers[0].executed();
    load.more(100).await;
    assert_eq!(fleet.workers[0].executed(), before);
    fleet.workers[0].host.cluster.set_tag("role", "worker");
    until(|| fleet.workers[0].executed() > before).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn without_workers_a_call_waits_and_says_why_it_failed() {
    let net = Net::quic();
    let (host, _director) = start_director(&net, any_port(), &[]).await;
    let wait = Duration::from_millis(300);
    let builder = cluster_channel(&net, &[host.addr()])
        .with_balancing(BalancedConfig::default().with_ready_timeout(wait));
    let channel = builder.connect().await.expect("it answers");
    let client = ProbeClient::new(channel.clone());
    let since = Instant::now();
    let error = client.once(0).await.expect_err("there is no worker");
    assert!(since.elapsed() >= wait && since.elapsed() < 10 * wait, "{:?}", since.elapsed());
    assert_eq!(error.code(), Code::Unavailable);
    assert!(!error.maybe_executed());
    assert!(error.to_string().contains("no endpoint is known"), "{error}");
}

#[tokio::test]
async fn a_call_waits_for_the_first_worker() {
    let net = Net::quic();
    let (host, _director) = start_director(&net, any_port(), &[]).await;
    let channel = channel_to_one(&net, &host).await;
    let call = tokio::spawn(ProbeClient::new(channel.clone()).once(0).into_future());
    let _worker = Worker::start(&net, "first", &[host.addr()]).await;
    assert_eq!(within(call).await.expect("no panic").expect("a worker came in time"), "first");
}

#[tokio::test]
async fn a_role_that_was_just_set_is_kept() {
    let net = Net::quic();
    let server = net.start();
    let cluster = server.enable_cluster(local(&[])).await.expect("its first");
    cluster.set_tag("role", "worker");
    let director = Director::new(&server, &cluster).expect("its first");
    within(director.registry().wait_for_healthy(1)).await;
    let own = cluster.nodes().await.members[0].tags().get("role").cloned();
    assert_eq!(own.as_deref(), Some("worker"));
}

#[tokio::test]
async fn a_second_director_on_a_server_is_an_error() {
    let net = Net::quic();
    let server = net.start();
    let cluster = server.enable_cluster(local(&[])).await.expect("its first");
    let _director = Director::new(&server, &cluster).expect("its first");
    let error = Director::new(&server, &cluster).expect_err("its second");
    assert!(matches!(error, DirectorError::AlreadyStarted), "{error}");
}

#[tokio::test]
async fn a_server_that_forwards_otherwise_gets_no_director_that_relays() {
    let net = Net::quic();
    let server = net.start();
    let cluster = server.enable_cluster(local(&[])).await.expect("its first");
    let (_none, known) = watch::channel(EndpointSet::from([]));
    server.forward(server.connector().balanced(known, BalancedConfig::default())).expect("its first");
    let error = Director::new(&server, &cluster).expect_err("it could not relay");
    assert!(matches!(error, DirectorError::Forwarding(_)), "{error}");
    // The failure changed nothing: without relaying it starts.
    assert!(cluster.nodes().await.members[0].tags().get("role").is_none());
    Director::builder(&server, &cluster).with_relay(false).start().expect("it relays nothing");
}

#[tokio::test]
async fn metrics_tell_of_workers_and_nodes() {
    let mut fleet = Fleet::start().await;
    let shows = |host: &Host, line: &str| host.server.metrics().render().lines().any(|found| found == line);
    for host in
        fleet.directors.iter().map(|(host, _)| host).chain(fleet.workers.iter().map(|worker| &worker.host))
    {
        until(|| shows(host, "cluster_healthy_workers 2")).await;
        until(|| shows(host, "cluster_nodes{state=\"alive\"} 4")).await;
    }
    let killed = SystemTime::now();
    fleet.workers.remove(0).host.kill().await;
    let director = &fleet.directors[0].0;
    until(|| shows(director, "cluster_healthy_workers 1")).await;
    until(|| shows(director, "cluster_nodes{state=\"down\"} 1")).await;
    assert!(shows(director, "cluster_nodes{state=\"alive\"} 3"));
    assert!(killed.elapsed().is_ok_and(|took| took < Duration::from_secs(20)));
}

#[tokio::test]
async fn a_node_that_is_alone_counts_itself() {
    let net = Net::quic();
    let server = net.start();
    let _cluster = server.enable_cluster(local(&[])).await.expect("its first");
    until(|| server.metrics().render().contains("cluster_nodes{state=\"alive\"} 1")).await;
}
