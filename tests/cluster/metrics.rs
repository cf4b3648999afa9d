//! The metrics of a node in its server's registry.

use std::net::SocketAddr;

use rpcnet_cluster::MemberState;
use rpcnet_tests::{Host, Net, any_port, local, until, within};

async fn start(net: &Net, seeds: &[SocketAddr]) -> Host {
    Host::start(net, any_port(), local(seeds), |_| {}).await
}

async fn is(host: &Host, name: &str, labels: &str, holds: impl Fn(f64) -> bool) {
    within(until(|| host.metric(name, labels).is_some_and(&holds))).await;
}

#[tokio::test]
async fn a_node_shows_what_it_sees_and_does() {
    let net = Net::quic();
    let first = start(&net, &[]).await;
    let second = start(&net, &[first.addr()]).await;
    within(first.cluster.joined()).await;
    within(second.cluster.joined()).await;
    second.cluster.set_tag("role", "worker");
    second.cluster.broadcast("rules", "new").expect("short");
    is(&first, "cluster_nodes", "state=\"alive\"", |nodes| nodes == 2.0).await;
    is(&first, "cluster_healthy_workers", "", |workers| workers == 1.0).await;
    is(&first, "cluster_events_total", "event=\"joined\"", |joined| joined == 1.0).await;
    is(&first, "cluster_events_total", "event=\"tags\"", |changed| changed >= 1.0).await;
    for direction in ["sent", "received"] {
        let of = |kind| format!("direction=\"{direction}\",kind=\"{kind}\"");
        is(&first, "gossip_packets_total", &of("gossip"), |packets| packets > 1.0).await;
        is(&first, "gossip_bytes_total", &of("gossip"), |bytes| bytes > 60.0).await;
        is(&first, "gossip_packets_total", &of("digest"), |packets| packets > 0.0).await;
    }
    is(&first, "gossip_packets_total", "direction=\"received\",kind=\"broadcasts\"", |packets| packets > 0.0)
        .await;
    is(&first, "gossip_messages_sent_total", "message=\"ping\"", |probes| probes > 1.0).await;
    is(&first, "gossip_syncs_total", "", |syncs| syncs > 0.0).await;
    is(&first, "gossip_agreement_age_seconds", "", |age| (0.0..60.0).contains(&age)).await;
    is(&first, "gossip_broadcast_lag_seconds_count", "", |arrived| arrived == 1.0).await;
    is(&first, "gossip_broadcast_lag_seconds_sum", "", |lag| lag < 10.0).await;
    is(&first, "gossip_links", "", |links| links == 1.0).await;
    let peer = format!("peer=\"{}\"", second.addr());
    is(&first, "gossip_rtt_seconds", &peer, |rtt| rtt > 0.0 && rtt < 5.0).await;
    for queue in ["packets", "updates", "records", "broadcasts", "timers", "streams"] {
        is(&first, "gossip_queue", &format!("queue=\"{queue}\""), |length| length < 100.0).await;
    }
    // A suspicion, a failure, and no link any more.
    second.kill().await;
    is(&first, "cluster_events_total", "event=\"suspect\"", |raised| raised == 1.0).await;
    is(&first, "gossip_probes_failed_total", "", |failed| failed >= 1.0).await;
    is(&first, "gossip_suspicions_raised_total", "", |raised| raised == 1.0).await;
    is(&first, "cluster_events_total", "event=\"failed\"", |failed| failed == 1.0).await;
    is(&first, "gossip_messages_sent_total", "message=\"ping\"", |probes| probes > 2.0).await;
    let gone = || first.metric("gossip_rtt_seconds", &peer).is_none();
    within(until(gone)).await;
    let view = first.cluster.view();
    assert_eq!(view.borrow().iter().filter(|member| member.state() == MemberState::Alive).count(), 1);
}
