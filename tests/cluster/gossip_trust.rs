//! Trust among nodes: peers without the right certificate, and peers that send nonsense.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rpcnet::{
    __private::encode,
    Channel, Connector, Server, ServerConfig, ServerConfigBuilder,
    dev::{DevCa, DevCert, DevCertOptions},
    transport::{Connection, ConnectionError, DialOptions, SendStream, WriteError},
};
use rpcnet_cluster::{
    ClusterError, ClusterEvent, ClusterExt, Identity, NodeId, testing::engine::announcement,
};
use rpcnet_tests::{Host, Net, any_port, local, until, within};
use tokio::time::{Instant, timeout};

const ALPN: &[u8] = b"rpcnet-gossip/1";
/// The code of a gossip connection's close when the peer is refused.
const REFUSED: u32 = 1;
/// The code of its close when the peer has opened too many others.
const REPLACED: u32 = 2;
/// The code with which a stream is stopped that holds too much.
const TOO_LARGE: u32 = 3;

/// Two nodes that know each other, and their authority.
struct Pair {
    net: Net,
    first: Host,
    second: Host,
}

impl Pair {
    async fn start() -> Self {
        let net = Net::quic();
        let first = Host::start(&net, any_port(), local(&[]), |_| {}).await;
        let second = Host::start(&net, any_port(), local(&[first.addr()]), |_| {}).await;
        let pair = Self { net, first, second };
        pair.is_well().await;
        pair
    }

    fn ca(&self) -> &DevCa {
        match &self.net {
            Net::Quic(ca) => ca,
            _ => unreachable!("made over QUIC"),
        }
    }

    /// Both are alive in the other's eyes, nobody else is, and news gets through.
    async fn is_well(&self) {
        for host in [&self.first, &self.second] {
            host.sees(2).await;
        }
        static NEWS: AtomicU64 = AtomicU64::new(0);
        let news = NEWS.fetch_add(1, Ordering::Relaxed).to_string();
        self.first.cluster.set_tag("news", &news);
        let mut view = self.second.cluster.view();
        let told = view.wait_for(|view| {
            view.iter().any(|member| {
                member.id() == self.first.id()
                    && member.tags().get("news").is_some_and(|found| *found == news)
            })
        });
        within(told).await.expect("the node lives");
    }

    /// The connector of a peer that sends arbitrary bytes; its certificate is good.
    fn connector(&self) -> Connector {
        self.net.channel().connector().expect("complete")
    }

    async fn dial(&self) -> Connection {
        let addr = self.first.addr().to_string();
        self.connector().dial(&addr, ALPN, &DialOptions::default()).await.expect("its certificate is good")
    }

    /// A peer that has said a hello as it should be.
    async fn greeted(&self) -> (Connection, Identity) {
        let connection = self.dial().await;
        let identity = Identity::new(SocketAddr::from(([127, 0, 0, 1], 9)), NodeId::from_u128(7), 1);
        greet(&connection, "dev", identity).await;
        (connection, identity)
    }

    fn dropped(&self, reason: &str) -> bool {
        let line = format!("gossip_dropped_total{{reason=\"{reason}\"}}");
        self.first.server.metrics().render().contains(&line)
    }
}

/// Says hello as a node does, and waits for the other's.
async fn greet(connection: &Connection, cluster: &str, identity: Identity) {
    let mut stream = connection.open_uni().await.expect("it stands");
    write_frame(&mut stream, &encode(&connection.remote_addr()).expect("plain data")).await;
    // Versions, cluster, identity, one life of a process, and what later versions may add.
    let hello = ((1u8, 1u8), cluster, identity, (identity.generation(), 0u64), &b"unknown"[..]);
    write_frame(&mut stream, &encode(&hello).expect("plain data")).await;
    stream.finish();
    // It says hello too, unless it has refused ours by then.
    if let Ok(mut theirs) = connection.accept_uni().await {
        let _ = theirs.read_to_end(4096).await;
    }
}

