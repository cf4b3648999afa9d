//! An endpoint where calls gather gets further connections, which lead to the same process.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rpcnet::{
    BalancedConfig, ChannelBuilder, Code, Limits, Server, ServerError, Status, balance::Policy,
    interceptor::from_fn,
};
use rpcnet_tests::{
    Crowd, Event, Net, ProbeServer, ProbeService, Probed, connections, on_lanes, run, until, within,
};
use tokio::task::JoinSet;

use super::fleet::{Fleet, MS, Node, endpoint, round_robin};

on_lanes!(
    a_hot_endpoint_gets_further_connections,
    an_endpoint_that_may_have_one_has_one,
    an_endpoint_that_is_left_has_none,
    what_failed_on_one_connection_is_not_tried_on_another_to_the_same_process,
    what_failed_on_one_of_several_connections_is_made_elsewhere,
    what_was_lost_with_a_process_is_made_at_its_successor,
    what_was_lost_with_one_of_several_connections_is_made_on_the_one_after_it,
);

fn builder(net: &Net, most: usize) -> ChannelBuilder {
    if let Net::Memory(network) = net.medium() {
        // Time goes on only where somebody waits for it.
        network.set_latency(MS..MS);
    }
    let most = NonZero::new(most).expect("some");
    net.channel().with_limits(Limits::default().with_lanes_on_any_path()).with_max_connections(most)
}

async fn fleet(net: &Net, size: usize, most: usize, config: BalancedConfig) -> Fleet {
    let mut nodes = Vec::new();
    for index in 0..size {
        nodes.push(Node::start(net, &index.to_string()).await);
    }
    Fleet::of(nodes, builder(net, most), config).await
}

/// Calls until each server has so many connections.
async fn crowded(fleet: &Fleet, connected: usize) {
    let crowd = Crowd::of(600 * fleet.nodes.len(), &fleet.channel);
    until(|| fleet.nodes.iter().all(|node| connections(&node.server) == connected)).await;
    // The last of them has let us in.
    until(|| fleet.channel.endpoints().iter().all(|endpoint| endpoint.connections == connected)).await;
    assert_eq!(crowd.end().await, 0);
}

async fn a_hot_endpoint_gets_further_connections(net: Net) {
    let fleet = fleet(&net, 2, 3, BalancedConfig::default().with_policy(Policy::Weighted)).await;
    // All calls go to the first.
    let tags = [("weight".to_owned(), "0".to_owned())].into();
    let endpoints = [endpoint(0, &fleet.nodes[0]), endpoint(1, &fleet.nodes[1]).with_tags(tags)];
    fleet.set.send_replace(endpoints.into());
    until(|| fleet.channel.endpoints().iter().any(|endpoint| !endpoint.tags.is_empty())).await;
    let crowd = Crowd::of(600, &fleet.channel);
    until(|| connections(&fleet.nodes[0].server) == 3).await;
    for _ in 0..4 {
        crowd.goes_on().await;
        assert_eq!(connections(&fleet.nodes[0].server), 3);
        assert_eq!(connections(&fleet.nodes[1].server), 1);
    }
    let connected = |index: usize| fleet.channel.endpoints()[index].connections;
    assert_eq!((connected(0), connected(1)), (3, 1));
    assert_eq!(crowd.end().await, 0);
}

async fn an_endpoint_that_may_have_one_has_one(net: Net) {
    let fleet = fleet(&net, 1, 1, BalancedConfig::default()).await;
    let crowd = Crowd::of(600, &fleet.channel);
    for _ in 0..10 {
        crowd.goes_on().await;
        assert_eq!(connections(&fleet.nodes[0].server), 1);
    }
    assert_eq!(crowd.end().await, 0);
}

async fn an_endpoint_that_is_left_has_none(net: Net) {
    let mut fleet = fleet(&net, 1, 3, BalancedConfig::default()).await;
    crowded(&fleet, 3).await;
    let mut held = JoinSet::new();
    for id in 0..3 {
        held.spawn(fleet.client.hold(id));
    }
    for _ in 0..3 {
        assert!(matches!(fleet.nodes[0].probed.event().await, Event::Started(_)));
    }
    fleet.set.send_replace([].into());
    until(|| fleet.channel.endpoints().is_empty()).await;
    // Calls in flight there go on.
    fleet.nodes[0].probed.open_gate();
    while let Some(call) = within(held.join_next()).await {
        assert_eq!(call.expect("no panic").expect("answered"), "0");
    }
    until(|| connections(&fleet.nodes[0].server) == 0).await;
}

