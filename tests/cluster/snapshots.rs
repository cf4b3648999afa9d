//! Snapshots: what a node writes, and its next life.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path};

use rpcnet_cluster::{ClusterConfig, ClusterError, ClusterExt, ClusterSnapshot, NodeId, swim};
use rpcnet_tests::{Host, Net, any_port, free_addr, until, within};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a place for temporary files")
}

fn config(directory: &Path, seeds: &[SocketAddr]) -> ClusterConfig {
    ClusterConfig::default()
        .with_seeds(seeds.iter().map(SocketAddr::to_string))
        .with_swim(swim::Config::new_local())
        .with_snapshot_dir(directory)
}

async fn start(net: &Net, addr: SocketAddr, config: ClusterConfig) -> Host {
    Host::start(net, addr, config, |_| {}).await
}

/// Waits until what is on disk has all these addresses, and this text: changes are written at most once a second.
async fn knows(directory: &Path, addrs: &[SocketAddr], text: &str) {
    let file = directory.join("cluster.snapshot");
    let ports: BTreeSet<u16> = addrs.iter().map(SocketAddr::port).collect();
    // Addresses are four bytes and the port in the codec's form: 251 and two bytes, the lower first.
    let has = |bytes: &[u8], port: u16| {
        let [low, high] = port.to_le_bytes();
        bytes.windows(7).any(|window| window == [127, 0, 0, 1, 251, low, high])
    };
    let told = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let whole = |bytes: &[u8]| told(bytes) && ports.iter().all(|port| has(bytes, *port));
    until(|| fs::read(&file).is_ok_and(|bytes| whole(&bytes))).await;
}

#[tokio::test]
async fn a_whole_cluster_restarts_without_its_seeds() {
    let net = Net::quic();
    let directories: Vec<_> = (0..4).map(|_| directory()).collect();
    let mut hosts = Vec::new();
    for directory in &directories {
        let seeds: Vec<_> = hosts.first().map(Host::addr).into_iter().collect();
        hosts
            .push(start(&net, any_port(), config(directory.path(), &seeds).with_tag("from", "config")).await);
    }
    for host in &hosts {
        host.cluster.set_tag("from-life", host.id().to_string());
        host.sees(4).await;
    }
    let addrs: Vec<_> = hosts.iter().map(Host::addr).collect();
    for (index, directory) in directories.iter().enumerate() {
        let others: Vec<_> = addrs.iter().copied().filter(|addr| *addr != addrs[index]).collect();
        knows(directory.path(), &others, "from-life").await;
    }
    let before: Vec<_> = hosts.iter().map(|host| host.cluster.local_identity()).collect();
    for host in hosts {
        host.kill().await;
    }
    // No seeds, and a configured tag that is no longer there.
    let mut hosts = Vec::new();
    for (directory, addr) in directories.iter().zip(&addrs) {
        hosts.push(start(&net, *addr, config(directory.path(), &[])).await);
    }
    for (host, before) in hosts.iter().zip(before) {
        host.sees(4).await;
        let now = host.cluster.local_identity();
        assert_eq!(now.id(), before.id());
        assert!(now.generation() > before.generation());
        let own = host.cluster.node(now.id()).await.expect("itself");
        assert_eq!(own.tags().keys().collect::<Vec<_>>(), ["from-life"]);
    }
}

