//! A server falls silent: it is there, and nothing comes from it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rpcnet::{BalancedConfig, Code, Limits};
use rpcnet_tests::{Event, Net, within};
use tokio::{task::JoinSet, time::Instant};

use super::fleet::{Fleet, MS, round_robin};

#[tokio::test]
async fn a_silent_server_costs_idempotent_calls_little_time() {
    let net = Net::quic();
    // Avoided after a second, dead after twelve: far from each other on the busiest machine.
    let limits = Limits::default().with_silence(Duration::from_secs(12));
    let most = Duration::from_secs(8);
    let mut fleet = Fleet::start(&net, 3, BalancedConfig::default(), limits).await;
    // Calls that hold, at the first for certain: they wait there when it falls silent.
    let mut held = Vec::new();
    loop {
        held.push(tokio::spawn(fleet.client.hold_idempotent(held.len() as u64)));
        if let (0, Event::Started(_)) = fleet.any_event().await {
            break;
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (client, stop) = (fleet.client.clone(), stop.clone());
        callers.spawn(async move {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                client.echo("again".into()).await.expect("no call is lost");
                longest = longest.max(started.elapsed());
            }
            longest
        });
    }
    for node in &fleet.nodes[1..] {
        node.probed.open_gate();
    }
    let cut = Instant::now();
    fleet.nodes[0].cut();
    for call in held {
        assert_ne!(within(call).await.expect("no panic").expect("repeated elsewhere"), "0");
    }
    let moved = cut.elapsed();
    stop.store(true, Ordering::Relaxed);
    assert!(moved < most, "{moved:?}");
    while let Some(longest) = within(callers.join_next()).await {
        let longest = longest.expect("no call is lost");
        assert!(longest < most, "{longest:?}");
    }
    assert!(!fleet.channel.endpoints()[0].ready);
}

#[tokio::test]
async fn a_silent_server_and_calls_that_must_not_run_twice() {
    let net = Net::quic();
    let limits = Limits::default().with_silence(900 * MS);
    let mut fleet = Fleet::start(&net, 3, round_robin(), limits).await;
    let held: Vec<_> = (0..3).map(|id| tokio::spawn(fleet.client.hold(10_000_000 + id))).collect();
    for node in &mut fleet.nodes {
        assert!(matches!(node.probed.event().await, Event::Started(_)), "one each");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..6 {
        let (client, stop) = (fleet.client.clone(), stop.clone());
        callers.spawn(async move {
            let (mut answered, mut failed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                match client.once(caller * 1_000_000 + answered + failed).await {
                    Ok(_) => answered += 1,
                    Err(error) => {
                        assert_eq!(error.code(), Code::Unavailable, "{error}");
                        assert!(error.maybe_executed(), "what was never started goes elsewhere: {error}");
                        failed += 1;
                    }
                }
            }
            (answered, failed)
        });
    }
    // In the midst of the work.
    for _ in 0..20 {
        within(fleet.nodes[0].probed.event()).await;
    }
    fleet.nodes[0].cut();
    for node in &fleet.nodes[1..] {
        node.probed.open_gate();
    }
    let mut lost = 0;
    for call in held {
        if let Err(error) = within(call).await.expect("no panic") {
            assert!(error.maybe_executed() && error.code() == Code::Unavailable, "{error}");
            lost += 1;
        }
    }
    assert_eq!(lost, 1, "the one that held at the server that fell silent");
    stop.store(true, Ordering::Relaxed);
    let (mut answered, mut failed) = (0, 0);
    while let Some(counts) = within(callers.join_next()).await {
        let counts = counts.expect("each call was answered, or may have run");
        answered += counts.0;
        failed += counts.1;
    }
    assert!(failed <= 6, "each caller waited there once at most, {failed} failed");
    assert!(answered > 0);
    let mut executions = HashMap::<u64, usize>::new();
    for node in &fleet.nodes {
        for (id, times) in node.probed.executions() {
            *executions.entry(id).or_default() += times;
        }
    }
    assert!(executions.values().all(|times| *times == 1), "something ran twice");
}
