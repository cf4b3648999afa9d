//! Refused certificates: both sides say which, by whom and why; a reload that would make peers refuse is refused.

use std::{
    io,
    sync::{Arc, Mutex},
};

use rpcnet::{Channel, ChannelBuilder, ConfigError, ConnectError, Server, ServerError, dev::DevCert};
use rpcnet_tests::{
    ProbeClient,
    certificates::{bare, ca_of, client, issue, named, server},
    within,
};
use tracing_subscriber::fmt::MakeWriter;

async fn connect(client: ChannelBuilder, server: &Server) -> Result<Channel, ConnectError> {
    within(client.connect(server.local_addr().to_string())).await
}

/// A log of the thread it was made on, from `warn` on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, impl Sized) {
        use tracing_subscriber::util::SubscriberInitExt;

        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
        let guard = subscriber.finish().set_default();
        (log, guard)
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("a log is text");
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Connects and is refused. Gives the client's error, and what the server's log says, once it says something.
async fn refused(client: ChannelBuilder, server: &Server) -> (String, String) {
    let (log, _guard) = Log::start();
    let error = connect(client, server).await.expect_err("nobody should be let in").to_string();
    let line = within(async {
        loop {
            match log.lines("handshake refused").pop() {
                Some(line) => break line,
                None => tokio::task::yield_now().await,
            }
        }
    });
    (error, line.await)
}

/// Both ends say all of this.
fn assert_told((error, line): &(String, String), words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "the client does not say {word:?}: {error}");
        assert!(line.contains(word), "the server's log does not say {word:?}: {line}");
    }
    assert!(line.contains("peer=127.0.0.1:"), "{line}");
    assert!(!error.contains("Other("), "{error}");
}

const BY_SERVER: &str = "the server refused the client's certificate CN=client ";
const BY_CLIENT: &str = "the client refused the server's certificate CN=server ";

#[tokio::test]
async fn a_client_of_another_ca() {
    let (ours, theirs) = (ca_of("ours"), ca_of("theirs"));
    let server = server(&ours, &issue(&ours, &named("server")));
    let told = refused(client(&ours, &issue(&theirs, &named("client"))), &server).await;
    assert_told(
        &told,
        &[
            BY_SERVER,
            "issued by CN=rpcnet development CA of theirs",
            "spiffe://dev/node/client",
            "its CA is not trusted",
            "the server trusts CN=rpcnet development CA of ours",
            "with_ca_cert",
        ],
    );
}

#[tokio::test]
async fn a_server_of_another_ca() {
    let (ours, theirs) = (ca_of("ours"), ca_of("theirs"));
    let server = server(&ours, &issue(&theirs, &named("server")));
    let told = refused(client(&ours, &issue(&ours, &named("client"))), &server).await;
    assert_told(
        &told,
        &[
            BY_CLIENT,
            "issued by CN=rpcnet development CA of theirs",
            "its CA is not trusted",
            "the client trusts CN=rpcnet development CA of ours",
        ],
    );
}

#[tokio::test]
async fn a_client_with_the_wrong_ca() {
    let (ours, theirs) = (ca_of("ours"), ca_of("theirs"));
    let server = server(&ours, &issue(&ours, &named("server")));
    let told = refused(client(&theirs, &issue(&ours, &named("client"))), &server).await;
    assert_told(&told, &[BY_CLIENT, "the client trusts CN=rpcnet development CA of theirs"]);
}

