//! The address that a node tells others: configured and checked, or learnt.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use rpcnet_cluster::{ClusterConfig, ClusterError, ClusterEvent, ClusterExt};
use rpcnet_tests::{Host, Net, any_port, local, within};
use tokio::time::timeout;

fn unspecified() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

/// An address of this host at which others could reach it; none where it has but a loopback.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind(unspecified()).expect("a free port");
    socket.connect("198.51.100.1:9").ok()?;
    let ip = socket.local_addr().expect("bound").ip();
    (!ip.is_loopback()).then_some(ip)
}

#[tokio::test]
async fn addresses_that_nobody_can_be_reached_at_are_refused() {
    let net = Net::quic();
    for wrong in ["0.0.0.0:7500", "[::]:7500", "10.0.0.1:0", "224.0.0.1:7500"] {
        let addr: SocketAddr = wrong.parse().expect("an address");
        let server = net.start();
        let error = server.enable_cluster(ClusterConfig::default().with_advertise_addr(addr)).await;
        let error = error.expect_err("nobody can dial it");
        assert!(matches!(error, ClusterError::Advertise { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&format!("can't advertise {wrong}: it ")), "{error}");
        assert!(error.to_string().contains("write "), "{error}");
        let error = server.enable_cluster(ClusterConfig::default().with_seeds([wrong])).await;
        let error = error.expect_err("nobody can dial it");
        assert!(matches!(error, ClusterError::SeedAddress { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&format!("the seed {wrong} ")), "{error}");
    }
}

#[tokio::test]
async fn a_seed_shows_the_way_out() {
    let Some(ip) = outward() else { return eprintln_skipped() };
    let net = Net::quic();
    // Nobody is there, yet the route to it says by which address others are reached.
    let seed = SocketAddr::from(([198, 51, 100, 1], 7500));
    let node = Host::start(&net, unspecified(), local(&[seed]), |_| {}).await;
    let expected = SocketAddr::new(ip, node.addr().port());
    rpcnet_tests::until(|| node.cluster.advertised_addr() == expected).await;
    // A neighbour on the same host does not lead it back to the loopback.
    let neighbour = Host::start(&net, any_port(), local(&[([127, 0, 0, 1], expected.port()).into()]), |_| {});
    let neighbour = neighbour.await;
    neighbour.sees_at(&[(node.id(), expected), (neighbour.id(), neighbour.addr())]).await;
}

#[tokio::test]
async fn a_loopback_address_is_replaced_and_nobody_fails() {
    let Some(ip) = outward() else { return eprintln_skipped() };
    let net = Net::quic();
    let first = Host::start(&net, unspecified(), local(&[]), |_| {}).await;
    let loopback = SocketAddr::from(([127, 0, 0, 1], first.addr().port()));
    // Neighbours come first: one that is bound as it is, and one that is not.
    let alike = Host::start(&net, unspecified(), local(&[loopback]), |_| {}).await;
    let bound = Host::start(&net, any_port(), local(&[loopback]), |_| {}).await;
    let of = |host: &Host, ip: IpAddr| (host.id(), SocketAddr::new(ip, host.addr().port()));
    let here = IpAddr::from([127, 0, 0, 1]);
    let before = [of(&first, here), of(&alike, here), of(&bound, here)];
    for host in [&first, &alike, &bound] {
        host.sees_at(&before).await;
    }
    first.cluster.set_tag("kept", "yes");
    let mut events = [bound.cluster.events(), alike.cluster.events()];
    // Then comes one from elsewhere.
    let seed = SocketAddr::new(ip, first.addr().port());
    let outside = Host::start(&net, SocketAddr::new(ip, 0), local(&[seed]), |_| {}).await;
    let after = [of(&first, ip), of(&alike, ip), of(&bound, here), of(&outside, ip)];
    for host in [&first, &alike, &bound, &outside] {
        host.sees_at(&after).await;
    }
    let mut view = bound.cluster.view();
    let kept = view.wait_for(|view| {
        view.iter().any(|member| member.id() == first.id() && member.tags().contains_key("kept"))
    });
    within(kept).await.expect("the node lives");
    let mut moved = 0;
    for events in &mut events {
        while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
            match event {
                ClusterEvent::NodeMoved { from, member } => {
                    assert_eq!((from.id(), from.addr().ip()), (member.id(), here));
                    assert_eq!(member.identity().addr().ip(), ip);
                    moved += 1;
                }
                ClusterEvent::NodeFailed(_) | ClusterEvent::IdentityConflict { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
    }
    // The first one at both neighbours, and the second at the one that stays.
    assert_eq!(moved, 3);
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn eprintln_skipped() {
    eprintln!("skipped: this host has no address but a loopback");
}