#[tokio::test]
async fn a_cluster_that_was_shut_down_in_good_order_restarts_too() {
    let net = Net::quic();
    let directories: Vec<_> = (0..3).map(|_| directory()).collect();
    let mut hosts = Vec::new();
    for directory in &directories {
        let seeds: Vec<_> = hosts.first().map(Host::addr).into_iter().collect();
        hosts.push(start(&net, any_port(), config(directory.path(), &seeds)).await);
    }
    for host in &hosts {
        host.sees(3).await;
    }
    let addrs: Vec<_> = hosts.iter().map(Host::addr).collect();
    // Each leaves, so the last one knows nobody but nodes that have left.
    for host in hosts {
        within(host.server.shutdown()).await.expect("nothing to fail");
        host.kill().await;
    }
    let mut hosts = Vec::new();
    for (directory, addr) in directories.iter().zip(&addrs) {
        hosts.push(start(&net, *addr, config(directory.path(), &[])).await);
    }
    for host in &hosts {
        host.sees(3).await;
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside() {
    let net = Net::quic();
    let directory = directory();
    for bytes in ["", "no snapshot", "rpcnet-snapshot\u{1}and then something else"] {
        fs::write(directory.path().join("cluster.snapshot"), bytes).expect("writable");
        let host = start(&net, any_port(), config(directory.path(), &[])).await;
        let aside = fs::read(directory.path().join("cluster.snapshot.unreadable")).expect("set aside");
        assert_eq!(aside, bytes.as_bytes());
        let line = "cluster_snapshot_failures_total{operation=\"read\"} 1";
        assert!(host.server.metrics().render().contains(line));
        // In its place stands a new one.
        assert!(directory.path().join("cluster.snapshot").exists());
        host.kill().await;
    }
}

#[tokio::test]
async fn a_file_of_another_cluster_is_set_aside() {
    let net = Net::quic();
    let directory = directory();
    let first = start(&net, any_port(), config(directory.path(), &[]).with_name("one")).await;
    let id = first.id();
    first.kill().await;
    let second = start(&net, any_port(), config(directory.path(), &[]).with_name("two")).await;
    assert_ne!(second.id(), id);
    assert!(directory.path().join("cluster.snapshot.unreadable").exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_an_error() {
    let net = Net::quic();
    let directory = directory();
    let file = directory.path().join("file");
    fs::write(&file, "").expect("writable");
    let server = net.start();
    let failed = server.enable_cluster(config(&file, &[])).await;
    assert!(matches!(failed, Err(ClusterError::Snapshot { .. })), "{failed:?}");
}

#[tokio::test]
async fn configured_goes_before_remembered() {
    let net = Net::quic();
    let directory = directory();
    let (first, second) = (NodeId::from_u128(1), NodeId::from_u128(2));
    let host = start(&net, any_port(), config(directory.path(), &[]).with_node_id(first)).await;
    host.cluster.set_tag("zone", "a");
    host.cluster.set_tag("rack", "7");
    within(host.server.shutdown()).await.expect("nothing to fail");
    let generation = host.cluster.local_identity().generation();
    host.kill().await;
    // A leave has no tags, and nobody is to get any from it.
    let host = start(&net, any_port(), config(directory.path(), &[]).with_tag("zone", "b")).await;
    assert_eq!(host.id(), first);
    assert!(host.cluster.local_identity().generation() > generation);
    let own = host.cluster.node(first).await.expect("itself");
    assert_eq!(own.tags().get("zone").map(String::as_str), Some("b"));
    assert_eq!(own.tags().get("rack").map(String::as_str), Some("7"));
    host.kill().await;
    let host = start(&net, any_port(), config(directory.path(), &[]).with_node_id(second)).await;
    assert_eq!(host.id(), second);
    let own = host.cluster.node(second).await.expect("itself");
    assert!(own.tags().is_empty(), "they were another node's");
}

#[tokio::test]
async fn a_backup_of_the_users_is_restored() {
    let net = Net::quic();
    let addrs: Vec<_> = (0..3).map(|_| free_addr()).collect();
    let config = |seeds: &[SocketAddr], id| {
        ClusterConfig::default()
            .with_seeds(seeds.iter().map(SocketAddr::to_string))
            .with_swim(swim::Config::new_local())
            .with_node_id(NodeId::from_u128(id))
    };
    let mut hosts = Vec::new();
    for (id, addr) in (1..).zip(&addrs) {
        hosts.push(start(&net, *addr, config(&addrs[..1], id)).await);
    }
    for host in &hosts {
        host.sees(3).await;
    }
    hosts[0].cluster.set_tag("zone", "a");
    let backup = serde_json::to_string(&hosts[0].cluster.nodes().await).expect("plain data");
    for host in hosts {
        host.kill().await;
    }
    let mut hosts = Vec::new();
    for (id, addr) in (1..).zip(&addrs) {
        hosts.push(start(&net, *addr, config(&[], id)).await);
    }
    let backup: ClusterSnapshot = serde_json::from_str(&backup).expect("just written");
    assert_eq!(backup.active().count(), 3);
    assert_eq!(hosts[0].cluster.restore(&backup), 2);
    for host in &hosts {
        host.sees(3).await;
    }
    let restored = hosts[0].cluster.node(hosts[0].id()).await.expect("itself");
    assert_eq!(restored.tags().get("zone").map(String::as_str), Some("a"));
}
