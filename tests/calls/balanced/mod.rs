//! Calls over several servers: who gets them, and what becomes of them when a server goes.

mod crowd;
mod fleet;
mod silent;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    BalancedChannel, BalancedConfig, CallError, Code, Limits, RetryBudget,
    discover::{Endpoint, EndpointSet},
};
use rpcnet_tests::{Event, Net, ProbeClient, over_both, within};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use self::fleet::{Fleet, MS, Node, endpoint, names, round_robin};

fn assert_never_started<T: std::fmt::Debug>(result: Result<T, CallError>) {
    let error = result.expect_err("nobody takes it");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(!error.maybe_executed(), "{error}");
}

over_both!(
    round_robin_spreads_evenly,
    peak_ewma_never_sends_all_to_one,
    endpoints_come_and_go,
    a_call_at_work_outlives_its_endpoints_removal,
    a_refused_call_is_sent_elsewhere_though_it_is_not_idempotent,
    a_drained_server_costs_no_call,
    no_endpoint_at_all,
    an_endpoint_that_comes_in_time,
    a_call_that_may_have_run_is_not_repeated,
    an_idempotent_call_is_repeated_elsewhere,
    the_budget_bounds_what_is_repeated,
    a_call_is_tried_as_often_as_configured,
);

async fn round_robin_spreads_evenly(net: Net) {
    let fleet = Fleet::start(&net, 3, round_robin(), Limits::default()).await;
    let mut tally = HashMap::<String, usize>::new();
    for id in 0..300 {
        *tally.entry(fleet.client.once(id).await.expect("answered")).or_default() += 1;
    }
    assert_eq!(tally.len(), 3);
    assert!(tally.values().all(|calls| *calls == 100), "{tally:?}");
    for (index, node) in fleet.nodes.iter().enumerate() {
        assert_eq!(node.probed.executions().len(), 100, "of {index}");
    }
    let stats = fleet.channel.endpoints();
    assert_eq!(stats.len(), 3);
    for endpoint in stats {
        assert!(endpoint.ready && endpoint.calls >= 100 && endpoint.failures == 0, "{endpoint:?}");
        assert_eq!(endpoint.pending, 0, "{endpoint:?}");
        assert!(endpoint.first_pick <= endpoint.last_pick && endpoint.first_pick.is_some(), "{endpoint:?}");
    }
    assert_eq!(fleet.channel.retries(), 0);
}

async fn peak_ewma_never_sends_all_to_one(net: Net) {
    let mut fleet = Fleet::start(&net, 3, BalancedConfig::default(), Limits::default()).await;
    let mut calls = JoinSet::new();
    for id in 0..90 {
        calls.spawn(fleet.client.hold(id));
    }
    let mut started = [0usize; 3];
    for _ in 0..90 {
        let (index, event) = fleet.any_event().await;
        assert!(matches!(event, Event::Started(_)));
        started[index] += 1;
    }
    // However fast one is, it is not among the two that are looked at for a third of the calls.
    assert!(started.iter().all(|calls| *calls <= 80), "{started:?}");
    for node in &fleet.nodes {
        node.probed.open_gate();
    }
    while let Some(result) = within(calls.join_next()).await {
        result.expect("no panic").expect("answered");
    }
}

async fn endpoints_come_and_go(net: Net) {
    let mut fleet = Fleet::start(&net, 2, round_robin(), Limits::default()).await;
    fleet.nodes.push(Node::start(&net, "2").await);
    let all: EndpointSet =
        fleet.nodes.iter().enumerate().map(|(index, node)| endpoint(index, node)).collect();
    fleet.set.send_replace(all.clone());
    fleet.served_by(&names(&["0", "1", "2"])).await;
    fleet.set.send_replace(all[1..].into());
    fleet.served_by(&names(&["1", "2"])).await;
    assert_eq!(fleet.channel.endpoints().len(), 2);

    // The same address under another identity is another endpoint.
    fleet.set.send_replace([Endpoint::new("9", fleet.nodes[0].addr())].into());
    fleet.served_by(&names(&["0"])).await;
    let stats = fleet.channel.endpoints();
    assert_eq!(&*stats[0].id, "9");

    // Nobody tells of endpoints any more: those that are known stay.
    drop(fleet.set);
    for id in 0..10 {
        fleet.client.once(id).await.expect("answered");
    }
}

