//! Calls by their typed clients, which do not know how they travel.

use std::{collections::HashMap, num::NonZero, time::Duration};

use rpcnet::{Code, Limits, testing::Network};
use rpcnet_tests::{Event, Net, ProbeClient, over_both, until, within};
use tokio::{task::JoinSet, time::Instant};

use super::loads::{Here, LoadsClient, served};

const MS: Duration = Duration::from_millis(1);

over_both!(
    replies_of_any_size_arrive,
    a_large_reply_that_is_given_up_harms_no_other,
    a_large_reply_is_waited_for_by_who_drains,
    a_reply_over_the_callers_limit_is_refused,
    calls_of_a_lost_connection_end_once,
    a_deadline_ends_both_sides,
    thousands_at_once_are_answered,
);

fn right(body: &[u8], size: u64) -> bool {
    body.len() == size as usize && body.iter().all(|byte| *byte == size as u8)
}

async fn replies_of_any_size_arrive(net: Net) {
    let (_server, _here, client) = served(&net).await;
    // About what fits, and far beyond; the first is the one that finds out.
    for size in [31_700, 32_767, 32_768, 32_769, 100_000, 3, 1 << 20] {
        let body = within(client.fill(size)).await.expect("answered");
        assert!(right(&body, size), "{size}");
    }
    let mut calls = JoinSet::new();
    for call in 0..96_u64 {
        let size = [0, 100, 32_000, 33_000, 70_000, 500_000][call as usize % 6] + call;
        let client = client.clone();
        calls.spawn(async move {
            let body = match call % 2 {
                0 => client.fill(size).await,
                _ => client.fill_later(size).await,
            };
            (size, body)
        });
    }
    while let Some(ended) = within(calls.join_next()).await {
        let (size, body) = ended.expect("no panic");
        assert!(right(&body.expect("answered"), size), "{size}");
    }
}

async fn a_large_reply_that_is_given_up_harms_no_other(net: Net) {
    let (server, here, client) = served(&net).await;
    if let Net::Memory(network) = net.medium() {
        // So that replies take time.
        network.set_latency(2 * MS..2 * MS);
    }
    for round in 1..=8 {
        // A method whose replies are known to be large has streams of its own: each channel finds out anew.
        let client = LoadsClient::new(net.connect(&server).await);
        let call = tokio::spawn(client.fill_later(3 << 20));
        until(|| here.filled() == 2 * round - 1).await;
        call.abort();
        let _ = call.await;
        let body = within(client.fill(5)).await.expect("answered");
        assert!(right(&body, 5));
    }
    until(|| server.in_flight() == 0).await;
    let body = within(client.fill(3 << 20)).await.expect("answered");
    assert!(right(&body, 3 << 20));
}

async fn a_large_reply_is_waited_for_by_who_drains(net: Net) {
    let (server, here, client) = served(&net).await;
    let call = tokio::spawn(client.fill_later(3 << 20));
    until(|| here.filled() == 1).await;
    server.stop_accepting().await;
    within(server.wait_for_in_flight()).await;
    server.shutdown().await.expect("the first time");
    let body = within(call).await.expect("no panic").expect("it was at work");
    assert!(right(&body, 3 << 20));
}

async fn a_reply_over_the_callers_limit_is_refused(net: Net) {
    let (server, _here, _) = served(&net).await;
    let limits = Limits::default().with_max_message(1000);
    for lanes in [true, false] {
        let channel = net.channel().with_limits(limits.with_lanes(lanes));
        let channel = channel.connect(server.local_addr().to_string()).await.expect("it listens");
        let client = LoadsClient::new(channel);
        let error = within(client.fill(2000)).await.expect_err("too large");
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
        assert!(right(&within(client.fill(900)).await.expect("answered"), 900));
    }
}

async fn calls_of_a_lost_connection_end_once(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    let mut calls = JoinSet::new();
    for id in 0..100 {
        calls.spawn(client.hold(id));
    }
    for _ in 0..100 {
        assert!(matches!(probed.event().await, Event::Started(_)));
    }
    server.shutdown().await.expect("the first time");
    let mut ended = 0;
    while let Some(call) = within(calls.join_next()).await {
        let error = call.expect("no panic").expect_err("nobody let it through");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(error.maybe_executed(), "{error}");
        ended += 1;
    }
    assert_eq!(ended, 100);
    let error = within(client.once(1000)).await.expect_err("there is no server");
    assert!(!error.maybe_executed(), "{error}");
    assert_eq!(probed.executions().len(), 100);
    assert!(probed.executions().values().all(|times| *times == 1));
}

