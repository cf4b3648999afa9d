//! Two nodes with one id, or one address: the one that was started later stops, and the cluster is well afterwards.

use std::{net::SocketAddr, time::Duration};

use rpcnet_cluster::{ClusterConfig, ClusterError, ClusterEvent, NodeId};
use rpcnet_tests::{Host, Net, any_port, free_addr, local, within};
use tokio::time::timeout;

async fn start(net: &Net, addr: SocketAddr, config: ClusterConfig) -> Host {
    Host::start(net, addr, config, |_| {}).await
}

fn of(host: &Host) -> (NodeId, SocketAddr) {
    (host.id(), host.cluster.advertised_addr())
}

/// The later one stops, and says who was there first.
async fn stops(later: &Host, earlier: (NodeId, SocketAddr)) {
    let error = within(later.cluster.stopped()).await;
    let ClusterError::Conflict { ours, theirs } = &error else { panic!("{error}") };
    assert_eq!((ours.id(), ours.addr()), of(later));
    assert_eq!((theirs.id(), theirs.addr()), earlier);
    let text = error.to_string();
    assert!(text.contains(&ours.to_string()) && text.contains(&theirs.to_string()), "{text}");
    assert!(matches!(later.cluster.leave().await, Err(ClusterError::Conflict { .. })));
    assert_eq!(later.cluster.view().borrow().len(), 1);
}

async fn is_told(host: &Host, mut events: rpcnet_cluster::Events) {
    let told = async {
        loop {
            if let ClusterEvent::IdentityConflict { ours, .. } = events.next().await.expect("the node lives")
            {
                return ours;
            }
        }
    };
    assert_eq!(within(told).await.id(), host.id());
}

/// It goes on, under a generation that nobody takes for its past, and changes of it are seen.
async fn is_well(host: &Host, other: &Host) {
    assert!(timeout(Duration::ZERO, host.cluster.stopped()).await.is_err());
    for _ in 0..2 {
        other.sees_at(&[of(host), of(other)]).await;
        host.sees_at(&[of(host), of(other)]).await;
        host.cluster.set_tag("still", "here");
        let mut view = other.cluster.view();
        let told = view.wait_for(|view| {
            view.iter().any(|member| member.id() == host.id() && member.tags().contains_key("still"))
        });
        within(told).await.expect("the node lives");
    }
}

#[tokio::test]
async fn of_two_nodes_with_one_id_the_later_stops() {
    let net = Net::quic();
    let id = NodeId::from_u128(7);
    let seed = start(&net, any_port(), local(&[])).await;
    let earlier = start(&net, any_port(), local(&[seed.addr()]).with_node_id(id)).await;
    seed.sees_at(&[of(&seed), of(&earlier)]).await;
    let events = earlier.cluster.events();
    // They know nothing of each other but through the seed.
    let later = start(&net, any_port(), local(&[seed.addr()]).with_node_id(id)).await;
    stops(&later, of(&earlier)).await;
    is_told(&earlier, events).await;
    is_well(&earlier, &seed).await;
}

#[tokio::test]
async fn of_two_nodes_with_one_id_that_meet_the_later_stops() {
    let net = Net::quic();
    let id = NodeId::from_u128(7);
    let earlier = start(&net, any_port(), local(&[]).with_node_id(id)).await;
    let other = start(&net, any_port(), local(&[earlier.addr()])).await;
    let later = start(&net, any_port(), local(&[earlier.addr()]).with_node_id(id)).await;
    stops(&later, of(&earlier)).await;
    is_well(&earlier, &other).await;
}

#[tokio::test]
async fn of_two_nodes_with_one_address_the_later_stops() {
    let net = Net::quic();
    let seed = start(&net, any_port(), local(&[])).await;
    let earlier = start(&net, any_port(), local(&[seed.addr()])).await;
    seed.sees_at(&[of(&seed), of(&earlier)]).await;
    let events = earlier.cluster.events();
    let mistaken = local(&[seed.addr()]).with_advertise_addr(earlier.addr());
    let later = start(&net, any_port(), mistaken).await;
    stops(&later, of(&earlier)).await;
    is_told(&earlier, events).await;
    is_well(&earlier, &seed).await;
}

#[tokio::test]
async fn the_later_stops_even_if_the_address_is_its_own() {
    let net = Net::quic();
    let addr = free_addr();
    let seed = start(&net, any_port(), local(&[])).await;
    let mistaken = local(&[seed.addr()]).with_advertise_addr(addr);
    let earlier = start(&net, any_port(), mistaken).await;
    let joined = seed.cluster.view().wait_for(|view| view.len() == 2).await.map(drop);
    joined.expect("the node lives");
    let later = start(&net, addr, local(&[seed.addr()])).await;
    stops(&later, of(&earlier)).await;
}

#[tokio::test]
async fn a_node_that_moves_is_no_duplicate() {
    let net = Net::quic();
    let id = NodeId::from_u128(7);
    let seed = start(&net, any_port(), local(&[])).await;
    let mut moving = start(&net, any_port(), local(&[seed.addr()]).with_node_id(id)).await;
    for _ in 0..3 {
        seed.sees_at(&[of(&seed), of(&moving)]).await;
        moving.kill().await;
        moving = start(&net, any_port(), local(&[seed.addr()]).with_node_id(id)).await;
    }
    is_well(&moving, &seed).await;
}

#[tokio::test]
async fn a_node_that_is_reached_elsewhere_than_where_it_listens_is_no_duplicate() {
    let net = Net::quic();
    let seed = start(&net, any_port(), local(&[])).await;
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let learns = start(&net, any, local(&[seed.addr()])).await;
    within(learns.cluster.joined()).await;
    learns.sees_at(&[of(&seed), of(&learns)]).await;
    is_well(&learns, &seed).await;
}
