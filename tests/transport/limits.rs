//! Limits of a server: connections, of all and of one peer, handshakes, calls on a connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rpcnet::{
    Admission, Backoff, CallError, Channel, ChannelBuilder, Code, ConfigError, ConnectError, Connector,
    Limits, ProtocolFuture, ProtocolHandler, Server, ServerConfig,
    transport::{Connection, DialOptions},
};
use rpcnet_tests::{
    Event, Net, ProbeClient, ProbeServer, ProbeService, Probed, any_port, over_both, shared_ca, until, within,
};
use tokio::{
    net::UdpSocket,
    task::{AbortHandle, JoinHandle, JoinSet},
};

const MS: Duration = Duration::from_millis(1);
/// Longer than any test: what would take as long has to be ended by something else.
const NEVER: Duration = Duration::from_secs(120);
const CALLS: &[u8] = b"rpcnet/1";

/// The value of a metric with its labels, as it is written.
fn metric(server: &Server, name: &str) -> u64 {
    let text = server.metrics().render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().expect("a count"))
}

async fn connect(channel: ChannelBuilder, server: &Server) -> Result<Channel, ConnectError> {
    within(channel.connect(server.local_addr().to_string())).await
}

/// The server takes no more connections; gives the whole chain of reasons.
fn too_many(result: Result<Channel, ConnectError>) -> String {
    match result.expect_err("there are too many") {
        ConnectError::TooManyConnections { address, source } => format!("{address}: {source}"),
        other => panic!("not for their number: {other:?}"),
    }
}

/// A connection with a call at work, which is in nobody's place.
async fn busy(channel: Channel, probed: &mut Probed, id: u64) -> JoinHandle<Result<String, CallError>> {
    let held = tokio::spawn(ProbeClient::new(channel).hold(id).into_future());
    assert_eq!(probed.event().await, Event::Started(id));
    held
}

async fn too_many_connections_in_all(net: Net) {
    let (server, mut probed) = net.start_probed_with("server", net.server().with_max_connections(2));
    let first = busy(net.connect(&server).await, &mut probed, 100).await;
    let second = net.connect(&server).await;
    let _held = busy(second.clone(), &mut probed, 101).await;
    let text = too_many(connect(net.channel(), &server).await);
    assert!(text.contains("code 5") && text.contains("takes 2 in all (with_max_connections)"), "{text}");
    assert_eq!(metric(&server, "rpc_connections"), 2);
    assert_eq!(metric(&server, "rpc_connections_refused_total{reason=\"total\"}"), 1);

    // Calls tell the reason, and that they did not run; meanwhile the channel goes on asking, but not all the time.
    let lazy = net.channel().with_backoff(Backoff::new(50 * MS, 100 * MS));
    let lazy = lazy.connect_lazy(server.local_addr().to_string()).expect("an address");
    let client = ProbeClient::new(lazy);
    let error = within(client.once(1)).await.expect_err("there is no connection");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(!error.maybe_executed() && error.to_string().contains("with_max_connections"), "{error}");
    first.abort();
    within(async {
        while client.server_name().await.is_err() {
            tokio::time::sleep(5 * MS).await;
        }
    })
    .await;
    assert_eq!(metric(&server, "rpc_connections"), 2);
    assert_eq!(ProbeClient::new(second).server_name().await.expect("it stood all the time"), "server");
}

/// Keeps connections of a protocol beside calls.
struct Door;

const DOOR: &[u8] = b"test-door/1";

impl ProtocolHandler for Door {
    fn accept(&self, connection: Connection) -> ProtocolFuture<'static> {
        Box::pin(async move {
            connection.closed().await;
        })
    }
}

