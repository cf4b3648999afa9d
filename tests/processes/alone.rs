//! A node that is not in its cluster says so, and why: in the log, in metrics, and in its readiness.

use std::{net::UdpSocket, time::Duration};

use rpcnet::{
    ServerConfig,
    dev::{DevCa, DevCertOptions},
};
use rpcnet_cluster::{ClusterConfig, Director, MemberState};
use rpcnet_tests::{Host, Logs, Net, any_port, free_addr, local, until, within};
use tokio::time::Instant;

const WARNING: &str = "not in the cluster: no seed has let this node in";

async fn start(net: &Net, config: ClusterConfig) -> Host {
    Host::start(net, any_port(), config, |_| {}).await
}

fn failures(host: &Host, reason: &str) -> f64 {
    host.metric("cluster_join_failures_total", &format!("reason=\"{reason}\"")).unwrap_or(0.0)
}

/// Waits for the warning of this node, which comes within ten seconds (and some more on a busy machine), and returns
/// it.
async fn warning(logs: Logs, host: &Host) -> String {
    let id = host.id().to_string();
    let started = Instant::now();
    until(|| !logs.lines(&[WARNING, &id]).is_empty()).await;
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(host.metric("cluster_joined", ""), Some(0.0));
    logs.lines(&[WARNING, &id]).remove(0)
}

#[tokio::test]
async fn the_log_tells_why_a_node_is_not_in_its_cluster() {
    let (logs, net) = (Logs::start(), Net::quic());
    let Net::Quic(ca) = &net else { unreachable!("made so") };
    let seed = start(&net, local(&[])).await;
    let silent = UdpSocket::bind(any_port()).expect("a free port");
    let silent = silent.local_addr().expect("bound");
    let with = |cert: &rpcnet::dev::DevCert, ca: &str| {
        ServerConfig::builder()
            .with_cert_and_key(&cert.cert, &cert.key)
            .and_then(|builder| builder.with_ca_cert(ca))
            .expect("just issued")
            .with_bind_addr(any_port())
    };
    let other_ca = DevCa::generate().expect("a CA");
    let both = format!("{}{}", other_ca.ca_pem(), ca.ca_pem());
    let foreign = other_ca.issue("foreign").expect("a certificate");
    let expired = ca.issue_with(&DevCertOptions::new("expired").expired()).expect("a certificate");
    let addr = seed.addr().to_string();
    let unreachable = start(&net, local(&[silent])).await;
    let unresolvable = start(&net, local(&[]).with_seeds(["no-such-host.invalid:7500"])).await;
    let distrusts = Host::start_with(with(&foreign, other_ca.ca_pem()), local(&[seed.addr()]), |_| {}).await;
    let distrusted = Host::start_with(with(&foreign, &both), local(&[seed.addr()]), |_| {}).await;
    let late = Host::start_with(with(&expired, ca.ca_pem()), local(&[seed.addr()]), |_| {}).await;
    let elsewhere = start(&net, local(&[seed.addr()]).with_name("another")).await;
    let early = start(&net, local(&[seed.addr()]).with_gossip_versions(1..=1)).await;
    within(early.cluster.joined()).await;
    let silent = silent.to_string();
    for (host, reason, texts) in [
        (&unreachable, "unreachable", [silent.as_str(), "5s"]),
        (&unresolvable, "unresolvable", ["no-such-host.invalid:7500", "does not resolve"]),
        (&distrusts, "certificate", [&addr, "certificate"]),
        (&distrusted, "certificate", [&addr, "certificate"]),
        (&late, "certificate", [&addr, "expired"]),
        (&elsewhere, "cluster", [&addr, "the peer is of cluster"]),
    ] {
        let line = warning(logs, host).await;
        assert!(line.contains("WARN") && texts.iter().all(|text| line.contains(text)), "{line}");
        assert!(failures(host, reason) > 0.0, "{reason}: {}", host.server.metrics().render());
    }
    // Nodes in the cluster log nothing of the kind.
    for host in [&seed, &early] {
        assert_eq!(logs.lines(&["WARN", "in the cluster", &host.id().to_string()]), [""; 0]);
    }
}