#[tokio::test]
async fn a_ca_of_the_same_name_with_another_key() {
    let (ours, theirs) = (ca_of("dev"), ca_of("dev"));
    let first = server(&ours, &issue(&ours, &named("server")));
    let told = refused(client(&ours, &issue(&theirs, &named("client"))), &first).await;
    assert_told(&told, &[BY_SERVER, "its CA is not trusted", "but another key"]);
    let second = server(&ours, &issue(&theirs, &named("server")));
    let told = refused(client(&ours, &issue(&ours, &named("client"))), &second).await;
    assert_told(&told, &[BY_CLIENT, "its CA is not trusted", "but another key"]);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told_so() {
    let ca = ca_of("dev");
    let server = server(&ca, &issue(&ca, &named("server")));
    let told = refused(bare(&ca), &server).await;
    assert_told(
        &told,
        &["the server demands a certificate of the client, and none was shown", "with_cert_and_key"],
    );
}

/// The server has a node's name, and none for the address: without a cluster of its own the client can't judge it.
#[tokio::test]
async fn a_missing_client_certificate_is_not_blamed_on_the_servers_name() {
    let ca = ca_of("dev");
    let elsewhere = named("server").with_hosts(vec![], vec!["server.example".into()]);
    let server = server(&ca, &issue(&ca, &elsewhere));
    let told = refused(bare(&ca), &server).await;
    assert_told(&told, &[BY_CLIENT, "the client has no certificate", "with_cert_and_key"]);
}

#[tokio::test]
async fn certificates_out_of_their_time() {
    let ca = ca_of("dev");
    let good = server(&ca, &issue(&ca, &named("server")));
    let told = refused(client(&ca, &issue(&ca, &named("client").expired())), &good).await;
    assert_told(&told, &[BY_SERVER, "it has expired (2020-01-01T00:00:00Z", "reload_certificate"]);
    let told = refused(client(&ca, &issue(&ca, &named("client").not_yet_valid())), &good).await;
    assert_told(&told, &[BY_SERVER, "it is not valid yet (2100-01-01T00:00:00Z", "clock"]);
    let old = server(&ca, &issue(&ca, &named("server").expired()));
    let told = refused(client(&ca, &issue(&ca, &named("client"))), &old).await;
    assert_told(&told, &[BY_CLIENT, "it has expired (2020-01-01T00:00:00Z"]);
}

#[tokio::test]
async fn another_cluster_or_name() {
    let ca = ca_of("dev");
    let prod = server(&ca, &issue(&ca, &named("server").with_cluster("prod")));
    let told = refused(client(&ca, &issue(&ca, &named("client"))), &prod).await;
    assert_told(&told, &[BY_CLIENT, "it is of cluster \"prod\", and the client is of cluster \"dev\""]);

    let hosts = vec!["server.example".to_owned()];
    let nameless = named("server").with_cluster("").with_hosts(vec![[192, 0, 2, 1].into()], hosts);
    let elsewhere = server(&ca, &issue(&ca, &nameless));
    let told = refused(client(&ca, &issue(&ca, &named("client"))), &elsewhere).await;
    assert_told(
        &told,
        &[
            BY_CLIENT,
            "for server.example, 192.0.2.1",
            "\"127.0.0.1\", which was dialled, is not among its names",
        ],
    );
}

#[tokio::test]
async fn the_log_is_told_once_of_a_peer_that_tries_again() {
    let (ours, theirs) = (ca_of("ours"), ca_of("theirs"));
    let server = server(&ours, &issue(&ours, &named("server")));
    let (log, _guard) = Log::start();
    let wrong = issue(&theirs, &named("client"));
    for _ in 0..5 {
        connect(client(&ours, &wrong), &server).await.expect_err("of another CA");
    }
    // A further peer's, behind theirs: then all of theirs have been seen.
    connect(bare(&ours), &server).await.expect_err("without a certificate");
    within(async {
        while log.lines("none was shown").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let lines = log.lines("handshake refused");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains(BY_SERVER) && lines[1].contains("suppressed=4"), "{lines:#?}");
    let metrics = server.metrics().render();
    assert!(metrics.contains("rpc_handshakes_failed_total{reason=\"certificate\"} 6"), "{metrics}");
}

/// A certificate that peers would refuse is refused wherever it is reloaded, and the one before goes on.
#[tokio::test]
async fn a_reload_that_would_lock_peers_out_is_refused() {
    let (ca, other) = (ca_of("dev"), ca_of("other"));
    let server = server(&ca, &issue(&ca, &named("server")));
    let channel = connect(client(&ca, &issue(&ca, &named("client"))), &server).await.expect("let in");
    let connector = server.connector();
    let expired = issue(&ca, &named("late").expired());
    let early = issue(&ca, &named("early").not_yet_valid());
    let foreign = issue(&other, &named("foreign"));
    for (certificate, expected) in [(&expired, "expired"), (&early, "early"), (&foreign, "foreign")] {
        let DevCert { cert, key } = certificate;
        let of_server = match server.reload_certificate(cert, key).await.expect_err(expected) {
            ServerError::Config(error) => error,
            other => panic!("{other:?}"),
        };
        let of_channel = channel.reload_certificate(cert, key).await.expect_err(expected);
        let of_connector = connector.reload_certificate(cert, key).expect_err(expected);
        for error in [of_server, of_channel, of_connector] {
            let text = error.to_string();
            assert!(text.contains("the one before stays in force"), "{text}");
            match (expected, &error) {
                ("expired", ConfigError::Expired { not_after, .. }) => {
                    assert!(*not_after < std::time::SystemTime::now());
                    assert!(text.contains("CN=late") && text.contains("2020-01-01T00:00:00Z"), "{text}");
                }
                ("early", ConfigError::NotYetValid { .. }) => {
                    assert!(text.contains("CN=early") && text.contains("2100-01-01T00:00:00Z"), "{text}");
                }
                ("foreign", ConfigError::Untrusted { .. }) => {
                    assert!(text.contains("CN=foreign") && text.contains("CA of dev"), "{text}");
                }
                (expected, error) => panic!("{expected}: {error:?}"),
            }
        }
    }
    assert_eq!(server.identity().expect("it has one").name(), "server");
    connect(client(&ca, &issue(&ca, &named("next"))), &server).await.expect("let in as before");
    assert_eq!(ProbeClient::new(channel).caller_name().await.expect("answered"), "client");

    // Once the CA is trusted beside the other, its certificate is taken.
    server.reload_ca_cert(format!("{}{}", ca.ca_pem(), other.ca_pem())).await.expect("good");
    server.reload_certificate(&foreign.cert, &foreign.key).await.expect("of a trusted CA");
}

/// Where the other side alone trusts a client's CA, the client can't judge its own certificate.
#[tokio::test]
async fn a_client_of_a_ca_that_servers_alone_trust_may_reload() {
    let (servers, clients) = (ca_of("servers"), ca_of("clients"));
    let server = server(&clients, &issue(&servers, &named("server")));
    let channel =
        connect(client(&servers, &issue(&clients, &named("before"))), &server).await.expect("let in");
    let DevCert { cert, key } = issue(&clients, &named("after"));
    channel.reload_certificate(cert, key).await.expect("like the one before");
    let DevCert { cert, key } = issue(&clients, &named("late").expired());
    let error = channel.reload_certificate(cert, key).await.expect_err("expired");
    assert!(matches!(error, ConfigError::Expired { .. }), "{error}");
}

#[tokio::test]
async fn a_node_that_starts_with_a_useless_certificate_says_so() {
    let (ca, other) = (ca_of("dev"), ca_of("other"));
    let (log, _guard) = Log::start();
    let _expired = server(&ca, &issue(&ca, &named("late").expired()));
    let _foreign = server(&ca, &issue(&other, &named("foreign")));
    assert_eq!(log.lines("this side's certificate has expired, peers will refuse it").len(), 1);
    assert_eq!(log.lines("this side's certificate is of a CA that it does not trust itself").len(), 1);
    let _good = server(&ca, &issue(&ca, &named("good")));
    assert_eq!(log.lines("this side's certificate").len(), 2);
}

const BOM: &str = "\u{feff}";

#[test]
fn a_byte_order_mark_is_skipped() {
    let (ca, other) = (ca_of("dev"), ca_of("other"));
    let DevCert { cert, key } = issue(&ca, &named("good"));
    let builder = Channel::builder()
        .with_cert_and_key(format!("{BOM}{cert}"), format!("{BOM}{key}"))
        .expect("text of an editor that puts a mark before it");
    // Files that were put together have marks in between.
    builder.with_ca_cert(format!("{BOM}{}{BOM}{}", ca.ca_pem(), other.ca_pem())).expect("two CAs");
}

#[test]
fn a_chain_and_its_key_may_stand_in_one_text() {
    let DevCert { cert, key } = issue(&ca_of("dev"), &named("good"));
    for both in [format!("{cert}{key}"), format!("{key}{cert}")] {
        Channel::builder().with_cert_and_key(&both, &both).expect("each finds what it wants");
    }
}
