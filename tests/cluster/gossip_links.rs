//! Connections between nodes: who dials whom, and when.

use std::{net::SocketAddr, time::Duration};

use rpcnet_cluster::{ClusterConfig, ClusterEvent, MemberState, swim};
use rpcnet_tests::{Host, Net, any_port, free_addr, local, until, within};
use tokio::time::timeout;

async fn start(net: &Net, addr: SocketAddr, seeds: &[SocketAddr]) -> Host {
    Host::start(net, addr, local(seeds), |_| {}).await
}

#[tokio::test]
async fn nodes_that_dial_each_other_at_once() {
    let net = Net::quic();
    let addrs: Vec<_> = (0..5).map(|_| free_addr()).collect();
    let (a, b, c, d, e) = tokio::join!(
        start(&net, addrs[0], &addrs),
        start(&net, addrs[1], &addrs),
        start(&net, addrs[2], &addrs),
        start(&net, addrs[3], &addrs),
        start(&net, addrs[4], &addrs),
    );
    let hosts = [a, b, c, d, e];
    let mut events: Vec<_> = hosts.iter().map(|host| host.cluster.events()).collect();
    for host in &hosts {
        host.sees(5).await;
    }
    // News of each gets to all over whatever links have been kept.
    for host in &hosts {
        host.cluster.set_tag("told", "yes");
    }
    for host in &hosts {
        let mut view = host.cluster.view();
        let told = view.wait_for(|view| view.iter().all(|member| member.tags().contains_key("told")));
        within(told).await.expect("the node lives");
    }
    // And nobody was lost on the way.
    for events in &mut events {
        while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
            assert!(!matches!(event, ClusterEvent::NodeFailed(_)), "{event:?}");
        }
    }
}

#[tokio::test]
async fn a_node_that_learns_its_address_shows_what_came_after() {
    let net = Net::quic();
    let addr = free_addr();
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    // The same number of changes before and after the node is made anew under its address.
    for changes in 1..6 {
        let any = start(&net, unspecified, &[addr]).await;
        for change in 0..changes {
            any.cluster.set_tag("change", change.to_string());
        }
        let mut view = any.cluster.view();
        let last = (changes - 1).to_string();
        let shown = view.wait_for(|view| view[0].tags().get("change").is_some_and(|found| *found == last));
        within(shown).await.expect("the node lives");
        let seed = start(&net, addr, &[]).await;
        any.sees(2).await;
        let own = any.cluster.view().borrow()[0].identity().addr();
        assert_eq!(own, SocketAddr::from(([127, 0, 0, 1], any.addr().port())));
        seed.kill().await;
    }
}

#[tokio::test]
async fn nobody_is_there_to_hear_of_a_leave() {
    let net = Net::quic();
    let alone = start(&net, any_port(), &[]).await;
    within(alone.cluster.leave()).await.expect("there is nobody to tell");
    within(alone.cluster.leave()).await.expect("a second time");
}

#[tokio::test]
async fn who_leaves_before_it_has_joined_does_not_join() {
    let net = Net::quic();
    let addr = free_addr();
    let bystander = start(&net, any_port(), &[]).await;
    for bind in [any_port(), SocketAddr::from(([0, 0, 0, 0], 0))] {
        let early = start(&net, bind, &[addr]).await;
        within(early.cluster.leave()).await.expect("there is nobody to tell");
        let seed = start(&net, addr, &[bystander.addr()]).await;
        // It has dialled, and was told where it is seen.
        until(|| early.cluster.advertised_addr().ip().is_loopback()).await;
        seed.sees(2).await;
        let third = start(&net, any_port(), &[addr]).await;
        third.sees(3).await;
        let known = |host: &Host| host.cluster.view().borrow().iter().any(|member| member.id() == early.id());
        assert!(!known(&seed) && !known(&third));
        third.kill().await;
        seed.kill().await;
        bystander.sees(1).await;
    }
}

#[tokio::test]
async fn who_leaves_while_it_joins_is_seen_to_leave() {
    let net = Net::quic();
    let seed = start(&net, any_port(), &[]).await;
    for _ in 0..5 {
        let hasty = start(&net, any_port(), &[seed.addr()]).await;
        // The node is neither taken for a failure nor left over, known or not.
        let mut events = seed.cluster.events();
        let _ = within(hasty.cluster.leave()).await;
        within(hasty.server.shutdown()).await.expect("nothing to fail");
        let id = hasty.id();
        let active = || {
            let view = seed.cluster.view();
            let view = view.borrow();
            view.iter().any(|member| member.id() == id && member.state().is_active())
        };
        until(|| !active()).await;
        while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
            assert!(!matches!(event, ClusterEvent::NodeFailed(_)), "{event:?}");
        }
    }
}

