//! Events about other nodes.

use std::net::SocketAddr;

use rpcnet_cluster::{ClusterEvent, Events};
use rpcnet_tests::{Host, Net, any_port, local, within};

async fn start(net: &Net, seeds: &[SocketAddr]) -> Host {
    Host::start(net, any_port(), local(seeds), |_| {}).await
}

/// The first event that answers, skipping others.
async fn event<T>(events: &mut Events, mut pick: impl FnMut(ClusterEvent) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = pick(events.next().await.expect("the node lives")) {
                return found;
            }
        }
    };
    within(wait).await
}

#[tokio::test]
async fn the_loss_of_many_at_once_and_their_return_are_told() {
    let net = Net::quic();
    let first = start(&net, &[]).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(start(&net, &[first.addr()]).await);
    }
    first.sees(4).await;
    let mut events = first.cluster.events();
    let addrs: Vec<_> = others.iter().map(Host::addr).collect();
    let mut failed = Vec::new();
    for other in others {
        other.kill().await;
    }
    let lost = event(&mut events, |event| match event {
        ClusterEvent::NodeFailed(member) => {
            failed.push(member.id());
            None
        }
        ClusterEvent::PartitionDetected { lost, remaining } => {
            assert_eq!(remaining + lost.len(), 4);
            Some(lost)
        }
        _ => None,
    });
    let lost = lost.await;
    assert!(lost.iter().all(|member| failed.contains(&member.id())), "each was told before");
    let mut again = Vec::new();
    for addr in addrs {
        again.push(Host::start(&net, addr, local(&[first.addr()]), |_| {}).await);
    }
    let missing = event(&mut events, |event| match event {
        ClusterEvent::PartitionHealed { missing, .. } => Some(missing),
        ClusterEvent::PartitionDetected { .. } => panic!("it was told"),
        _ => None,
    });
    assert!(missing.await.is_empty());
}

#[tokio::test]
async fn an_event_that_comes_is_in_the_view_already() {
    let net = Net::quic();
    let first = start(&net, &[]).await;
    let mut events = first.cluster.events();
    let second = start(&net, &[first.addr()]).await;
    let id = second.id();
    event(&mut events, |event| matches!(event, ClusterEvent::NodeJoined(_)).then_some(())).await;
    assert!(first.cluster.view().borrow().iter().any(|member| member.id() == id));
    second.cluster.set_tag("news", "yes");
    let told = |event| match event {
        ClusterEvent::TagsChanged(member) => member.tags().contains_key("news").then_some(()),
        _ => None,
    };
    event(&mut events, told).await;
    let view = first.cluster.view();
    assert!(view.borrow().iter().any(|member| member.id() == id && member.tags().contains_key("news")));
}
