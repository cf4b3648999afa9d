//! Services over a network that is slow, loses packets, or is cut; what `rpcnet::testing` promises.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use rpcnet::{
    Admission, BalancedChannel, BalancedConfig, Channel, Code, ConnectError, Server, ServerConfigBuilder,
    balance::Policy,
    discover::{Endpoint, EndpointSet},
    testing::{Network, Place},
};
use rpcnet_tests::{Event, Net, ProbeClient, Probed, until, within};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

const MS: Duration = Duration::from_millis(1);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100));

/// A server on a host of its own.
fn serve(network: &Network, host: u8) -> (Server, Probed) {
    Net::Memory(network.host([10, 0, 0, host])).start_probed(&host.to_string())
}

async fn connect(network: &Network, server: &Server) -> Channel {
    within(Net::Memory(network.host(HERE)).connect(server)).await
}

struct Lone {
    network: Network,
    server: Server,
    probed: Probed,
    channel: Channel,
    client: ProbeClient,
}

/// One server, and a channel to it from another host.
async fn lone(network: Network) -> Lone {
    let (server, probed) = serve(&network, 1);
    let channel = connect(&network, &server).await;
    let client = ProbeClient::new(channel.clone());
    Lone { network, server, probed, channel, client }
}

/// Calls until one is answered.
async fn until_answered(client: &ProbeClient) {
    within(async {
        while client.server_name().await.is_err() {
            sleep(10 * MS).await;
        }
    })
    .await;
}