#[tokio::test]
async fn a_node_restarts_again_and_again_under_its_address() {
    let net = Net::quic();
    let seed = start(&net, any_port(), &[]).await;
    let other = start(&net, any_port(), &[seed.addr()]).await;
    let addr = free_addr();
    for _ in 0..5 {
        let again = start(&net, addr, &[seed.addr()]).await;
        for host in [&seed, &other, &again] {
            host.sees(3).await;
            let mut view = host.cluster.view();
            let current = view.wait_for(|view| {
                view.iter().any(|member| member.id() == again.id() && member.state() == MemberState::Alive)
            });
            within(current).await.expect("the node lives");
        }
        again.kill().await;
    }
}

#[tokio::test]
async fn links_to_an_earlier_life_are_given_up() {
    let net = Net::quic();
    let seed = start(&net, any_port(), &[]).await;
    let other = start(&net, any_port(), &[seed.addr()]).await;
    let victim = start(&net, any_port(), &[seed.addr()]).await;
    for host in [&seed, &other, &victim] {
        host.sees(3).await;
    }
    let addr = victim.addr();
    victim.kill().await;
    let mut events = other.cluster.events();
    // It dials the seed alone; the other learns of it, and must not talk to the grave.
    let again = start(&net, addr, &[seed.addr()]).await;
    let id = again.id();
    again.sees(3).await;
    again.cluster.set_tag("alive", "yes");
    let mut view = other.cluster.view();
    let told = view
        .wait_for(|view| view.iter().any(|member| member.id() == id && member.tags().contains_key("alive")));
    within(told).await.expect("the node lives");
    while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
        assert!(!matches!(&event, ClusterEvent::NodeFailed(member) if member.id() == id), "{event:?}");
    }
}

#[tokio::test]
async fn packets_that_are_too_large_for_the_path_go_on_streams() {
    let net = Net::quic();
    // More than a datagram carries: some 1200 bytes on a path of which nothing is known, 6400 later.
    let swim = swim::Config::new_local().with_max_packet_size(20_000);
    let config = |seeds: &[SocketAddr]| local(seeds).with_swim(swim.clone());
    let first = Host::start(&net, any_port(), config(&[]), |_| {}).await;
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(Host::start(&net, any_port(), config(&[first.addr()]), |_| {}).await);
    }
    hosts.push(first);
    for host in &hosts {
        host.sees(4).await;
        for key in 0..60 {
            host.cluster.set_tag(format!("key-{key}"), "v".repeat(250));
        }
    }
    for host in &hosts {
        let mut view = host.cluster.view();
        let told = view.wait_for(|view| view.iter().all(|member| member.tags().len() == 60));
        within(told).await.expect("the node lives");
    }
    let oversize: f64 = hosts.iter().filter_map(|host| host.metric("gossip_oversize_total", "")).sum();
    assert!(oversize > 0.0);
}

#[tokio::test]
async fn cold_probes_are_answered_in_time() {
    /// Beyond the own ones there are this many.
    const LINKS: usize = 2;
    const NODES: usize = 8;
    let net = Net::quic();
    let config = |seeds: &[SocketAddr]| {
        ClusterConfig::new_lan().with_seeds(seeds.iter().map(SocketAddr::to_string)).with_max_links(LINKS)
    };
    let mut hosts = vec![Host::start(&net, any_port(), config(&[]), |_| {}).await];
    let seed = hosts[0].addr();
    for _ in 1..NODES {
        hosts.push(Host::start(&net, any_port(), config(&[seed]), |_| {}).await);
    }
    for host in &hosts {
        host.sees(NODES).await;
    }
    let probes = |host: &Host| host.metric("gossip_messages_sent_total", "\"ping\"").unwrap_or(0.0);
    let before: Vec<_> =
        hosts.iter().map(|host| (probes(host), host.metric("gossip_dials_total", ""))).collect();
    // Most of those whom a node probes it has no link to.
    for (host, (before, _)) in hosts.iter().zip(&before) {
        within(until(|| probes(host) >= before + 6.0)).await;
        assert!(host.metric("gossip_links", "").is_some_and(|links| links <= LINKS as f64));
    }
    let dials = |host: &Host| host.metric("gossip_dials_total", "").unwrap_or(0.0);
    let dialled: f64 = hosts.iter().map(dials).sum();
    let dialled_before: f64 = before.iter().filter_map(|(_, dials)| *dials).sum();
    assert!(dialled > dialled_before, "links were closed and dialled anew");
    for host in &hosts {
        assert_eq!(host.metric("cluster_events_total", "event=\"failed\""), None);
        // One may be, on a machine that has much else to do.
        let suspicions = host.metric("cluster_events_total", "event=\"suspect\"").unwrap_or(0.0);
        assert!(suspicions * 10.0 <= probes(host), "{suspicions} suspicions of {} probes", probes(host));
        host.sees(NODES).await;
    }
}