#[tokio::test]
async fn a_node_in_its_cluster_says_so_once() {
    let (logs, net) = (Logs::start(), Net::quic());
    let seed = start(&net, local(&[])).await;
    let node = start(&net, local(&[seed.addr()])).await;
    let id = node.id().to_string();
    within(node.cluster.joined()).await;
    until(|| !logs.lines(&["in the cluster", &id]).is_empty()).await;
    assert_eq!(node.metric("cluster_joined", ""), Some(1.0));
    // For longer than seeds are left alone.
    let dials = || node.metric("gossip_dials_total", "").unwrap_or(0.0);
    let before = dials();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(logs.lines(&["in the cluster", &id]).len(), 1);
    assert_eq!(dials(), before, "it knows all its seeds");
    // Alone later is another matter.
    seed.kill().await;
    until(|| !logs.lines(&["not in the cluster any more", "WARN", &id]).is_empty()).await;
    assert_eq!(node.metric("cluster_joined", ""), Some(0.0));
    let again = start(&net, local(&[node.addr()])).await;
    within(again.cluster.joined()).await;
    until(|| logs.lines(&["INFO", "in the cluster", &id]).len() == 2).await;
}

#[tokio::test]
async fn a_worker_is_not_ready_until_it_has_reached_a_member() {
    let net = Net::quic();
    let addr = free_addr();
    let grace = Duration::from_millis(100);
    let worker = start(&net, local(&[addr]).with_tag("role", "worker").with_join_grace(grace)).await;
    let reasons = || worker.server.readiness().reasons.join("; ");
    until(|| reasons().starts_with("cluster: no member of the cluster is reached yet")).await;
    tokio::time::sleep(grace * 3).await;
    assert!(!worker.server.readiness().ready, "however long it takes");
    assert!(reasons().contains(&addr.to_string()), "{}", reasons());
    let director = Host::start(&net, addr, local(&[]), |_| {}).await;
    until(|| worker.server.readiness().ready).await;
    assert_eq!(reasons(), "");
    // A node that was in the cluster is called by the nodes that know it, and stays ready.
    director.kill().await;
    until(|| reasons().starts_with("cluster: this node is alone")).await;
    assert!(worker.server.readiness().ready);
}

#[tokio::test]
async fn a_director_waits_for_its_seeds_only_for_the_grace() {
    let net = Net::quic();
    let addr = free_addr();
    let director = start(&net, local(&[addr]).with_join_grace(Duration::from_secs(1))).await;
    let _director = Director::new(&director.server, &director.cluster).expect("its first");
    let readiness = || director.server.readiness();
    assert!(!readiness().ready);
    until(|| readiness().ready).await;
    let note = readiness().reasons.join("; ");
    assert!(note.starts_with("cluster: this node is alone, no seed is reached"), "{note}");
    assert!(note.contains(&addr.to_string()), "{note}");
    assert_eq!(director.metric("cluster_joined", ""), Some(0.0));
    let _other = Host::start(&net, addr, local(&[]), |_| {}).await;
    until(|| readiness().reasons.is_empty()).await;
    assert!(readiness().ready);
    assert_eq!(director.metric("cluster_joined", ""), Some(1.0));
}

#[tokio::test]
async fn a_node_without_seeds_but_itself_is_ready_at_once() {
    let net = Net::quic();
    let addr = free_addr();
    for seeds in [&[][..], &[addr]] {
        for role in ["worker", "director"] {
            let node = Host::start(&net, addr, local(seeds).with_tag("role", role), |_| {}).await;
            // It runs since a moment ago.
            until(|| node.server.readiness().ready).await;
            assert_eq!(node.server.readiness().reasons, [""; 0]);
            assert_eq!(node.metric("cluster_joined", ""), Some(1.0));
            node.kill().await;
        }
    }
}

#[tokio::test]
async fn a_leave_that_nobody_acknowledged_takes_its_time_and_is_no_error() {
    let (logs, net) = (Logs::start(), Net::quic());
    let first = start(&net, local(&[])).await;
    let second = start(&net, local(&[first.addr()])).await;
    within(first.cluster.joined()).await;
    within(second.cluster.joined()).await;
    second.kill().await;
    let started = Instant::now();
    within(first.cluster.leave()).await.expect("it is left, if not heard");
    // As documented: some packets that are not answered are no reason to give up.
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(3), "{took:?}");
    let untold = logs.lines(&["WARN", "left without goodbye", "peers=1"]);
    assert_eq!(untold.len(), 1, "{untold:?}");
    let members = first.cluster.nodes().await.members;
    assert_eq!(members[0].state(), MemberState::Left);
    // The rest of a shutdown does not wait once more.
    let started = Instant::now();
    within(first.cluster.leave()).await.expect("it is left");
    assert!(started.elapsed() < Duration::from_secs(1));
    within(first.server.shutdown()).await.expect("no reason to fail");
}