async fn took<F: Future>(future: F) -> (F::Output, Duration) {
    let started = Instant::now();
    let output = within(future).await;
    (output, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn latency_shows_in_calls() {
    let network = Network::new();
    network.set_latency(20 * MS..20 * MS);
    let started = Instant::now();
    let lone = lone(network).await;
    // A round trip for the handshake; half of one, and half of one back, for the word that lets us in.
    assert_eq!(started.elapsed(), 80 * MS);
    let (answer, time) = took(lone.client.server_name()).await;
    assert_eq!((answer.expect("it stands").as_str(), time), ("1", 40 * MS));

    lone.network.between(HERE, lone.server.local_addr()).one_way().set_latency(100 * MS..100 * MS);
    let (answer, time) = took(lone.client.server_name()).await;
    assert_eq!((answer.expect("it stands").as_str(), time), ("1", 120 * MS));
}

#[tokio::test(start_paused = true)]
async fn loss_delays_and_loses_nothing() {
    let network = Network::with_seed(3);
    network.set_latency(5 * MS..15 * MS);
    let lone = lone(network).await;
    lone.network.set_loss(0.2);
    let started = Instant::now();
    for id in 0..200 {
        within(lone.client.once(id)).await.expect("it arrives at last");
    }
    let executions = lone.probed.executions();
    assert_eq!(executions.len(), 200);
    assert!(executions.values().all(|times| *times == 1), "nothing arrives twice");
    let text = "0123456789".repeat(200_000);
    assert_eq!(within(lone.client.echo(text.clone())).await.expect("it arrives at last"), text);
    assert!(started.elapsed() > 200 * 20 * MS, "{:?}", started.elapsed());
    let traffic = lone.network.between(HERE, lone.server.local_addr()).traffic();
    let share = traffic.lost as f64 / traffic.packets as f64;
    assert!((0.1..0.3).contains(&share), "{traffic:?}");
    assert!(traffic.bytes >= 4_000_000, "{traffic:?}");
}

#[tokio::test(start_paused = true)]
async fn one_seed_tells_one_story() {
    async fn story(seed: u64) -> (Vec<Duration>, rpcnet::testing::Traffic) {
        let network = Network::with_seed(seed);
        network.set_latency(5 * MS..15 * MS);
        network.set_loss(0.1);
        let lone = lone(network).await;
        let mut times = Vec::new();
        for id in 0..50 {
            let (answer, time) = took(lone.client.once(id)).await;
            answer.expect("it arrives at last");
            times.push(time);
        }
        (times, lone.network.traffic())
    }
    let first = story(1).await;
    assert_eq!(first, story(1).await);
    assert_ne!(first, story(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_a_call_that_may_have_run() {
    let mut lone = lone(Network::new()).await;
    let held = tokio::spawn(lone.client.hold(1));
    assert_eq!(lone.probed.event().await, Event::Started(1));
    lone.network.between(HERE, lone.server.local_addr()).cut();
    let (error, time) = took(held).await;
    let error = error.expect("no panic").expect_err("its peer is silent");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed(), "{error}");
    assert!(time >= 2900 * MS && time <= 3200 * MS, "{time:?}");

    // A call that is made meanwhile is known not to have run.
    let error = within(lone.client.once(2)).await.expect_err("nobody answers");
    assert!(!error.maybe_executed(), "{error}");
    lone.network.heal_all();
    until_answered(&lone.client).await;
    assert!(!lone.probed.executions().contains_key(&2));
}

#[tokio::test(start_paused = true)]
async fn a_call_crosses_a_short_cut() {
    let mut lone = lone(Network::new()).await;
    let held = tokio::spawn(lone.client.hold(1));
    assert_eq!(lone.probed.event().await, Event::Started(1));
    let cut = lone.network.around(lone.server.local_addr());
    cut.cut();
    lone.probed.open_gate();
    assert_eq!(lone.probed.event().await, Event::Finished(1));
    sleep(500 * MS).await;
    assert!(!held.is_finished());
    cut.heal();
    let (answer, time) = took(held).await;
    assert_eq!(answer.expect("no panic").expect("the reply is sent again"), "1");
    assert!(time < 600 * MS, "{time:?}");
    assert_eq!(lone.network.connections(), 1, "it was the same connection");
}

#[tokio::test(start_paused = true)]
async fn a_cut_of_either_way_is_silence() {
    for towards_server in [true, false] {
        let mut lone = lone(Network::new()).await;
        let held = tokio::spawn(lone.client.hold(1));
        assert_eq!(lone.probed.event().await, Event::Started(1));
        let server = lone.server.local_addr();
        let cut = if towards_server {
            lone.network.between(HERE, server)
        } else {
            lone.network.between(server, HERE)
        };
        cut.cut_one_way();
        let (error, time) = took(held).await;
        let error = error.expect("no panic").expect_err("its peer is silent");
        assert!(error.maybe_executed() && time <= 3200 * MS, "{error} after {time:?}");
        if towards_server {
            cut.one_way().heal();
        } else {
            // The goodbye did get through.
            assert_eq!(lone.probed.event().await, Event::Dropped(1));
            cut.heal();
        }
        until_answered(&lone.client).await;
    }
}

/// Three servers, and a channel that calls them in turn.
async fn fleet(network: &Network) -> (Vec<(Server, Probed)>, ProbeClient<BalancedChannel>) {
    fleet_with(network, |config| config).await
}

async fn fleet_with(
    network: &Network,
    with: impl Fn(ServerConfigBuilder) -> ServerConfigBuilder,
) -> (Vec<(Server, Probed)>, ProbeClient<BalancedChannel>) {
    let serve = |host: u8| {
        let net = Net::Memory(network.host([10, 0, 0, host]));
        net.start_probed_with(&host.to_string(), with(net.server()))
    };
    let servers: Vec<_> = (1..=3).map(serve).collect();
    let set: EndpointSet = servers
        .iter()
        .map(|(server, _)| Endpoint::new(server.local_addr().to_string(), server.local_addr()))
        .collect();
    let builder = Net::Memory(network.host(HERE)).channel();
    let config = BalancedConfig::default().with_policy(Policy::RoundRobin);
    let channel = BalancedChannel::new(builder, watch::Sender::new(set).subscribe(), config);
    let channel = channel.expect("complete");
    until(|| channel.endpoints().iter().filter(|endpoint| endpoint.ready).count() == 3).await;
    (servers, ProbeClient::new(channel))
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_goes_elsewhere() {
    let network = Network::new();
    network.set_latency(MS..5 * MS);
    let (servers, client) = fleet(&network).await;
    network.around(servers[0].0.local_addr()).cut();
    for _ in 0..30 {
        let (answer, time) = took(client.server_name()).await;
        assert_ne!(answer.expect("two are left"), "1");
        assert!(time < 500 * MS, "{time:?}");
    }
    network.heal_all();
    let mut seen = HashSet::new();
    within(async {
        while seen.len() < 3 {
            seen.insert(client.server_name().await.expect("all are there"));
            sleep(50 * MS).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_run_is_not_forgotten() {
    let network = Network::new();
    let (servers, client) = fleet_with(&network, |config| config.with_admission(Admission::fixed(1))).await;
    let mut held = Vec::new();
    for id in 0..3 {
        held.push(tokio::spawn(client.hold_idempotent(id)));
    }
    until(|| servers.iter().all(|(server, _)| server.in_flight() == 1)).await;
    // The call leaves the server that is silent, and the two others refuse it.
    network.around(servers[0].0.local_addr()).cut();
    let first = servers[0].1.executions().into_keys().next().expect("one is held there");
    let error = within(held.remove(first as usize)).await.expect("no panic").expect_err("there is no room");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(error.maybe_executed(), "it runs on the first: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_parts_only_its_sides() {
    let network = Network::new();
    let (servers, client) = fleet(&network).await;
    let host = |host: u8| Place::Host([10, 0, 0, host].into());
    network.partition(&[Place::Host(HERE), host(3)], &[host(1), host(2)]);
    for _ in 0..10 {
        assert_eq!(within(client.server_name()).await.expect("one is left"), "3");
    }
    let beside = Net::Memory(network.host([10, 0, 0, 9]));
    let inside = ProbeClient::new(within(beside.connect(&servers[0].0)).await);
    assert_eq!(within(inside.server_name()).await.expect("it is on neither side"), "1");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_is_silent_and_comes_back() {
    let mut lone = lone(Network::new()).await;
    let held = tokio::spawn(lone.client.hold(1));
    assert_eq!(lone.probed.event().await, Event::Started(1));
    let server = lone.server.local_addr();
    lone.network.freeze(server);
    sleep(1000 * MS).await;
    lone.probed.open_gate();
    lone.network.thaw(server);
    let (answer, time) = took(held).await;
    assert_eq!(answer.expect("no panic").expect("it has kept its state"), "1");
    assert!(time < 1200 * MS, "{time:?}");

    // Longer than anybody waits: its connection is there when it wakes, and it learns that nobody else knows it.
    lone.network.freeze(server);
    let error = within(lone.client.once(2)).await.expect_err("it is silent");
    assert!(error.maybe_executed(), "{error}");
    sleep(Duration::from_secs(100)).await;
    assert!(lone.network.connections() >= 1, "its end stands still");
    lone.network.thaw(server);
    until_answered(&lone.client).await;
    until(|| lone.network.connections() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_reset() {
    let mut lone = lone(Network::new()).await;
    let held = tokio::spawn(lone.client.hold(1));
    assert_eq!(lone.probed.event().await, Event::Started(1));
    lone.network.between(HERE, Place::Anywhere).reset_connections();
    let (error, time) = took(held).await;
    let error = error.expect("no panic").expect_err("its connection is gone");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.maybe_executed() && time < 10 * MS, "{error} after {time:?}");
    assert_eq!(lone.probed.event().await, Event::Dropped(1));
    until_answered(&lone.client).await;
    assert!(lone.channel.is_connected());
}

#[tokio::test(start_paused = true)]
async fn dials_into_nothing_take_as_long_as_the_dialler_waits() {
    let network = Network::new();
    let (server, _probed) = serve(&network, 1);
    let channel = || Net::Memory(network.host(HERE)).channel().with_connect_timeout(700 * MS);
    network.around(server.local_addr()).cut();
    for address in [server.local_addr().to_string(), "10.0.0.2:1".to_owned()] {
        let (error, time) = took(channel().connect(address)).await;
        let error = error.expect_err("nobody answers");
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
        assert_eq!(time, 700 * MS);
    }
    // A handshake that began in a cut goes on after it.
    let dial = tokio::spawn(channel().connect(server.local_addr().to_string()));
    sleep(200 * MS).await;
    network.heal_all();
    within(dial).await.expect("no panic").expect("the second packet arrived");
}

#[tokio::test(start_paused = true)]
async fn silence_without_calls_is_noticed_by_both_in_the_end() {
    let lone = lone(Network::new()).await;
    sleep(Duration::from_secs(300)).await;
    assert!(lone.channel.is_connected(), "it is kept alive");
    assert_eq!(lone.network.connections(), 1);
    lone.network.around(HERE).cut();
    let cut = Instant::now();
    until(|| !lone.channel.is_connected()).await;
    let time = cut.elapsed();
    assert!(time >= Duration::from_secs(20) && time <= Duration::from_secs(45), "{time:?}");
    lone.network.heal_all();
    until_answered(&lone.client).await;
    until(|| lone.network.connections() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left() {
    let network = Network::with_seed(5);
    network.set_latency(MS..20 * MS);
    network.set_loss(0.1);
    let mut lone = lone(network).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in 0..100 {
        calls.spawn(lone.client.hold(id));
    }
    for _ in 0..100 {
        lone.probed.event().await;
    }
    // Half of them are given up.
    calls.abort_all();
    while within(calls.join_next()).await.is_some() {}
    lone.probed.open_gate();
    within(lone.client.server_name()).await.expect("it stands");
    // A control stream each way. (On so long a path each call has a stream of its own.)
    until(|| lone.network.open_streams() == 2).await;
    drop((lone.client, lone.channel));
    until(|| lone.network.connections() == 0).await;
    until(|| lone.network.open_streams() == 0).await;
    assert_eq!(lone.server.in_flight(), 0);
}