/// A server that refuses calls while it is told to, and counts these.
struct Refusing {
    refuses: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Refusing {
    async fn start(net: &Net, name: &str) -> (Self, Node) {
        let (refuses, refused) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let this = Self { refuses: refuses.clone(), refused: refused.clone() };
        let config = net.server().with_interceptor(from_fn(move |request, next| {
            let refuses = refuses.load(Ordering::SeqCst);
            if refuses {
                refused.fetch_add(1, Ordering::SeqCst);
            }
            async move {
                if refuses {
                    return Err(Status::unavailable("not now").not_executed());
                }
                next.run(request).await
            }
        }));
        (this, Node::start_with(net, name, config).await)
    }
}

async fn what_failed_on_one_connection_is_not_tried_on_another_to_the_same_process(net: Net) {
    let (refusing, node) = Refusing::start(&net, "0").await;
    let config = round_robin().with_ready_timeout(500 * MS);
    let fleet = Fleet::of(vec![node], builder(&net, 3), config).await;
    crowded(&fleet, 3).await;
    refusing.refuses.store(true, Ordering::SeqCst);
    let error = within(fleet.client.once(1)).await.expect_err("it is refused, and there is no other");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(!error.maybe_executed(), "{error}");
    assert_eq!(refusing.refused.load(Ordering::SeqCst), 1);
    assert_eq!(fleet.channel.retries(), 0);
}

async fn what_failed_on_one_of_several_connections_is_made_elsewhere(net: Net) {
    let (refusing, node) = Refusing::start(&net, "0").await;
    let nodes = vec![node, Node::start(&net, "1").await];
    let fleet = Fleet::of(nodes, builder(&net, 3), round_robin()).await;
    crowded(&fleet, 3).await;
    refusing.refuses.store(true, Ordering::SeqCst);
    let before = fleet.channel.retries();
    let mut calls = JoinSet::new();
    for id in 0..20 {
        calls.spawn(fleet.client.once(id));
    }
    while let Some(call) = within(calls.join_next()).await {
        assert_eq!(call.expect("no panic").expect("it is made elsewhere"), "1");
    }
    assert_eq!(refusing.refused.load(Ordering::SeqCst), 10, "half of them went there, once each");
    assert_eq!(fleet.channel.retries(), before + 10);
}

/// A server in the place of one that was killed.
async fn start_at(net: &Net, address: std::net::SocketAddr, name: &str) -> (Server, Probed) {
    let server = within(async {
        loop {
            match Server::new(net.server().with_bind_addr(address).build().expect("complete")) {
                Ok(server) => return server,
                // The socket is closed in a task of its own.
                Err(ServerError::Bind { .. }) => tokio::time::sleep(10 * MS).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    let (service, probed) = ProbeService::new(name);
    server.register(ProbeServer::new(service)).expect("the first of its name");
    run(&server);
    (server, probed)
}

async fn what_was_lost_with_a_process_is_made_at_its_successor(net: Net) {
    let mut fleet = fleet(&net, 1, 3, BalancedConfig::default()).await;
    crowded(&fleet, 3).await;
    let mut held = JoinSet::new();
    for id in 0..9 {
        held.spawn(fleet.client.hold_idempotent(id));
    }
    for _ in 0..9 {
        assert!(matches!(fleet.nodes[0].probed.event().await, Event::Started(_)));
    }
    let before = fleet.channel.retries();
    let node = fleet.nodes.remove(0);
    let address = node.server.local_addr();
    let (dead, _relay) = node.kill();
    let (_server, successor) = start_at(&net, address, "successor").await;
    successor.open_gate();
    while let Some(call) = within(held.join_next()).await {
        assert_eq!(call.expect("no panic").expect("repeated"), "successor");
    }
    assert_eq!(fleet.channel.retries(), before + 9, "each once");
    assert!(dead.executions().values().chain(successor.executions().values()).all(|times| *times == 1));
}

async fn what_was_lost_with_one_of_several_connections_is_made_on_the_one_after_it(net: Net) {
    // A peer that gives up too much is cut off: so one of the connections can be, and not the others.
    let limits = Limits::default().with_lanes_on_any_path().with_max_resets_per_second(1);
    let node = Node::start_with(&net, "0", net.server().with_limits(limits)).await;
    let mut fleet = Fleet::of(vec![node], builder(&net, 3), BalancedConfig::default()).await;
    crowded(&fleet, 3).await;
    // The first connection has four of them, the others three.
    let mut held = JoinSet::new();
    for id in 0..10 {
        held.spawn(fleet.client.hold_idempotent(id));
        assert_eq!(fleet.nodes[0].probed.event().await, Event::Started(id));
    }
    let mut id = 100;
    while fleet.channel.endpoints()[0].failures == 0 {
        let mut call = tokio::spawn(fleet.client.hold(id));
        tokio::select! {
            _ = fleet.nodes[0].probed.event() => {
                call.abort();
                let _ = call.await;
                let _ = fleet.nodes[0].probed.event().await;
            }
            _ = &mut call => {}
        }
        id += 1;
    }
    fleet.nodes[0].probed.open_gate();
    while let Some(call) = within(held.join_next()).await {
        assert_eq!(call.expect("no panic").expect("repeated"), "0");
    }
    let executions = fleet.nodes[0].probed.executions();
    let twice = (0..10).filter(|id| executions[id] == 2).count();
    assert_eq!(twice, 3, "those on the connection that was cut: {executions:?}");
    until(|| connections(&fleet.nodes[0].server) == 3).await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_not_used_any_more_go() {
    const LONG: Duration = Duration::from_secs(200);
    let net = Net::memory();
    let mut fleet = fleet(&net, 1, 3, BalancedConfig::default()).await;
    crowded(&fleet, 3).await;
    let mut held = JoinSet::new();
    for id in 0..3 {
        held.spawn(fleet.client.hold(id).timeout(2 * LONG));
    }
    for _ in 0..3 {
        assert!(matches!(fleet.nodes[0].probed.event().await, Event::Started(_)));
    }
    tokio::time::sleep(LONG).await;
    assert_eq!(connections(&fleet.nodes[0].server), 3, "each has one of the calls");
    fleet.nodes[0].probed.open_gate();
    while let Some(call) = within(held.join_next()).await {
        assert_eq!(call.expect("no panic").expect("it was not cut"), "0");
    }
    tokio::time::sleep(LONG).await;
    assert_eq!(connections(&fleet.nodes[0].server), 1);
    assert_eq!(fleet.channel.endpoints()[0].connections, 1);
    crowded(&fleet, 3).await;
}