async fn a_call_at_work_outlives_its_endpoints_removal(net: Net) {
    let mut fleet = Fleet::start(&net, 1, round_robin(), Limits::default()).await;
    let held = tokio::spawn(fleet.client.hold(1));
    assert_eq!(fleet.nodes[0].probed.event().await, Event::Started(1));
    fleet.set.send_replace([].into());
    within(async {
        while !fleet.channel.endpoints().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fleet.nodes[0].probed.open_gate();
    assert_eq!(within(held).await.expect("no panic").expect("answered"), "0");
}

async fn a_refused_call_is_sent_elsewhere_though_it_is_not_idempotent(net: Net) {
    let fleet = Fleet::start(&net, 3, round_robin(), Limits::default()).await;
    fleet.nodes[1].server.stop_accepting().await;
    // The channel can't have heard of it yet: one of three in a row goes there.
    let client = &fleet.client;
    let (a, b, c) = within(async { tokio::join!(client.once(1), client.once(2), client.once(3)) }).await;
    for result in [a, b, c] {
        assert_ne!(result.expect("sent elsewhere"), "1");
    }
    assert_eq!(fleet.channel.retries(), 1);
    assert!(fleet.nodes[1].probed.executions().is_empty());
}

async fn a_drained_server_costs_no_call(net: Net) {
    let mut fleet = Fleet::start(&net, 3, BalancedConfig::default(), Limits::default()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (client, stop) = (fleet.client.clone(), stop.clone());
        callers.spawn(async move {
            let mut calls = 0;
            while !stop.load(Ordering::Relaxed) {
                client.once(caller * 1_000_000 + calls).await.expect("no call is lost");
                calls += 1;
            }
            calls
        });
    }
    for drained in [0, 1] {
        // In the midst of the work.
        for _ in 0..50 {
            within(fleet.nodes[drained].probed.event()).await;
        }
        within(async {
            let server = &fleet.nodes[drained].server;
            server.stop_accepting().await;
            server.wait_for_in_flight().await;
            server.shutdown().await.expect("no reason to fail");
        })
        .await;
    }
    while fleet.nodes[2].probed.try_event().is_some() {}
    for _ in 0..50 {
        within(fleet.nodes[2].probed.event()).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    while let Some(calls) = within(callers.join_next()).await {
        answered += calls.expect("no call is lost");
    }
    let executions: Vec<usize> =
        fleet.nodes.iter().flat_map(|node| node.probed.executions().into_values()).collect();
    assert_eq!(executions.len() as u64, answered);
    assert!(executions.iter().all(|times| *times == 1), "nothing ran twice");
}

async fn no_endpoint_at_all(net: Net) {
    let patience = Duration::from_secs(3);
    let config = round_robin().with_ready_timeout(patience);
    let set = watch::Sender::new(EndpointSet::from([]));
    let channel = BalancedChannel::new(net.channel(), set.subscribe(), config).expect("complete");
    let client = ProbeClient::new(channel);
    let started = Instant::now();
    let result = client.once(1).await;
    let took = started.elapsed();
    assert!(took >= patience && took < 5 * patience, "{took:?}");
    assert!(
        result.as_ref().is_err_and(|error| error.to_string().contains("no endpoint is known")),
        "{result:?}"
    );
    assert_never_started(result);

    // The call's own deadline counts as well.
    let started = Instant::now();
    assert_never_started(client.once(1).timeout(50 * MS).await);
    assert!(started.elapsed() < patience, "{:?}", started.elapsed());
}

async fn an_endpoint_that_comes_in_time(net: Net) {
    let node = Node::start(&net, "late").await;
    let set = watch::Sender::new(EndpointSet::from([]));
    let channel = BalancedChannel::new(net.channel(), set.subscribe(), round_robin()).expect("complete");
    let mut call = Box::pin(ProbeClient::new(channel.clone()).once(1));
    tokio::select! {
        result = &mut call => panic!("there is nobody: {result:?}"),
        () = tokio::time::sleep(100 * MS) => {}
    }
    set.send_replace([endpoint(0, &node)].into());
    assert_eq!(within(call).await.expect("it waited"), "late");
    within(channel.ready()).await;
    assert!(channel.endpoints()[0].ready);
}

async fn a_call_that_may_have_run_is_not_repeated(net: Net) {
    let mut fleet = Fleet::start(&net, 3, round_robin(), Limits::default()).await;
    let held: Vec<_> = (0..3).map(|id| tokio::spawn(fleet.client.hold(id))).collect();
    for node in &mut fleet.nodes {
        assert!(matches!(node.probed.event().await, Event::Started(_)));
    }
    let (dead, _relay) = fleet.nodes.remove(0).kill();
    for node in &fleet.nodes {
        node.probed.open_gate();
    }
    let mut failed = 0;
    for call in held {
        if let Err(error) = within(call).await.expect("no panic") {
            assert_eq!(error.code(), Code::Unavailable, "{error}");
            assert!(error.maybe_executed(), "{error}");
            failed += 1;
        }
    }
    assert_eq!(failed, 1);
    assert_eq!(fleet.channel.retries(), 0);
    let mut executions = dead.executions();
    for node in &fleet.nodes {
        for (id, times) in node.probed.executions() {
            *executions.entry(id).or_default() += times;
        }
    }
    assert_eq!(executions, (0..3).map(|id| (id, 1)).collect());
}

async fn an_idempotent_call_is_repeated_elsewhere(net: Net) {
    let mut fleet = Fleet::start(&net, 3, round_robin(), Limits::default()).await;
    let held: Vec<_> = (0..3).map(|id| tokio::spawn(fleet.client.hold_idempotent(id))).collect();
    for node in &mut fleet.nodes {
        assert!(matches!(node.probed.event().await, Event::Started(_)));
    }
    let (dead, _relay) = fleet.nodes.remove(0).kill();
    for node in &fleet.nodes {
        node.probed.open_gate();
    }
    for call in held {
        let name = within(call).await.expect("no panic").expect("repeated elsewhere");
        assert_ne!(name, "0");
    }
    assert_eq!(fleet.channel.retries(), 1);
    assert_eq!(dead.executions().len(), 1);
}

async fn the_budget_bounds_what_is_repeated(net: Net) {
    let config = round_robin().with_retry_budget(RetryBudget::new(0.0, 2));
    let mut fleet = Fleet::start(&net, 2, config, Limits::default()).await;
    let held: Vec<_> = (0..10).map(|id| tokio::spawn(fleet.client.hold_idempotent(id))).collect();
    for node in &mut fleet.nodes {
        for _ in 0..5 {
            assert!(matches!(node.probed.event().await, Event::Started(_)));
        }
    }
    let (_dead, _relay) = fleet.nodes.remove(0).kill();
    fleet.nodes[0].probed.open_gate();
    let mut failed = 0;
    for call in held {
        if let Err(error) = within(call).await.expect("no panic") {
            assert_eq!(error.code(), Code::Unavailable, "{error}");
            assert!(error.maybe_executed(), "{error}");
            failed += 1;
        }
    }
    assert_eq!((failed, fleet.channel.retries()), (3, 2), "of five, two were repeated");
}

async fn a_call_is_tried_as_often_as_configured(net: Net) {
    let fleet = Fleet::start(&net, 3, round_robin().with_max_attempts(2), Limits::default()).await;
    for node in &fleet.nodes {
        node.server.stop_accepting().await;
    }
    assert_never_started(within(fleet.client.once(1)).await);
    assert!(fleet.channel.retries() <= 1);
    for node in &fleet.nodes {
        assert!(node.probed.executions().is_empty());
    }
}
