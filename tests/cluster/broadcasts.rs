//! Values that a cluster shares, over real sockets.

use std::net::SocketAddr;

use rpcnet_cluster::{BroadcastError, ClusterConfig};
use rpcnet_tests::{Host, Net, any_port, local, until, within};

async fn start(net: &Net, addr: SocketAddr, config: ClusterConfig) -> Host {
    Host::start(net, addr, config, |_| {}).await
}

/// Waits until that key has that value there, or none.
async fn has(host: &Host, key: &str, value: Option<&[u8]>) {
    let mut broadcasts = host.cluster.broadcasts();
    let there = broadcasts.wait_for(|known| known.get(key).map(|known| known.value()).as_deref() == value);
    within(there).await.expect("the node lives");
}

#[tokio::test]
async fn a_value_reaches_all_and_who_joins_later() {
    let net = Net::quic();
    let first = start(&net, any_port(), local(&[])).await;
    // Before anybody is there to hear it.
    let version = first.cluster.broadcast("early", "bird").expect("short");
    let second = start(&net, any_port(), local(&[first.addr()])).await;
    has(&second, "early", Some(b"bird")).await;
    let known = second.cluster.broadcasts().borrow()["early"].clone();
    assert_eq!((known.version(), known.origin()), (version, first.id()));
    // Larger than a datagram.
    let large = vec![7; 4096];
    second.cluster.broadcast("large", large.clone()).expect("short enough");
    has(&first, "large", Some(&large)).await;
    let third = start(&net, any_port(), local(&[second.addr()])).await;
    has(&third, "early", Some(b"bird")).await;
    has(&third, "large", Some(&large)).await;
    assert!(third.cluster.broadcast("early", "worm").expect("short") > version);
    third.cluster.withdraw("large").expect("it has not left");
    for host in [&first, &second, &third] {
        has(host, "early", Some(b"worm")).await;
        has(host, "large", None).await;
    }
    within(third.cluster.leave()).await.expect("two peers acknowledge");
    assert_eq!(third.cluster.broadcast("early", "late"), Err(BroadcastError::Left));
}

#[tokio::test]
async fn a_node_that_learns_its_address_keeps_what_it_had() {
    let net = Net::quic();
    let seed = start(&net, any_port(), local(&[])).await;
    let any = start(&net, SocketAddr::from(([0, 0, 0, 0], 0)), local(&[seed.addr()])).await;
    any.cluster.broadcast("early", "bird").expect("short");
    has(&seed, "early", Some(b"bird")).await;
    has(&any, "early", Some(b"bird")).await;
}

#[tokio::test]
async fn what_a_cluster_shared_outlives_it() {
    let net = Net::quic();
    let directory = tempfile::tempdir().expect("a place for temporary files");
    let kept = || local(&[]).with_snapshot_dir(directory.path());
    let first = start(&net, any_port(), kept()).await;
    first.cluster.broadcast("rules", "as they were").expect("short");
    first.cluster.broadcast("old rules", "gone").expect("short");
    first.cluster.withdraw("old rules").expect("it has not left");
    let backup = serde_json::to_string(&first.cluster.nodes().await).expect("plain data");
    within(first.server.shutdown()).await.expect("nothing to fail");
    first.kill().await;
    let first = start(&net, any_port(), kept()).await;
    let other = start(&net, any_port(), local(&[])).await;
    other.cluster.restore(&serde_json::from_str(&backup).expect("just written"));
    for host in [&first, &other] {
        until(|| host.cluster.broadcasts().borrow().len() == 1).await;
        has(host, "rules", Some(b"as they were")).await;
    }
}
