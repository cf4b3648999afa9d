//! Membership over real sockets: joining, leaving, failing, coming back, tags.

use std::{net::SocketAddr, time::Duration};

use rpcnet_cluster::{ClusterConfig, ClusterError, ClusterEvent, ClusterExt, Events, WorkerRegistry, swim};
use rpcnet_tests::{Host, Net};
use tokio::time::timeout;

/// Nothing here takes so long; a test that does has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node(Host);

impl std::ops::Deref for Node {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Node {
    async fn start(net: &Net, seeds: &[SocketAddr]) -> Self {
        Self::start_at(net, "127.0.0.1:0".parse().expect("an address"), config(seeds)).await
    }

    async fn start_at(net: &Net, addr: SocketAddr, config: ClusterConfig) -> Self {
        Self(Host::start(net, addr, config, |_| {}).await)
    }
}

fn config(seeds: &[SocketAddr]) -> ClusterConfig {
    ClusterConfig::default()
        .with_seeds(seeds.iter().map(SocketAddr::to_string))
        .with_swim(swim::Config::new_local())
}

/// An address that nobody listens on (and that nobody is likely to be given until it is used).
fn free_addr() -> SocketAddr {
    let probe = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("bound")
}

/// The first event that answers, skipping others.
async fn event<T>(events: &mut Events, mut pick: impl FnMut(&ClusterEvent) -> Option<T>) -> T {
    let wait = async {
        loop {
            let event = events.next().await.expect("the node lives");
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the event comes")
}

#[tokio::test]
async fn nodes_join_through_any_seed() {
    let net = Net::quic();
    let first = Node::start(&net, &[]).await;
    let second = Node::start(&net, &[first.addr()]).await;
    let third = Node::start(&net, &[second.addr()]).await;
    for node in [&first, &second, &third] {
        node.sees(3).await;
        assert_eq!(node.cluster.node_count().await, 3);
    }
}

#[tokio::test]
async fn a_seed_that_is_absent_at_first_is_found_later() {
    let net = Net::quic();
    let addr = free_addr();
    let early = Node::start(&net, &[addr]).await;
    early.sees(1).await;
    let seed = Node::start_at(&net, addr, config(&[addr])).await;
    early.sees(2).await;
    seed.sees(2).await;
}

#[tokio::test]
async fn a_leave_is_seen_as_a_leave() {
    let net = Net::quic();
    let first = Node::start(&net, &[]).await;
    let second = Node::start(&net, &[first.addr()]).await;
    let third = Node::start(&net, &[first.addr()]).await;
    for node in [&first, &second, &third] {
        node.sees(3).await;
    }
    let mut events = [first.cluster.events(), third.cluster.events()];
    let id = second.id();
    second.cluster.leave().await.expect("two peers acknowledge");
    for events in &mut events {
        let how = event(events, |event| match event {
            ClusterEvent::NodeLeft(member) if member.id() == id => Some("left"),
            ClusterEvent::NodeFailed(member) if member.id() == id => Some("failed"),
            _ => None,
        });
        assert_eq!(how.await, "left");
    }
    first.sees(2).await;
    third.sees(2).await;
}

#[tokio::test]
async fn a_shutdown_is_a_leave() {
    let net = Net::quic();
    let first = Node::start(&net, &[]).await;
    let second = Node::start(&net, &[first.addr()]).await;
    first.sees(2).await;
    second.sees(2).await;
    let mut events = first.cluster.events();
    second.server.shutdown().await.expect("nothing to fail");
    event(&mut events, |event| matches!(event, ClusterEvent::NodeLeft(_)).then_some(())).await;
}

#[tokio::test]
async fn a_crash_is_seen_as_a_failure() {
    let net = Net::quic();
    let first = Node::start(&net, &[]).await;
    let second = Node::start(&net, &[first.addr()]).await;
    let third = Node::start(&net, &[first.addr()]).await;
    for node in [&first, &second, &third] {
        node.sees(3).await;
    }
    let mut events = [first.cluster.events(), third.cluster.events()];
    let id = second.id();
    second.0.kill().await;
    for events in &mut events {
        let how = event(events, |event| match event {
            ClusterEvent::NodeLeft(member) if member.id() == id => Some("left"),
            ClusterEvent::NodeFailed(member) if member.id() == id => Some("failed"),
            _ => None,
        });
        assert_eq!(how.await, "failed");
    }
}

#[tokio::test]
async fn a_restart_under_the_same_address_is_welcome() {
    let net = Net::quic();
    let first = Node::start(&net, &[]).await;
    let second = Node::start(&net, &[first.addr()]).await;
    first.sees(2).await;
    second.sees(2).await;
    let (addr, old) = (second.addr(), second.id());
    let mut events = first.cluster.events();
    second.0.kill().await;
    let again = Node::start_at(&net, addr, config(&[first.addr()])).await;
    let new = again.id();
    let joined = event(&mut events, |event| match event {
        ClusterEvent::NodeJoined(member) if member.id() == new => Some(member.identity()),
        _ => None,
    });
    let started = tokio::time::Instant::now();
    assert_eq!(joined.await.addr(), addr);
    assert!(started.elapsed() < Duration::from_secs(5));
    again.sees(2).await;
    first.sees(2).await;
    let active: Vec<_> = first.cluster.nodes().await.active().map(|member| member.id()).collect();
    assert!(active.contains(&new) && !active.contains(&old));
}

#[tokio::test]
async fn tags_are_seen_by_all_and_by_those_who_come_later() {
    let net = Net::quic();
    let first = Node::start(&net, &[]).await;
    let second = Node::start(&net, &[first.addr()]).await;
    first.sees(2).await;
    first.cluster.set_tag("role", "worker");
    second.sees_tag(first.id(), "role", "worker").await;
    second.cluster.set_tag("zone", "x");
    first.sees_tag(second.id(), "zone", "x").await;

    let late = Node::start(&net, &[second.addr()]).await;
    late.sees_tag(first.id(), "role", "worker").await;
    late.sees_tag(second.id(), "zone", "x").await;

    let registry = WorkerRegistry::new(&late.cluster);
    assert_eq!(registry.worker_count().await, 1);
    assert_eq!(registry.select_worker(Some("role=worker")).expect("there is one").id, first.id());
    assert!(registry.select_worker(Some("zone=nowhere")).is_err());
    assert!(registry.select_worker(Some("=")).is_err());

    first.cluster.try_remove_tag("role").expect("it is in the cluster");
    let mut view = late.cluster.view();
    let gone = view.wait_for(|view| {
        view.iter().any(|member| member.id() == first.id() && !member.tags().contains_key("role"))
    });
    timeout(PATIENCE, gone).await.expect("in time").expect("the node lives");
}

#[tokio::test]
async fn a_node_bound_to_any_address_advertises_what_its_seed_saw() {
    let net = Net::quic();
    let seed = Node::start(&net, &[]).await;
    let any = Node::start_at(&net, "0.0.0.0:0".parse().expect("an address"), config(&[seed.addr()])).await;
    seed.sees(2).await;
    any.sees(2).await;
    let expected = SocketAddr::from(([127, 0, 0, 1], any.addr().port()));
    assert_eq!(any.cluster.advertised_addr(), expected);
    let view = seed.cluster.nodes().await;
    assert!(view.active().any(|member| member.identity().addr() == expected));
}

#[tokio::test]
async fn two_nodes_bound_to_any_address_find_each_other() {
    let net = Net::quic();
    let any = "0.0.0.0:0".parse().expect("an address");
    let first = Node::start_at(&net, any, config(&[])).await;
    let addr = SocketAddr::from(([127, 0, 0, 1], first.addr().port()));
    first.cluster.set_tag("early", "yes");
    let second = Node::start_at(&net, any, config(&[addr])).await;
    first.sees(2).await;
    second.sees_tag(first.id(), "early", "yes").await;
}

#[tokio::test]
async fn nodes_of_another_cluster_are_refused() {
    let net = Net::quic();
    let first = Node::start(&net, &[]).await;
    let stranger = Node::start_at(
        &net,
        "127.0.0.1:0".parse().expect("an address"),
        config(&[first.addr()]).with_name("another"),
    )
    .await;
    let second = Node::start(&net, &[first.addr()]).await;
    first.sees(2).await;
    second.sees(2).await;
    assert_eq!(stranger.cluster.node_count().await, 1);
}

#[tokio::test]
async fn a_node_that_is_its_own_seed_is_not_confused() {
    let net = Net::quic();
    let addr = free_addr();
    let first = Node::start_at(&net, addr, config(&[addr])).await;
    let second = Node::start(&net, &[addr]).await;
    first.sees(2).await;
    second.sees(2).await;
}

#[tokio::test]
async fn mistakes_are_typed() {
    let net = Net::quic();
    let server = net.start();
    let wrong = ClusterConfig::default().with_seeds(["director-1"]);
    assert!(
        matches!(server.enable_cluster(wrong).await, Err(ClusterError::Seed(seed)) if seed == "director-1")
    );
    let wrong = ClusterConfig::default().with_tag("k".repeat(100), "");
    assert!(matches!(server.enable_cluster(wrong).await, Err(ClusterError::Tag { .. })));
    let cluster = server.enable_cluster(ClusterConfig::default()).await.expect("nothing is wrong");
    assert!(matches!(server.enable_cluster(ClusterConfig::default()).await, Err(ClusterError::Enabled(_))));
    assert!(cluster.try_set_tag("", "").is_err());
}
