//! The readiness of a server, and calls to a server that is not ready.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    BalancedChannel, BalancedConfig, Code, HealthClient, Readiness, Server,
    balance::Policy,
    discover::{Endpoint, EndpointSet, Standing},
};
use rpcnet_tests::{
    Host, Load, Net, ProbeClient, ProbeServer, ProbeService, Worker, any_port, cluster_channel, local,
    on_lanes, ready_workers, run, start_director, until, within,
};
use tokio::sync::watch;

const PERIOD: Duration = Duration::from_millis(20);

on_lanes!(
    a_check_decides_whether_a_server_is_ready,
    a_check_that_takes_too_long_fails,
    a_service_that_is_taken_out_is_named,
    watching_tells_of_each_change_and_ends_with_the_drain,
    endpoints_that_are_away_get_no_calls,
    a_service_that_an_endpoint_does_not_serve_is_called_elsewhere,
);

async fn started(net: &Net) -> (Server, tokio::task::JoinHandle<()>) {
    let server = Server::new(net.server().build().expect("complete")).expect("a free port");
    let running = run(&server);
    until(|| server.readiness().ready).await;
    (server, running)
}

async fn a_check_decides_whether_a_server_is_ready(net: Net) {
    let (server, _running) = started(&net).await;
    let well = Arc::new(AtomicBool::new(false));
    let asked = well.clone();
    server.add_check("database", PERIOD, move || {
        let well = asked.load(Ordering::SeqCst);
        async move { if well { Ok(()) } else { Err("no route to it") } }
    });
    let channel = net.channel().connect(server.local_addr().to_string()).await.expect("it listens");
    let health = HealthClient::new(channel);
    until(|| server.readiness().reasons == ["database: no route to it"]).await;
    let told = within(health.ready()).await.expect("it lives");
    assert_eq!(told.reasons, ["database: no route to it"]);
    assert!(!told.ready);
    well.store(true, Ordering::SeqCst);
    until(|| server.readiness().ready).await;
    assert!(within(health.ready()).await.expect("it lives").ready);
}

async fn a_check_that_takes_too_long_fails(net: Net) {
    let (server, _running) = started(&net).await;
    server.add_check("model", PERIOD, std::future::pending::<Result<(), String>>);
    until(|| server.readiness().reasons.iter().any(|reason| reason.starts_with("model: no answer"))).await;
}

async fn a_service_that_is_taken_out_is_named(net: Net) {
    let (server, _running) = started(&net).await;
    let (service, _probed) = ProbeService::new("one");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    let channel = net.channel().connect(server.local_addr().to_string()).await.expect("it listens");
    let health = HealthClient::new(channel);
    let name = server.services().into_iter().find(|name| name.ends_with("Probe")).expect("registered");
    assert!(within(health.serving(name.to_owned())).await.expect("it has it"));
    server.set_serving(name, false);
    assert!(!within(health.serving(name.to_owned())).await.expect("it has it"));
    assert!(within(health.serving("rpcnet.Health".to_owned())).await.expect("it has it"));
    let error = within(health.serving("no.Such".to_owned())).await.expect_err("it has none");
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(
        server.readiness(),
        Readiness { ready: true, not_serving: vec![name.to_owned()], ..Readiness::default() }
    );
    server.set_serving(name, true);
    assert!(within(health.serving(name.to_owned())).await.expect("it has it"));
}

async fn watching_tells_of_each_change_and_ends_with_the_drain(net: Net) {
    let (server, _running) = started(&net).await;
    let channel = net.channel().connect(server.local_addr().to_string()).await.expect("it listens");
    let health = HealthClient::new(channel);
    let mut updates = within(health.watch()).await.expect("it lives");
    assert!(within(updates.next()).await.expect("the first").expect("whole").ready);
    server.set_serving("rpcnet.Health", false);
    let update = within(updates.next()).await.expect("a second").expect("whole");
    assert_eq!(update.not_serving, ["rpcnet.Health"]);
    within(server.stop_accepting()).await;
    let mut last = update;
    while let Some(Ok(update)) = within(updates.next()).await {
        last = update;
    }
    assert_eq!(last.reasons, ["the server is draining"]);
    // A client that watches readiness does not hold up the server's end.
    within(server.wait_for_in_flight()).await;
}

/// A channel to two probes, `0` and `1`.
async fn pair(net: &Net) -> (Vec<Host0>, watch::Sender<EndpointSet>, BalancedChannel) {
    let mut hosts = Vec::new();
    for index in 0..2 {
        let (server, running) = started(net).await;
        let (service, probed) = ProbeService::new(&index.to_string());
        server.register(ProbeServer::new(service)).expect("the first of its name");
        hosts.push(Host0 { server, _running: running, _probed: probed });
    }
    let set = watch::Sender::new(endpoints(&hosts, |endpoint| endpoint));
    let config = BalancedConfig::default().with_policy(Policy::RoundRobin);
    let channel = BalancedChannel::new(net.channel(), set.subscribe(), config).expect("complete");
    until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == 2).await;
    (hosts, set, channel)
}

struct Host0 {
    server: Server,
    _running: tokio::task::JoinHandle<()>,
    _probed: rpcnet_tests::Probed,
}