async fn a_deadline_ends_both_sides(net: Net) {
    let (server, mut probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    let mut calls = JoinSet::new();
    // In no order.
    for id in [7, 3, 9, 1, 5_u64] {
        let client = client.clone();
        calls.spawn(async move {
            let begun = Instant::now();
            let error =
                client.hold(id).timeout(id as u32 * 20 * MS).await.expect_err("nobody lets it through");
            assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
            (id, begun.elapsed())
        });
    }
    while let Some(ended) = within(calls.join_next()).await {
        let (id, after) = ended.expect("no panic");
        assert!(after >= id as u32 * 20 * MS, "{id} after {after:?}");
    }
    until(|| server.in_flight() == 0).await;
    let mut dropped = HashMap::new();
    while let Some(event) = probed.try_event() {
        if let Event::Dropped(id) = event {
            *dropped.entry(id).or_insert(0) += 1;
        }
    }
    assert_eq!(dropped, [1, 3, 5, 7, 9].into_iter().map(|id| (id, 1)).collect());
    assert_eq!(within(client.server_name()).await.expect("answered"), "server");
}

async fn thousands_at_once_are_answered(net: Net) {
    let (server, probed) = net.start_probed("server");
    let client = ProbeClient::new(net.connect(&server).await);
    probed.open_gate();
    let mut calls = JoinSet::new();
    // More than run at once, and more than wait on the server: the lane itself is held back.
    for id in 0..1500 {
        if id % 2 == 0 {
            calls.spawn(client.once(id))
        } else {
            calls.spawn(client.hold(id))
        };
    }
    while let Some(ended) = within(calls.join_next()).await {
        ended.expect("no panic").expect("answered");
    }
    let executions = probed.executions();
    assert!(executions.len() == 1500 && executions.values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_handler_that_keeps_its_thread_does_so_twice() {
    let net = Net::quic();
    let (_server, _here, client) = served(&net).await;
    let lane = within(client.keep(0)).await.expect("answered");
    assert_eq!(within(client.keep(0)).await.expect("answered"), lane, "both run in place");
    assert_eq!(within(client.keep(5000)).await.expect("answered"), lane, "this keeps others waiting");
    assert_eq!(within(client.keep(0)).await.expect("answered"), lane, "the thread may have been preempted");
    assert_eq!(within(client.keep(5000)).await.expect("answered"), lane, "this was no accident");
    for _ in 0..20 {
        assert_ne!(within(client.keep(5000)).await.expect("answered"), lane, "it has a task of its own");
    }
    // Once it keeps to its time again it is run in place, by and by.
    within(async { while client.keep(0).await.expect("answered") != lane {} }).await;
}

#[tokio::test(start_paused = true)]
async fn over_a_path_that_loses_packets() {
    // A short path keeps its lane, a long one gives it up.
    for (latency, seed) in [(1, 5), (20, 6)] {
        for lanes in [true, false] {
            let network = Network::with_seed(seed);
            let net = Net::Memory(network.clone());
            let net = if lanes { net } else { net.without_lanes() };
            let (server, probed) = net.start_probed("server");
            let client = ProbeClient::new(net.connect(&server).await);
            network.set_latency(latency * MS..latency * MS);
            network.set_loss(0.1);
            let mut calls = JoinSet::new();
            for task in 0..16 {
                let client = client.clone();
                calls.spawn(async move {
                    for call in 0..30 {
                        client.once(task * 1000 + call).await.expect("it arrives at last");
                    }
                });
            }
            while let Some(ended) = within(calls.join_next()).await {
                ended.expect("all were answered");
            }
            let executions = probed.executions();
            assert!(executions.len() == 480 && executions.values().all(|times| *times == 1));
            let streams = network.open_streams();
            until(|| network.open_streams() <= 2 + usize::from(lanes)).await;
            assert!(streams >= 2, "the control streams");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn either_side_may_have_no_lanes() {
    const CONTROL: usize = 2;
    for (server_lanes, client_lanes) in [(true, true), (true, false), (false, true), (false, false)] {
        let network = Network::new();
        let net = Net::Memory(network.clone());
        let limits = |lanes| Limits::default().with_lanes(lanes);
        let (server, mut probed) =
            net.start_probed_with("server", net.server().with_limits(limits(server_lanes)));
        let channel =
            net.channel().with_limits(limits(client_lanes)).with_max_connections(NonZero::<usize>::MIN);
        let channel = channel.connect(server.local_addr().to_string()).await.expect("it listens");
        let client = ProbeClient::new(channel);
        let mut calls = JoinSet::new();
        for id in 0..5 {
            calls.spawn(client.hold(id));
            assert_eq!(probed.event().await, Event::Started(id));
        }
        let shared = server_lanes && client_lanes;
        assert_eq!(network.open_streams(), CONTROL + if shared { 1 } else { 5 });
        probed.open_gate();
        while let Some(ended) = within(calls.join_next()).await {
            ended.expect("no panic").expect("answered");
        }
        until(|| network.open_streams() == CONTROL + usize::from(shared)).await;
    }
}

/// A method's large replies are remembered, and looked at again now and then.
#[tokio::test(start_paused = true)]
async fn what_does_not_fit_has_a_stream_of_its_own() {
    let network = Network::new();
    let net = Net::Memory(network.clone());
    let (server, mut probed) = net.start_probed("server");
    Here::on(&server);
    let channel = net.connect(&server).await;
    let (client, loads) = (ProbeClient::new(channel.clone()), LoadsClient::new(channel));
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    assert_eq!(network.open_streams(), 3);
    let text = "x".repeat(17_000);
    assert_eq!(within(client.echo(text.clone())).await.expect("answered"), text);
    within(loads.fill(20_000)).await.expect("answered");
    until(|| network.open_streams() == 3).await;
    probed.open_gate();
    within(held).await.expect("no panic").expect("answered");
}
