//! Gossip on a socket of its own: members gossip there, and calls go to the server's.

use std::{net::SocketAddr, time::Duration};

use rpcnet::{
    ConnectError, ServerError,
    dev::DevCa,
    transport::{ConnectionError, DialOptions},
};
use rpcnet_cluster::{ClusterConfig, ClusterError, ClusterExt, Director, Mode, WorkerRegistry};
use rpcnet_tests::{
    Host, Net, ProbeClient, ProbeServer, ProbeService, Worker, any_port, cluster_channel, free_addr, local,
    ready_workers, until, within,
};

const ALPN: &[u8] = b"rpcnet-gossip/1";

/// A node that gossips on a port of its own.
async fn start(net: &Net, addr: SocketAddr, config: ClusterConfig) -> Host {
    Host::start(net, addr, config.with_bind_addr(any_port()), |_| {}).await
}

async fn clients_reach_workers(net: Net) {
    let host = start(&net, any_port(), local(&[])).await;
    let director = Director::new(&host.server, &host.cluster).expect("its first");
    let seed = host.cluster.advertised_addr();
    assert_ne!(seed, host.addr());
    let own = Worker::start_at(&net, "own", any_port(), local(&[seed]).with_bind_addr(any_port())).await;
    // One that gossips and is called at one port, as before.
    let shared = Worker::start(&net, "shared", &[seed]).await;
    within(director.registry().wait_for_healthy(2)).await;
    let mut addrs: Vec<_> = director.registry().workers().iter().map(|worker| worker.addr).collect();
    addrs.sort();
    let mut expected = vec![own.host.addr(), shared.host.addr()];
    expected.sort();
    assert_eq!(addrs, expected);
    for mode in [Mode::Direct, Mode::Relay] {
        let channel = cluster_channel(&net, &[host.addr()]).with_mode(mode);
        let channel = within(channel.connect()).await.expect("the director answers");
        if mode == Mode::Direct {
            ready_workers(&channel, 2).await;
        }
        let client = ProbeClient::new(channel);
        let mut names = std::collections::BTreeSet::new();
        within(async {
            while names.len() < 2 {
                names.insert(client.server_name().await.expect("both answer"));
            }
        })
        .await;
    }
    // Nothing but calls is answered there, and nothing but gossip here.
    let gossip = own.host.cluster.advertised_addr().to_string();
    let error = within(net.channel().connect(&gossip)).await.expect_err("no calls are taken there");
    let text = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(matches!(error, ConnectError::Handshake { .. }) && text.contains("protocol"), "{text}");
    let connector = net.channel().connector().expect("complete");
    let calls = own.host.addr().to_string();
    let error = within(connector.dial(&calls, ALPN, &DialOptions::default())).await;
    assert!(matches!(error, Err(ConnectError::Handshake { .. })), "{error:?}");
}

#[tokio::test]
async fn clients_reach_workers_over_quic() {
    clients_reach_workers(Net::quic()).await;
}

#[tokio::test]
async fn clients_reach_workers_in_memory() {
    clients_reach_workers(Net::memory()).await;
}

#[tokio::test]
async fn a_seed_with_the_port_for_calls_says_so() {
    let net = Net::quic();
    let host = start(&net, any_port(), local(&[])).await;
    let lost = Host::start(&net, any_port(), local(&[host.addr()]).with_tag("role", "worker"), |_| {}).await;
    let reason = || lost.server.readiness().reasons.join("; ");
    until(|| reason().contains("protocol")).await;
    assert!(reason().contains(&host.addr().to_string()), "{}", reason());
}