/// Both, the first of them with something said of it.
fn endpoints(hosts: &[Host0], said: impl Fn(Endpoint) -> Endpoint) -> EndpointSet {
    let endpoint = |(index, host): (usize, &Host0)| {
        let endpoint = Endpoint::new(index.to_string(), host.server.local_addr());
        if index == 0 { said(endpoint) } else { endpoint }
    };
    hosts.iter().enumerate().map(endpoint).collect()
}

async fn served_by(channel: &BalancedChannel) -> Vec<String> {
    let client = ProbeClient::new(channel.clone());
    let mut names = Vec::new();
    for _ in 0..40 {
        names.push(within(client.server_name()).await.expect("one answers"));
    }
    names.sort_unstable();
    names.dedup();
    names
}

async fn endpoints_that_are_away_get_no_calls(net: Net) {
    let (hosts, set, channel) = pair(&net).await;
    assert_eq!(served_by(&channel).await, ["0", "1"]);
    set.send_replace(endpoints(&hosts, |endpoint| endpoint.with_standing(Standing::Away)));
    until(|| channel.endpoints()[0].standing == Standing::Away).await;
    assert_eq!(served_by(&channel).await, ["1"]);
    set.send_replace(endpoints(&hosts, |endpoint| endpoint));
    until(|| channel.endpoints()[0].ready).await;
    assert_eq!(served_by(&channel).await, ["0", "1"]);
}

async fn a_service_that_an_endpoint_does_not_serve_is_called_elsewhere(net: Net) {
    let (hosts, set, channel) = pair(&net).await;
    let name = hosts[0].server.services().into_iter().find(|name| name.ends_with("Probe"));
    let out = vec![name.expect("registered").to_owned()];
    set.send_replace(endpoints(&hosts, |endpoint| endpoint.with_not_serving(out.clone())));
    until(|| !set.borrow()[0].not_serving().is_empty()).await;
    // It is taken in by the channel's task.
    until_served_by(&channel, &["1"]).await;
    // Of other services it has its share.
    let health = HealthClient::new(channel.clone());
    for _ in 0..20 {
        within(health.health()).await.expect("both live");
    }
    assert!(channel.endpoints().iter().all(|endpoint| endpoint.calls > 0));
}

async fn until_served_by(channel: &BalancedChannel, names: &[&str]) {
    within(async { while served_by(channel).await != names {} }).await;
}

#[tokio::test]
async fn a_worker_that_is_not_ready_is_not_called_until_it_is() {
    let net = Net::quic();
    let (host, director) = start_director(&net, any_port(), &[]).await;
    let seeds = [host.addr()];
    let mut workers = Vec::new();
    for name in ["first", "second"] {
        workers.push(Worker::start(&net, name, &seeds).await);
    }
    within(director.registry().wait_for_healthy(2)).await;
    let channel = cluster_channel(&net, &seeds).connect().await.expect("it answers");
    ready_workers(&channel, 2).await;
    let well = Arc::new(AtomicBool::new(false));
    let asked = well.clone();
    workers[0].host.server.add_check("cache", PERIOD, move || {
        let well = asked.load(Ordering::SeqCst);
        async move { if well { Ok(()) } else { Err("cold") } }
    });
    until(|| channel.endpoints().iter().filter(|endpoint| endpoint.standing == Standing::Away).count() == 1)
        .await;
    let before = workers[0].executed();
    let load = Load::start(&channel, 2);
    load.more(200).await;
    assert_eq!(workers[0].executed(), before);
    // Gossip knows it too.
    until(|| director.registry().workers().iter().filter(|worker| worker.away).count() == 1).await;
    assert_eq!(director.registry().healthy_count().await, 1);
    well.store(true, Ordering::SeqCst);
    until(|| workers[0].executed() > before).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
}

#[tokio::test]
async fn directors_tell_each_other_whom_they_can_not_reach() {
    let net = Net::quic();
    let (first, director) = start_director(&net, any_port(), &[]).await;
    let (second, _other) = start_director(&net, any_port(), &[first.addr()]).await;
    // A worker that gossips, and that nobody but the second director ever calls: it says that it is a worker, and its
    // address is one at which nothing answers calls.
    let worker = Worker::start(&net, "one", &[first.addr()]).await;
    within(director.registry().wait_for_healthy(1)).await;
    let channel = cluster_channel(&net, &[second.addr()]).connect().await.expect("it answers");
    ready_workers(&channel, 1).await;
    assert_eq!(channel.endpoints()[0].standing, Standing::Ready);
    worker.host.kill().await;
    // Long before gossip is sure, both have lost sight of it.
    until(|| channel.endpoints().iter().all(|endpoint| endpoint.standing != Standing::Ready)).await;
}

#[tokio::test]
async fn tags_of_this_crates_own_are_not_the_users() {
    let net = Net::quic();
    let host = Host::start(&net, any_port(), local(&[]), |_| {}).await;
    let error = host.cluster.try_set_tag("rpcnet.away", "x").expect_err("reserved");
    assert_eq!(error, rpcnet_cluster::TagError::Reserved);
    assert!(host.cluster.try_remove_tag("rpcnet.away").is_err());
}
