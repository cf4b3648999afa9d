//! Nodes of different releases in one cluster.

use std::net::SocketAddr;

use rpcnet_cluster::{ClusterConfig, ClusterError, ClusterExt};
use rpcnet_tests::{Host, Net, any_port, local, until, within};

async fn start(net: &Net, addr: SocketAddr, config: ClusterConfig) -> Host {
    Host::start(net, addr, config, |_| {}).await
}

/// Waits until that key has that value there.
async fn has(host: &Host, key: &str, value: &[u8]) {
    let mut broadcasts = host.cluster.broadcasts();
    let there = broadcasts.wait_for(|known| known.get(key).is_some_and(|known| known.value() == value));
    within(there).await.expect("the node lives");
}

fn dropped(host: &Host, reason: &str) -> bool {
    host.server.metrics().render().contains(&format!("gossip_dropped_total{{reason=\"{reason}\"}}"))
}

#[tokio::test]
async fn a_cluster_is_upgraded_node_by_node() {
    let net = Net::quic();
    let old = || local(&[]).with_gossip_versions(1..=1);
    let first = start(&net, any_port(), old()).await;
    let seeds = [first.addr()];
    let second = start(&net, any_port(), local(&seeds).with_gossip_versions(1..=1)).await;
    let third = start(&net, any_port(), local(&seeds)).await;
    for host in [&first, &second, &third] {
        host.sees(3).await;
    }
    // Values that all releases know reach all; a value of the new release is kept from the others.
    third.cluster.set_tag("release", "new");
    third.cluster.broadcast("rules", "new").expect("short");
    for host in [&first, &second] {
        host.sees_tag(third.id(), "release", "new").await;
    }
    until(|| dropped(&third, "version")).await;
    for host in [&first, &second] {
        assert!(host.cluster.broadcasts().borrow().is_empty());
        assert!(!dropped(host, "malformed"));
    }
    // The old ones are replaced, one after the other.
    let addr = second.addr();
    within(second.server.shutdown()).await.expect("nothing to fail");
    second.kill().await;
    let second = start(&net, addr, local(&seeds)).await;
    has(&second, "rules", b"new").await;
    within(first.server.shutdown()).await.expect("nothing to fail");
    first.kill().await;
    let first = start(&net, seeds[0], local(&[addr])).await;
    has(&first, "rules", b"new").await;
    first.cluster.broadcast("rules", "newer").expect("short");
    for host in [&first, &second, &third] {
        host.sees(3).await;
        has(host, "rules", b"newer").await;
    }
    // A node that speaks only the first version is a member as well.
    let late = start(&net, any_port(), local(&seeds).with_gossip_versions(1..=1)).await;
    late.sees(4).await;
}

#[tokio::test]
async fn releases_that_have_no_version_in_common_refuse_each_other() {
    let net = Net::quic();
    let old = start(&net, any_port(), local(&[]).with_gossip_versions(1..=1)).await;
    let new = start(&net, any_port(), local(&[old.addr()]).with_gossip_versions(2..=2)).await;
    until(|| dropped(&old, "hello")).await;
    assert_eq!(new.cluster.node_count().await, 1);
    assert_eq!(old.cluster.nodes().await.members.len(), 1);
}

#[tokio::test]
async fn versions_that_this_release_does_not_speak_are_an_error() {
    let net = Net::quic();
    for versions in [0..=1, 2..=3, 7..=7] {
        let failed = net.start().enable_cluster(local(&[]).with_gossip_versions(versions)).await;
        assert!(matches!(failed, Err(ClusterError::Versions { .. })), "{failed:?}");
    }
}