async fn calls_do_not_keep_other_protocols_out(net: Net) {
    let server = net.start_with(net.server().with_max_connections(8));
    server.handle_protocol(DOOR, Arc::new(Door)).expect("the first");
    let (service, mut probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    let mut channels = Vec::new();
    for id in 0..7 {
        channels.push(busy(net.connect(&server).await, &mut probed, id).await);
    }
    let text = too_many(connect(net.channel(), &server).await);
    assert!(text.contains("takes 7 in all"), "an eighth is kept: {text}");
    let connector = net.channel().connector().expect("complete");
    let address = server.local_addr().to_string();
    let options = DialOptions::default();
    let door = within(connector.dial(&address, DOOR, &options)).await.expect("for this it is kept");
    until(|| metric(&server, "rpc_connections") == 8).await;
    assert_eq!(door.close_reason(), None);
    let second = within(connector.dial(&address, DOOR, &options)).await;
    if let Ok(second) = second {
        // With TLS 1.3 it is told after the handshake.
        let reason = within(second.closed()).await.to_string();
        assert!(reason.contains("takes 8 in all"), "{reason}");
    }
    assert_eq!(metric(&server, "rpc_connections_refused_total{reason=\"total\"}"), 2);
    assert_eq!(door.close_reason(), None);
}

async fn calls_on_a_connection(net: Net) {
    let limits = Limits::default().with_max_calls_per_connection(4);
    let (server, mut probed) = net.start_probed_with("server", net.server().with_limits(limits));
    let client = ProbeClient::new(net.connect(&server).await);
    let mut calls = JoinSet::new();
    for id in 0..20 {
        calls.spawn(client.hold(id));
    }
    for _ in 0..4 {
        assert!(matches!(probed.event().await, Event::Started(_)));
    }
    // One more with QUIC, where room is announced in steps.
    let started = tokio::time::timeout(100 * MS, async {
        let mut further = 0;
        loop {
            probed.event().await;
            further += 1;
            assert!(further <= 1, "there is no bound");
        }
    });
    started.await.expect_err("it ends with the time");
    assert!(server.in_flight() <= 5);
    // Another connection has its own.
    let other = ProbeClient::new(net.connect(&server).await);
    within(other.server_name()).await.expect("answered");
    probed.open_gate();
    while let Some(reply) = within(calls.join_next()).await {
        reply.expect("no panic").expect("answered");
    }
    assert_eq!(probed.executions().len(), 20);
}

over_both!(too_many_connections_in_all, calls_do_not_keep_other_protocols_out, calls_on_a_connection);

#[tokio::test]
async fn too_many_connections_of_one_peer() {
    let ca = shared_ca();
    let named = |name: &str| {
        let cert = ca.issue(name).expect("a certificate");
        let builder = Channel::builder().with_cert_and_key(cert.cert, cert.key).expect("just issued");
        builder.with_ca_cert(ca.ca_pem()).expect("just made")
    };
    let own = ca.issue("server").expect("a certificate");
    let config = ServerConfig::builder()
        .with_cert_and_key(own.cert, own.key)
        .and_then(|builder| builder.with_ca_cert(ca.ca_pem()))
        .expect("just issued")
        .with_max_connections_per_peer(2);
    let (server, mut probed) = Net::quic().start_probed_with("server", config);
    let first = connect(named("greedy"), &server).await.expect("the first");
    let first = busy(first, &mut probed, 1).await;
    // Other sockets, and another certificate of this name: it is the same peer.
    let second = connect(named("greedy"), &server).await.expect("the second");
    let _second = busy(second, &mut probed, 2).await;
    let text = too_many(connect(named("greedy"), &server).await);
    assert!(text.contains("takes 2 of each (with_max_connections_per_peer)"), "{text}");
    let _other = connect(named("modest"), &server).await.expect("another peer");
    assert_eq!(metric(&server, "rpc_connections_refused_total{reason=\"peer\"}"), 1);
    first.abort();
    until(|| metric(&server, "rpc_connections") == 2).await;
    connect(named("greedy"), &server).await.expect("there is room again");
}

/// Passes on what clients send, and keeps the answers: who dials here never gets any further than the first flight,
/// as one whose address is forged.
struct Mute {
    addr: SocketAddr,
    task: AbortHandle,
}

impl Mute {
    async fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind(any_port()).await.expect("a free port");
        let back = UdpSocket::bind(any_port()).await.expect("a free port");
        let addr = front.local_addr().expect("bound");
        let forward = async move {
            let mut buffer = vec![0; 65_536];
            loop {
                if let Ok(length) = front.recv(&mut buffer).await {
                    let _ = back.send_to(&buffer[..length], server).await;
                }
            }
        };
        Self { addr, task: tokio::spawn(forward).abort_handle() }
    }

    /// Begins handshakes that never go on.
    fn dial(&self, connector: &Connector, dials: usize) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..dials {
            let (connector, address) = (connector.clone(), self.addr.to_string());
            tasks.spawn(async move {
                let dialled = connector.dial(&address, CALLS, &DialOptions::default()).await;
                dialled.map(drop).expect_err("nothing is answered");
            });
        }
        tasks
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn patient(net: &Net) -> Connector {
    net.channel().with_connect_timeout(NEVER).connector().expect("complete")
}

#[tokio::test]
async fn slow_handshakes_keep_nobody_out_and_are_ended() {
    let net = Net::quic();
    let server = net.start_with(net.server().with_handshake_timeout(2000 * MS));
    let mute = Mute::start(server.local_addr()).await;
    let _dials = mute.dial(&patient(&net), 20);
    within(net.connect(&server)).await;
    until(|| metric(&server, "rpc_handshakes_failed_total{reason=\"timed_out\"}") == 20).await;
    assert_eq!(metric(&server, "rpc_handshakes_retried_total"), 0, "few enough");
}

#[tokio::test]
async fn a_flood_from_forged_addresses_keeps_nobody_out() {
    let net = Net::quic();
    let config = net.server().with_handshake_timeout(NEVER).with_max_handshakes(8).with_retry_above(4);
    let server = net.start_with(config);
    let mute = Mute::start(server.local_addr()).await;
    let _dials = mute.dial(&patient(&net), 60);
    until(|| metric(&server, "rpc_handshakes_retried_total") >= 56).await;
    for _ in 0..10 {
        // It has to prove its address, and does.
        let before = metric(&server, "rpc_handshakes_retried_total");
        within(net.connect(&server)).await;
        assert!(metric(&server, "rpc_handshakes_retried_total") > before);
    }
}

#[tokio::test]
async fn without_validation_the_flood_does() {
    let net = Net::quic();
    let config = net.server().with_handshake_timeout(NEVER).with_max_handshakes(8);
    let server = net.start_with(config.with_retry_above(usize::MAX));
    let mute = Mute::start(server.local_addr()).await;
    let _dials = mute.dial(&patient(&net), 60);
    // As many as are at work and as wait; who comes then is refused, or waits for ever.
    within(async { while connect(net.channel().with_connect_timeout(300 * MS), &server).await.is_ok() {} })
        .await;
    assert_eq!(metric(&server, "rpc_handshakes_retried_total"), 0);
}

#[tokio::test]
async fn an_address_can_be_asked_for_always() {
    let net = Net::quic();
    let server = net.start_with(net.server().with_retry_above(0));
    net.connect(&server).await;
    assert_eq!(metric(&server, "rpc_handshakes_retried_total"), 1);
}

#[tokio::test]
async fn refused_certificates_are_counted() {
    let net = Net::quic();
    let server = net.start_with(net.server());
    connect(Net::quic().channel(), &server).await.expect_err("of another authority");
    until(|| {
        let failed = |reason| metric(&server, &format!("rpc_handshakes_failed_total{{reason=\"{reason}\"}}"));
        failed("certificate") + failed("other") == 1
    })
    .await;
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = || Net::memory().server();
    for (config, name) in [
        (server().with_max_connections(0), "max_connections is 0"),
        (server().with_max_connections_per_peer(0), "max_connections_per_peer is 0"),
        (server().with_max_handshakes(0), "max_handshakes is 0"),
        (server().with_admission(Admission::fixed(0)), "admission limit is 0"),
        (server().with_limits(Limits::default().with_max_metadata(1 << 20, 1)), "max_metadata"),
    ] {
        let error = config.build().expect_err(name);
        assert!(matches!(error, ConfigError::Range { .. }), "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}