async fn write_frame(stream: &mut SendStream, body: &[u8]) {
    let mut frame = u16::try_from(body.len()).expect("short").to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    stream.write(frame.into()).await.expect("it is read");
}

async fn is_refused(connection: &Connection) {
    let end = within(connection.closed()).await;
    assert!(matches!(end, ConnectionError::Closed { code: REFUSED, .. }), "{end}");
}

/// A server's configuration with a certificate of one authority that trusts what it is told.
fn server(cert: &DevCert, trusted: &str) -> ServerConfigBuilder {
    ServerConfig::builder()
        .with_cert_and_key(&cert.cert, &cert.key)
        .and_then(|builder| builder.with_ca_cert(trusted))
        .expect("just issued")
        .with_bind_addr(any_port())
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_join() {
    let pair = Pair::start().await;
    let other = DevCa::generate().expect("a CA");
    let cert = other.issue("stranger").expect("a certificate");
    // One refuses the cluster's certificates, and one would take them: then the cluster refuses its.
    let both = format!("{}{}", other.ca_pem(), pair.ca().ca_pem());
    let closed = Host::start_with(server(&cert, other.ca_pem()), local(&[pair.first.addr()]), |_| {}).await;
    let open = Host::start_with(server(&cert, &both), local(&[pair.first.addr()]), |_| {}).await;
    for stranger in [&closed, &open] {
        refuses(&stranger.server.connector(), pair.first.addr()).await;
        assert_eq!(stranger.cluster.node_count().await, 1);
    }
    pair.is_well().await;
    assert_eq!(pair.first.cluster.nodes().await.members.len(), 2);
}

/// Waits until this address has refused a gossip connection for its certificate.
async fn refuses(connector: &Connector, addr: SocketAddr) {
    let error = match connector.dial(&addr.to_string(), ALPN, &DialOptions::default()).await {
        Ok(connection) => within(connection.closed()).await,
        Err(rpcnet::ConnectError::Handshake { source, .. }) => source,
        Err(error) => panic!("{error}"),
    };
    assert!(error.is_certificate(), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_cluster_does_not_join() {
    let pair = Pair::start().await;
    let options = DevCertOptions::new("stranger").with_cluster("another");
    let cert = pair.ca().issue_with(&options).expect("a certificate");
    let stranger =
        Host::start_with(server(&cert, pair.ca().ca_pem()), local(&[pair.first.addr()]), |_| {}).await;
    refuses(&stranger.server.connector(), pair.first.addr()).await;
    assert_eq!(stranger.cluster.node_count().await, 1);
    pair.is_well().await;
    assert_eq!(pair.first.cluster.nodes().await.members.len(), 2);
}

#[tokio::test]
async fn a_hello_of_another_cluster_is_refused_and_counted() {
    let pair = Pair::start().await;
    let connection = pair.dial().await;
    let identity = Identity::new(SocketAddr::from(([127, 0, 0, 1], 9)), NodeId::from_u128(7), 1);
    greet(&connection, "another", identity).await;
    is_refused(&connection).await;
    until(|| pair.dropped("hello")).await;
    pair.is_well().await;
}

#[tokio::test]
async fn a_hello_that_is_none_is_refused() {
    let pair = Pair::start().await;
    let garbage: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        // Frames of 64 KiB and of nothing.
        &[0xff; 70_000],
        &[0, 0],
        // A frame that does not come to its end, and one that never begins.
        &[0, 200, 1, 2, 3],
        &[],
    ];
    for bytes in garbage {
        let connection = pair.dial().await;
        let mut stream = connection.open_uni().await.expect("it stands");
        // It may be refused before all is written.
        let _ = stream.write(bytes.to_vec().into()).await;
        stream.finish();
        is_refused(&connection).await;
    }
    until(|| pair.dropped("hello")).await;
    pair.is_well().await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_not_waited_for() {
    let pair = Pair::start().await;
    let silent = pair.dial().await;
    // One that says half of it, too.
    let half = pair.dial().await;
    let mut stream = half.open_uni().await.expect("it stands");
    write_frame(&mut stream, &encode(&half.remote_addr()).expect("plain data")).await;
    pair.is_well().await;
    is_refused(&silent).await;
    is_refused(&half).await;
    until(|| pair.dropped("hello")).await;
}

#[tokio::test]
async fn packets_of_garbage_are_dropped_and_counted() {
    let pair = Pair::start().await;
    let (connection, _) = pair.greeted().await;
    let mut sent = 0;
    // It is cut off before it has sent as many.
    for round in 0..100_000u32 {
        let packet: Vec<u8> =
            (0..64).map(|byte| (round.wrapping_mul(2_654_435_761) >> (byte % 24)) as u8).collect();
        if connection.send_datagram(packet.into()).is_err() {
            break;
        }
        sent += 1;
        if round % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    pair.is_well().await;
    until(|| pair.dropped("malformed")).await;
    is_refused(&connection).await;
    assert!((100..100_000).contains(&sent), "cut off after {sent}");
    until(|| pair.dropped("cut_off")).await;
    assert_eq!(pair.first.cluster.nodes().await.members.len(), 2);
}

#[tokio::test]
async fn a_stream_without_end_is_stopped() {
    let pair = Pair::start().await;
    let (connection, _) = pair.greeted().await;
    let mut stream = connection.open_uni().await.expect("it stands");
    let chunk = vec![0u8; 64 << 10];
    let mut written = 0;
    let error = loop {
        match within(stream.write(chunk.clone().into())).await {
            Ok(()) => written += chunk.len(),
            Err(error) => break error,
        }
        // A frame has 1 MiB, the window 2 MiB, and our own buffers begin with 4 MiB.
        assert!(written < 32 << 20);
    };
    assert_eq!(error, WriteError::Stopped(TOO_LARGE));
    until(|| pair.dropped("stream")).await;
    pair.is_well().await;
}

#[tokio::test]
async fn streams_that_stand_still_hold_up_nobody_else() {
    let pair = Pair::start().await;
    let (connection, _) = pair.greeted().await;
    let mut streams = Vec::new();
    // As many as there may be.
    for _ in 0..7 {
        let mut stream = connection.open_uni().await.expect("it stands");
        stream.write(vec![0u8; 100].into()).await.expect("there is room");
        streams.push(stream);
    }
    pair.is_well().await;
    until(|| pair.dropped("stream")).await;
    pair.is_well().await;
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let pair = Pair::start().await;
    let (connection, _) = pair.greeted().await;
    let mut events = pair.first.cluster.events();
    // Packets as the second node would send to the first.
    let now = Instant::now().into_std();
    let first = pair.first.cluster.local_identity();
    let packets = announcement(pair.second.cluster.local_identity(), first, now);
    assert!(!packets.is_empty());
    for packet in packets {
        connection.send_datagram(packet).expect("it stands");
    }
    until(|| pair.dropped("foreign_sender")).await;
    pair.is_well().await;
    while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
        assert!(matches!(event, ClusterEvent::TagsChanged(_)), "{event:?}");
    }
}

#[tokio::test]
async fn reloaded_certificates_reach_gossip() {
    let pair = Pair::start().await;
    let next = DevCa::generate().expect("a CA");
    let both = format!("{}{}", pair.ca().ca_pem(), next.ca_pem());
    let cert = next.issue("third").expect("a certificate");
    // The third comes before the others trust its authority.
    let third = Host::start_with(server(&cert, &both), local(&[pair.first.addr()]), |_| {}).await;
    refuses(&third.server.connector(), pair.first.addr()).await;
    assert_eq!(pair.first.cluster.node_count().await, 2);

    for host in [&pair.first, &pair.second] {
        host.server.reload_ca_cert(&both).await.expect("a bundle");
    }
    for host in [&pair.first, &pair.second, &third] {
        host.sees(3).await;
    }

    // Then the others get certificates of the new authority, and at last the old one is dropped.
    for host in [&pair.first, &pair.second] {
        let cert = next.issue("renewed").expect("a certificate");
        host.server.reload_certificate(&cert.cert, &cert.key).await.expect("just issued");
    }
    for host in [&pair.first, &pair.second, &third] {
        host.server.reload_ca_cert(next.ca_pem()).await.expect("a CA");
    }
    let cert = next.issue("fourth").expect("a certificate");
    let fourth = Host::start_with(server(&cert, next.ca_pem()), local(&[pair.second.addr()]), |_| {}).await;
    for host in [&pair.first, &pair.second, &third, &fourth] {
        host.sees(4).await;
    }
    let old = pair.ca().issue("late").expect("a certificate");
    let old = Channel::builder()
        .with_cert_and_key(old.cert, old.key)
        .and_then(|builder| builder.with_ca_cert(&both));
    refuses(&old.expect("just issued").connector().expect("complete"), pair.first.addr()).await;
}

/// An id that certificates are made out to.
const NAMED: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

#[tokio::test]
async fn a_peer_that_claims_another_id_than_its_certificates_is_refused_and_counted() {
    let pair = Pair::start().await;
    let cert = pair.ca().issue(NAMED).expect("a certificate");
    let channel = Channel::builder()
        .with_cert_and_key(cert.cert, cert.key)
        .and_then(|builder| builder.with_ca_cert(pair.ca().ca_pem()));
    let connector = channel.expect("just issued").connector().expect("complete");
    let dial = || async {
        let addr = pair.first.addr().to_string();
        connector.dial(&addr, ALPN, &DialOptions::default()).await.expect("its certificate is good")
    };
    let addr = SocketAddr::from(([127, 0, 0, 1], 9));
    // The id of another node is refused as well: anybody could speak for it.
    for id in [NodeId::from_u128(7), pair.second.id()] {
        let connection = dial().await;
        greet(&connection, "dev", Identity::new(addr, id, u64::MAX)).await;
        is_refused(&connection).await;
    }
    until(|| pair.dropped("certificate")).await;
    pair.is_well().await;
    let connection = dial().await;
    greet(&connection, "dev", Identity::new(addr, NAMED.parse().expect("an id"), 1)).await;
    assert_eq!(connection.close_reason(), None, "its own");
}

#[tokio::test]
async fn a_node_has_the_id_of_its_certificate() {
    let pair = Pair::start().await;
    let cert = pair.ca().issue(NAMED).expect("a certificate");
    let seeds = [pair.first.addr()];
    let configured = || server(&cert, pair.ca().ca_pem());
    let third = Host::start_with(configured(), local(&seeds), |_| {}).await;
    assert_eq!(third.id(), NAMED.parse().expect("an id"));
    for host in [&pair.first, &pair.second, &third] {
        host.sees(3).await;
    }
    let wrong = local(&seeds).with_node_id(NodeId::from_u128(7));
    let wrong =
        Server::new(configured().build().expect("complete")).expect("a port").enable_cluster(wrong).await;
    assert!(matches!(wrong, Err(ClusterError::NodeId { .. })), "{wrong:?}");
}

#[tokio::test]
async fn one_peer_has_few_connections() {
    let pair = Pair::start().await;
    let mut connections = Vec::new();
    for _ in 0..6 {
        connections.push(pair.greeted().await.0);
    }
    // The oldest go; a peer that has been restarted is not kept out by its past.
    for connection in &connections[..2] {
        let end = within(connection.closed()).await;
        assert!(matches!(end, ConnectionError::Closed { code: REPLACED, .. }), "{end}");
    }
    pair.is_well().await;
    for connection in &connections[2..] {
        assert_eq!(connection.close_reason(), None);
    }
}