#[tokio::test]
async fn both_addresses_are_learnt() {
    let net = Net::quic();
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let seed = start(&net, any_port(), local(&[])).await;
    let config =
        local(&[seed.cluster.advertised_addr()]).with_bind_addr(unspecified).with_tag("role", "worker");
    let worker = Host::start(&net, unspecified, config, |server| {
        server.register(ProbeServer::new(ProbeService::new("one").0)).expect("the first of its name");
    });
    let worker = worker.await;
    let registry = WorkerRegistry::new(&seed.cluster);
    within(registry.wait_for_healthy(1)).await;
    let expected = SocketAddr::from(([127, 0, 0, 1], worker.addr().port()));
    assert_eq!(registry.workers()[0].addr, expected);
    let view = seed.cluster.nodes().await;
    let member = view.members.iter().find(|member| member.id() == worker.id()).expect("it has joined");
    assert_eq!(member.call_addr(), expected);
    assert_ne!(member.identity().addr(), expected);
    // Or it is said where calls go.
    let elsewhere = free_addr();
    let config = local(&[seed.cluster.advertised_addr()]).with_advertise_call_addr(elsewhere);
    let _mapped = start(&net, any_port(), config.with_tag("role", "worker")).await;
    within(registry.wait_for_healthy(2)).await;
    assert!(registry.workers().iter().any(|worker| worker.addr == elsewhere));
}

#[tokio::test]
async fn reloaded_certificates_are_shown_there_too() {
    let net = Net::quic();
    let Net::Quic(ca) = &net else { unreachable!("made so") };
    let next = DevCa::generate().expect("a CA");
    let both = format!("{}{}", ca.ca_pem(), next.ca_pem());
    let host = start(&net, any_port(), local(&[])).await;
    host.server.reload_ca_cert(&both).await.expect("a bundle");
    let cert = next.issue("renewed").expect("a certificate");
    host.server.reload_certificate(&cert.cert, &cert.key).await.expect("just issued");
    let client = next.issue("client").expect("a certificate");
    let connector = rpcnet::Channel::builder()
        .with_cert_and_key(client.cert, client.key)
        .and_then(|builder| builder.with_ca_cert(next.ca_pem()))
        .expect("just issued")
        .connector()
        .expect("complete");
    let addr = host.cluster.advertised_addr().to_string();
    let dialled = within(connector.dial(&addr, ALPN, &DialOptions::default())).await;
    assert_eq!(dialled.expect("both trust each other").peer().name(), "renewed");
}

#[tokio::test]
async fn the_socket_ends_with_the_server() {
    let net = Net::quic();
    let host = start(&net, any_port(), local(&[])).await;
    let addr = host.cluster.advertised_addr();
    let connector = net.channel().connector().expect("complete");
    let dialled = within(connector.dial(&addr.to_string(), ALPN, &DialOptions::default())).await;
    let connection = dialled.expect("it listens");
    // It says hello, and so it has taken the connection.
    within(connection.accept_uni()).await.expect("it lives");
    within(host.server.shutdown()).await.expect("no reason to fail");
    let end = within(connection.closed()).await;
    assert!(matches!(end, ConnectionError::Closed { .. }), "{end}");
    drop(host);
    until(|| std::net::UdpSocket::bind(addr).is_ok()).await;
}

#[tokio::test]
async fn a_socket_that_can_not_be_had_is_an_error_and_leaves_nothing_behind() {
    let net = Net::quic();
    let server = net.start();
    let taken = std::net::UdpSocket::bind(any_port()).expect("a free port");
    let addr = taken.local_addr().expect("bound");
    let error = server.enable_cluster(local(&[]).with_bind_addr(addr)).await.expect_err("it is taken");
    assert!(matches!(error, ClusterError::Bind(ServerError::Bind { .. })), "{error:?}");
    let free = free_addr();
    let wrong = local(&[]).with_bind_addr(free).with_tag("k".repeat(100), "");
    let error = server.enable_cluster(wrong).await.expect_err("the tag is not allowed");
    assert!(matches!(error, ClusterError::Tag { .. }), "{error:?}");
    // Its socket goes with its tasks, which takes a moment.
    let entered = async {
        loop {
            match server.enable_cluster(local(&[]).with_bind_addr(free)).await {
                Ok(cluster) => return cluster,
                Err(ClusterError::Bind(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let cluster = within(entered).await;
    assert_eq!(cluster.advertised_addr(), free);
}
