//! A channel opens further connections where calls gather, and closes them when they are not used.

use std::{num::NonZero, time::Duration};

use rpcnet::{Channel, ChannelBuilder, Limits, Server};
use rpcnet_tests::{
    Crowd, Event, Net, ProbeClient, ProbeServer, ProbeService, connections, on_lanes, until, within,
};
use tokio::task::JoinSet;

const MS: Duration = Duration::from_millis(1);

on_lanes!(
    a_crowd_gets_further_connections,
    a_few_calls_share_one,
    calls_go_on_when_one_connection_is_cut,
    a_call_that_meets_connections_that_drain_was_never_started,
);

async fn connect(net: &Net, server: &Server, most: usize) -> Channel {
    connect_with(net, server, most, net.channel()).await
}

async fn connect_with(net: &Net, server: &Server, most: usize, builder: ChannelBuilder) -> Channel {
    if let Net::Memory(network) = net.medium() {
        // Time goes on only where somebody waits for it.
        network.set_latency(MS..MS);
    }
    let most = NonZero::new(most).expect("some");
    builder.with_max_connections(most).connect(server.local_addr().to_string()).await.expect("it listens")
}

async fn a_crowd_gets_further_connections(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let channel = connect(&net, &server, 3).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 3).await;
    for _ in 0..4 {
        crowd.goes_on().await;
        assert!(connections(&server) <= 3);
    }
    assert_eq!(crowd.end().await, 0);
    drop(channel);
    until(|| connections(&server) == 0).await;
}

async fn a_few_calls_share_one(net: Net) {
    let (server, _probed) = net.start_probed("server");
    let channel = connect(&net, &server, 4).await;
    let crowd = Crowd::of(16, &channel);
    for _ in 0..5 {
        crowd.goes_on().await;
    }
    assert_eq!(connections(&server), 1);
    assert_eq!(crowd.end().await, 0);
}

async fn calls_go_on_when_one_connection_is_cut(net: Net) {
    // A peer that gives up too much is cut off: so one of the connections can be, and not the others.
    let limits = Limits::default().with_lanes_on_any_path().with_max_resets_per_second(1);
    let (server, mut probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let channel = connect(&net, &server, 2).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 2).await;
    let client = ProbeClient::new(channel.clone());
    let mut id = 0;
    let mut least = 2;
    while least == 2 {
        let mut call = tokio::spawn(client.hold(id));
        tokio::select! {
            biased;
            _ = probed.event() => {
                call.abort();
                let _ = call.await;
                let _ = probed.event().await;
            }
            // The one before has cut the connection off on which this one went.
            _ = &mut call => {}
        }
        least = connections(&server);
        id += 1;
    }
    // It is dialled again.
    crowd.goes_on().await;
    until(|| connections(&server) == 2).await;
    crowd.goes_on().await;
    let failed = crowd.end().await;
    assert!(failed <= 600, "each had one call on it at most: {failed}");
}

async fn a_call_that_meets_connections_that_drain_was_never_started(net: Net) {
    let (server, probed) = net.start_probed("server");
    let channel = connect(&net, &server, 3).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 3).await;
    crowd.end().await;
    let client = ProbeClient::new(channel);
    let mut calls = JoinSet::new();
    for id in 0..300 {
        calls.spawn(client.once(id));
    }
    server.stop_accepting().await;
    let mut answered = 0;
    while let Some(ended) = within(calls.join_next()).await {
        match ended.expect("no panic") {
            Ok(_) => answered += 1,
            Err(error) => assert!(!error.maybe_executed(), "{error}"),
        }
    }
    assert_eq!(answered, probed.executions().len());
}

/// Longer than a connection is kept that is not used.
const LONG: Duration = Duration::from_secs(200);

#[tokio::test(start_paused = true)]
async fn connections_that_are_not_used_any_more_go() {
    let net = Net::memory();
    let (server, mut probed) = net.start_probed("server");
    let channel = connect(&net, &server, 3).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 3).await;
    assert_eq!(crowd.end().await, 0);

    // Connections with a call in flight stay, however long it takes.
    let client = ProbeClient::new(channel.clone());
    let held: Vec<_> = (0..3).map(|id| tokio::spawn(client.hold(id).timeout(2 * LONG))).collect();
    for _ in &held {
        assert!(matches!(probed.event().await, Event::Started(_)));
    }
    tokio::time::sleep(LONG).await;
    assert_eq!(connections(&server), 3, "each has one of the calls");
    probed.open_gate();
    for call in held {
        assert_eq!(within(call).await.expect("no panic").expect("it was not cut"), "server");
    }

    // One call at a time has room on the first.
    for id in 10..10 + LONG.as_secs() {
        client.once(id).await.expect("answered");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(connections(&server), 1);

    // They are had again when they are needed again.
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 3).await;
    assert_eq!(crowd.end().await, 0);
}

#[tokio::test(start_paused = true)]
async fn connections_on_which_the_server_may_call_stay() {
    let net = Net::memory();
    let (server, _probed) = net.start_probed("server");
    let (service, _own) = ProbeService::new("client");
    let builder = net.channel().with_service(ProbeServer::new(service)).expect("the first of its name");
    let channel = connect_with(&net, &server, 3, builder).await;
    let crowd = Crowd::of(600, &channel);
    until(|| connections(&server) == 3).await;
    assert_eq!(crowd.end().await, 0);
    tokio::time::sleep(LONG).await;
    assert_eq!(connections(&server), 3);
}
