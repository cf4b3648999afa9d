//! Joining through names: a name stands for a set of addresses that changes.

use std::net::SocketAddr;

use rpcnet_cluster::MemberState;
use rpcnet_tests::{Host, Names, Net, SilentAddr, any_port, free_addr, local, within};

/// The seed of all nodes.
const SEED: &str = "cluster.test:7500";
const NAME: &str = "cluster.test";

/// A node whose seeds are these names.
async fn start(net: &Net, names: &Names, addr: SocketAddr, seeds: &[&str]) -> Host {
    let server = net.server().with_bind_addr(addr).with_resolver(names.clone());
    Host::start_with(server, local(&[]).with_seeds(seeds.iter().copied()), |_| {}).await
}

/// Waits until exactly these nodes are alive there.
async fn sees(host: &Host, nodes: &[&Host]) {
    let mut expected: Vec<_> = nodes.iter().map(|node| node.id()).collect();
    expected.sort();
    let mut view = host.cluster.view();
    let alive = view.wait_for(|view| {
        let alive = view.iter().filter(|member| member.state() == MemberState::Alive);
        let mut alive: Vec<_> = alive.map(|member| member.id()).collect();
        alive.sort();
        alive == expected
    });
    within(alive).await.expect("the node lives");
}

#[tokio::test]
async fn one_name_is_the_seed_of_all() {
    let net = Net::quic();
    let addrs: Vec<_> = (0..3).map(|_| free_addr()).collect();
    let mut hosts = Vec::new();
    for own in 0..3 {
        // A host's own address comes first.
        let mut shown = addrs.clone();
        shown.swap(0, own);
        let names = Names::default();
        names.set(NAME, shown);
        hosts.push(start(&net, &names, addrs[own], &[SEED]).await);
    }
    let all: Vec<_> = hosts.iter().collect();
    for host in &all {
        sees(host, &all).await;
    }
}

#[tokio::test]
async fn a_silent_address_of_a_name_hides_no_other() {
    let (net, names) = (Net::quic(), Names::default());
    let seed = start(&net, &names, any_port(), &[]).await;
    let silent = SilentAddr::bind();
    names.set(NAME, [silent.addr(), seed.addr()]);
    let node = start(&net, &names, any_port(), &[SEED]).await;
    sees(&node, &[&seed, &node]).await;
}

#[tokio::test]
async fn islands_behind_one_name_merge() {
    let (net, names) = (Net::quic(), Names::default());
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let first = start(&net, &names, any_port(), &[]).await;
        names.set(NAME, [first.addr()]);
        let second = start(&net, &names, any_port(), &[SEED]).await;
        sees(&second, &[&first, &second]).await;
        hosts.extend([first, second]);
    }
    // One of its addresses is a member to each of those who have it as their seed, and another one is not.
    names.set(NAME, [hosts[0].addr(), hosts[2].addr()]);
    let all: Vec<_> = hosts.iter().collect();
    for host in &all {
        sees(host, &all).await;
    }
}

#[tokio::test]
async fn a_name_that_was_but_the_node_itself_may_stand_for_others_later() {
    let (net, names) = (Net::quic(), Names::default());
    let addr = free_addr();
    names.set(NAME, [addr]);
    let node = start(&net, &names, addr, &[SEED]).await;
    let other = start(&net, &names, any_port(), &[]).await;
    sees(&node, &[&node]).await;
    names.set(NAME, [addr, other.addr()]);
    sees(&node, &[&node, &other]).await;
    sees(&other, &[&node, &other]).await;
}

#[tokio::test]
async fn a_name_that_is_not_known_yet_is_resolved_again() {
    let (net, names) = (Net::quic(), Names::default());
    let node = start(&net, &names, any_port(), &[SEED]).await;
    let other = start(&net, &names, any_port(), &[]).await;
    sees(&node, &[&node]).await;
    names.set(NAME, [other.addr()]);
    sees(&node, &[&node, &other]).await;
}
