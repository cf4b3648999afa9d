//! Certificates, authorities, names; their changes while connections stand.

use std::{net::SocketAddr, sync::Arc};

use rpcnet::{
    Channel, ChannelBuilder, Code, ConfigError, ConnectError, Limits, ProtocolFuture, ProtocolHandler,
    Server, ServerConfig, ServerConfigBuilder, ServerError,
    dev::{DevCa, DevCert, DevCertOptions},
    transport::{Connection, DialOptions},
};
use rpcnet_tests::{Event, ProbeClient, ProbeServer, ProbeService, Probed, Relay, run, shared_ca, within};
use tokio::sync::mpsc;

fn ca() -> DevCa {
    DevCa::generate().expect("a CA")
}

fn named(name: &str) -> DevCertOptions {
    DevCertOptions::new(name)
}

/// Without a node's name in it, for hosts that are not this one.
fn elsewhere(name: &str) -> DevCertOptions {
    let hosts = vec!["elsewhere.example".to_owned()];
    named(name).with_cluster("").with_hosts(vec![[192, 0, 2, 1].into()], hosts)
}

fn issue(ca: &DevCa, options: &DevCertOptions) -> DevCert {
    ca.issue_with(options).expect("a certificate")
}

fn server_config(trusts: &str, shows: &DevCert) -> ServerConfigBuilder {
    let builder = ServerConfig::builder().with_cert_and_key(&shows.cert, &shows.key).expect("just issued");
    builder.with_ca_cert(trusts).expect("just issued")
}

fn start(trusts: &str, shows: &DevCert) -> (Server, Probed) {
    let server = Server::new(server_config(trusts, shows).build().expect("complete")).expect("a free port");
    let (service, probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    run(&server);
    (server, probed)
}

fn channel(trusts: &str, shows: &DevCert) -> ChannelBuilder {
    let builder = Channel::builder().with_cert_and_key(&shows.cert, &shows.key).expect("just issued");
    builder.with_ca_cert(trusts).expect("just issued")
}

async fn connect(channel: ChannelBuilder, server: &Server) -> Result<Channel, ConnectError> {
    within(channel.connect(server.local_addr().to_string())).await
}

/// The connection was refused because of a certificate; gives the whole text.
fn refused(result: Result<Channel, ConnectError>) -> String {
    match result.expect_err("nobody should be let in") {
        ConnectError::Handshake { source, .. } if source.is_certificate() => source.to_string(),
        other => panic!("not refused for its certificate: {other:?}"),
    }
}

/// Both sides of this authority get together; one of them is then varied.
async fn pair(client: &DevCertOptions, server: &DevCertOptions) -> Result<Channel, ConnectError> {
    let ca = shared_ca();
    let (server, _probed) = start(ca.ca_pem(), &issue(ca, server));
    connect(channel(ca.ca_pem(), &issue(ca, client)), &server).await
}

#[tokio::test]
async fn peers_of_one_authority_know_each_other_by_name() {
    let ca = shared_ca();
    let (server, _probed) = start(ca.ca_pem(), &issue(ca, &named("server-1")));
    let channel = connect(channel(ca.ca_pem(), &issue(ca, &named("client-1"))), &server).await;
    let client = ProbeClient::new(channel.expect("let in"));
    assert_eq!(client.caller_name().await.expect("answered"), "client-1");
    let identity = server.identity().expect("it has a certificate");
    assert_eq!(identity.spiffe_id().expect("it has a name").to_string(), "spiffe://dev/node/server-1");
}

#[tokio::test]
async fn a_client_without_a_certificate() {
    let ca = shared_ca();
    let (server, _probed) = start(ca.ca_pem(), &issue(ca, &named("server")));
    let bare = Channel::builder().with_ca_cert(ca.ca_pem()).expect("just made");
    let text = refused(connect(bare.clone(), &server).await);
    assert!(text.contains("none was shown"), "{text}");

    let lazy = bare.connect_lazy(server.local_addr().to_string()).expect("an address");
    let error = within(ProbeClient::new(lazy).once(1)).await.expect_err("nobody should be let in");
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert!(!error.maybe_executed());
    assert!(error.to_string().contains("none was shown"), "{error}");
}

#[tokio::test]
async fn a_client_of_another_authority() {
    let (ours, theirs) = (ca(), ca());
    let (server, _probed) = start(ours.ca_pem(), &issue(&ours, &named("server")));
    let text = refused(connect(channel(ours.ca_pem(), &issue(&theirs, &named("client"))), &server).await);
    assert!(text.contains("not trusted") || text.contains("signature"), "{text}");
}

#[tokio::test]
async fn a_server_of_another_authority() {
    let (ours, theirs) = (ca(), ca());
    let (server, _probed) = start(ours.ca_pem(), &issue(&theirs, &named("server")));
    let text = refused(connect(channel(ours.ca_pem(), &issue(&ours, &named("client"))), &server).await);
    assert!(text.contains("not trusted") || text.contains("signature"), "{text}");
}

#[tokio::test]
async fn authorities_of_other_subjects() {
    let ours = ca();
    let theirs = DevCa::generate_for("prod").expect("a CA");
    let cert = |ca: &DevCa, name: &str| issue(ca, &named(name).with_cluster("dev"));
    let (server, _probed) = start(ours.ca_pem(), &cert(&ours, "server"));
    let text = refused(connect(channel(ours.ca_pem(), &cert(&theirs, "client")), &server).await);
    assert!(text.contains("its CA is not trusted"), "{text}");
    let (server, _probed) = start(ours.ca_pem(), &cert(&theirs, "server"));
    let text = refused(connect(channel(ours.ca_pem(), &cert(&ours, "client")), &server).await);
    assert!(text.contains("its CA is not trusted"), "{text}");
}

#[tokio::test]
async fn an_expired_client() {
    let text = refused(pair(&named("client").expired(), &named("server")).await);
    assert!(text.contains("it has expired"), "{text}");
}

#[tokio::test]
async fn an_expired_server() {
    let text = refused(pair(&named("client"), &named("server").expired()).await);
    assert!(text.contains("it has expired"), "{text}");
}

#[tokio::test]
async fn a_client_of_another_cluster() {
    refused(pair(&named("client").with_cluster("prod"), &named("server")).await);
}

#[tokio::test]
async fn a_server_of_another_cluster() {
    let text = refused(pair(&named("client"), &named("server").with_cluster("prod")).await);
    assert!(text.contains("\"prod\"") && text.contains("\"dev\""), "it names both clusters: {text}");
}

#[tokio::test]
async fn a_server_without_a_name_must_be_for_the_address_that_was_dialled() {
    refused(pair(&named("client"), &elsewhere("server")).await);
    pair(&named("client"), &named("server").with_cluster("")).await.expect("127.0.0.1 is in its SAN");

    let ca = shared_ca();
    let localhost = named("server").with_cluster("").with_hosts(vec![], vec!["localhost".into()]);
    let (server, _probed) = start(ca.ca_pem(), &issue(ca, &localhost));
    let client = channel(ca.ca_pem(), &issue(ca, &named("client")));
    refused(connect(client.clone(), &server).await);
    within(client.connect(format!("localhost:{}", server.local_addr().port())))
        .await
        .expect("localhost is in its SAN");
}

#[tokio::test]
async fn a_client_without_a_name_judges_servers_by_their_address() {
    let nameless = named("client").with_cluster("");
    pair(&nameless, &named("server")).await.expect("127.0.0.1 is in its SAN");
    refused(pair(&nameless, &named("server").with_hosts(vec![], vec!["elsewhere.example".into()])).await);
    let channel = pair(&nameless, &named("server")).await.expect("let in");
    let name = ProbeClient::new(channel).caller_name().await.expect("answered");
    assert_eq!(name, "localhost", "the first DNS name stands in for a node's");
}

/// Tells the names of those who dial.
struct Doorman(mpsc::UnboundedSender<String>);

const DOOR: &[u8] = b"test-door/1";

impl ProtocolHandler for Doorman {
    fn accept(&self, connection: Connection) -> ProtocolFuture<'static> {
        let _ = self.0.send(connection.peer().name().to_owned());
        Box::pin(async move {
            connection.closed().await;
        })
    }
}

/// Dials a door; gives the name that the server shows.
async fn knock(from: &Server, at: SocketAddr) -> Result<String, ConnectError> {
    let connection = within(from.connector().dial(&at.to_string(), DOOR, &DialOptions::default())).await?;
    assert_eq!(connection.protocol(), DOOR);
    Ok(connection.peer().name().to_owned())
}

#[tokio::test]
async fn a_servers_new_certificate_is_shown_in_new_handshakes() {
    let ca = shared_ca();
    let (server, mut probed) = start(ca.ca_pem(), &issue(ca, &named("before")));
    let (other, _probed) = start(ca.ca_pem(), &issue(ca, &named("other")));
    let (sender, mut visitors) = mpsc::unbounded_channel();
    let doorman = Arc::new(Doorman(sender));
    for door in [&server, &other] {
        door.handle_protocol(DOOR, doorman.clone()).expect("the first");
    }
    assert_eq!(knock(&other, server.local_addr()).await.expect("let in"), "before");
    assert_eq!(within(visitors.recv()).await.as_deref(), Some("other"));

    let client = channel(ca.ca_pem(), &issue(ca, &named("client")));
    let client = ProbeClient::new(connect(client, &server).await.expect("let in"));
    let held = tokio::spawn(client.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));

    let DevCert { cert, key } = issue(ca, &named("after"));
    server.reload_certificate(cert, key).await.expect("just issued");
    assert_eq!(server.identity().expect("it has one").name(), "after");
    assert_eq!(knock(&other, server.local_addr()).await.expect("let in"), "after");
    assert_eq!(within(visitors.recv()).await.as_deref(), Some("other"));
    // It dials with the new one, too.
    assert_eq!(knock(&server, other.local_addr()).await.expect("let in"), "other");
    assert_eq!(within(visitors.recv()).await.as_deref(), Some("after"));

    client.once(2).await.expect("the connection stands");
    probed.open_gate();
    held.await.expect("no panic").expect("the call that ran has gone on");
}

#[tokio::test]
async fn a_channels_new_certificate_is_shown_in_new_handshakes() {
    let ca = shared_ca();
    let (first, _probed) = start(ca.ca_pem(), &issue(ca, &named("first")));
    let (second, _other) = start(ca.ca_pem(), &issue(ca, &named("second")));
    let relay = Relay::start(first.local_addr()).await;
    let channel = channel(ca.ca_pem(), &issue(ca, &named("before")));
    let channel = within(channel.connect(relay.addr().to_string())).await.expect("let in");
    let client = ProbeClient::new(channel.clone());
    assert_eq!(client.caller_name().await.expect("answered"), "before");

    let DevCert { cert, key } = issue(ca, &named("after"));
    channel.reload_certificate(cert, key).await.expect("just issued");
    assert_eq!(client.caller_name().await.expect("the connection stands"), "before");
    assert_eq!(relay.dials(), 1);

    // The first sends it away; while it dials again, and in vain, calls fail at once.
    first.stop_accepting().await;
    let error = within(client.caller_name()).await.expect_err("the first takes nothing new");
    assert!(!error.maybe_executed(), "{error}");
    relay.retarget(second.local_addr());
    let name = within(async {
        loop {
            match client.caller_name().await {
                Ok(name) => break name,
                Err(error) => assert!(!error.maybe_executed(), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(name.await, "after");
}

#[tokio::test]
async fn authorities_change_without_a_gap() {
    let (old, new) = (ca(), ca());
    let both = format!("{}{}", old.ca_pem(), new.ca_pem());
    let (server, mut probed) = start(old.ca_pem(), &issue(&old, &named("server")));
    // Clients trust both from the start; what is asked here is whom the server trusts.
    let of = |ca: &DevCa, name: &str| channel(&both, &issue(ca, &named(name)));

    let standing = ProbeClient::new(connect(of(&old, "standing"), &server).await.expect("let in"));
    let held = tokio::spawn(standing.hold(1));
    assert_eq!(probed.event().await, Event::Started(1));
    refused(connect(of(&new, "early"), &server).await);

    server.reload_ca_cert(&both).await.expect("two good certificates");
    for client in [of(&old, "a"), of(&new, "b")] {
        let client = ProbeClient::new(connect(client, &server).await.expect("both are trusted"));
        client.server_name().await.expect("answered");
    }
    let DevCert { cert, key } = issue(&new, &named("server"));
    server.reload_certificate(cert, key).await.expect("just issued");

    server.reload_ca_cert(new.ca_pem()).await.expect("a good certificate");
    refused(connect(of(&old, "late"), &server).await);
    let client = ProbeClient::new(connect(of(&new, "c"), &server).await.expect("trusted"));
    client.server_name().await.expect("answered");
    standing.server_name().await.expect("the connection stands");
    probed.open_gate();
    held.await.expect("no panic").expect("the call that ran has gone on");
}

#[tokio::test]
async fn a_channel_changes_its_authorities_too() {
    let (old, new) = (ca(), ca());
    let both = format!("{}{}", old.ca_pem(), new.ca_pem());
    let (server, _probed) = start(&both, &issue(&new, &named("server")));
    let channel = channel(old.ca_pem(), &issue(&old, &named("client")));
    let channel = channel.connect_lazy(server.local_addr().to_string()).expect("an address");
    let client = ProbeClient::new(channel.clone());
    let error = within(client.server_name()).await.expect_err("of an authority that it does not trust");
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    channel.reload_ca_cert(&both).await.expect("two good certificates");
    within(async {
        while client.server_name().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The faults of this PEM text, by item.
fn assert_item(error: &ConfigError, expected: &str) {
    let item = match error {
        ConfigError::Pem { item, .. } | ConfigError::Empty { item } | ConfigError::Tls { item, .. } => item,
        other => panic!("{other:?}"),
    };
    assert_eq!(*item, expected, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

const BROKEN: &str = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn pem_text_that_can_not_be_used_is_named() {
    let ca = shared_ca();
    let (good, other) = (issue(ca, &named("good")), issue(ca, &named("other")));
    let cases = [
        ("not pem", good.key.as_str(), "certificate"),
        (BROKEN, &good.key, "certificate"),
        (&good.key, &good.key, "certificate"),
        (&good.cert, "not pem", "private key"),
        (&good.cert, &good.cert, "private key"),
        (&good.cert, &other.key, "pair of certificate and private key"),
    ];
    for (cert, key, item) in cases {
        assert_item(&ServerConfig::builder().with_cert_and_key(cert, key).expect_err("unusable"), item);
        assert_item(&Channel::builder().with_cert_and_key(cert, key).expect_err("unusable"), item);
    }
    for pem in ["", "not pem", BROKEN, NO_CERTIFICATE, &good.key] {
        let error = ServerConfig::builder().with_ca_cert(pem).expect_err("unusable");
        assert_item(&error, "CA certificate");
        assert_item(&Channel::builder().with_ca_cert(pem).expect_err("unusable"), "CA certificate");
    }
    let error = ServerConfig::builder().with_cert_and_key(NO_CERTIFICATE, &good.key).expect_err("unusable");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn what_is_missing_or_out_of_range_is_named() {
    let ca = shared_ca();
    let good = issue(ca, &named("good"));
    let no_ca = ServerConfig::builder().with_cert_and_key(&good.cert, &good.key).expect("good");
    let error = no_ca.build().expect_err("no CA");
    assert!(matches!(error, ConfigError::Missing(_, "with_ca_cert")), "{error}");
    let no_cert = ServerConfig::builder().with_ca_cert(ca.ca_pem()).expect("good");
    let error = no_cert.build().expect_err("no certificate");
    assert!(matches!(error, ConfigError::Missing(_, "with_cert_and_key")), "{error}");
    let error = Channel::builder().connect("127.0.0.1:1").await.expect_err("no CA");
    let ConnectError::Config(error) = error else { panic!("{error:?}") };
    assert!(matches!(error, ConfigError::Missing(_, "with_ca_cert")), "{error}");
    for (limits, setting) in [
        (Limits::default().with_max_message(0), "max_message"),
        (Limits::default().with_max_message(1 << 30), "max_message"),
        (Limits::default().with_default_timeout(std::time::Duration::ZERO), "default_timeout"),
        (Limits::default().with_silence(std::time::Duration::from_millis(1)), "silence"),
    ] {
        let error = server_config(ca.ca_pem(), &good).with_limits(limits).build().expect_err("out of range");
        assert!(matches!(error, ConfigError::Range { name, .. } if name == setting), "{error}");
    }
}

#[tokio::test]
async fn a_reload_that_is_refused_changes_nothing() {
    let ca = shared_ca();
    let (server, _probed) = start(ca.ca_pem(), &issue(ca, &named("server")));
    let (good, other) = (issue(ca, &named("good")), issue(ca, &named("other")));
    let error = server.reload_certificate(&good.cert, &other.key).await.expect_err("they do not match");
    let ServerError::Config(error) = error else { panic!("{error:?}") };
    assert_item(&error, "pair of certificate and private key");
    let error = server.reload_certificate("not pem", &good.key).await.expect_err("unusable");
    let ServerError::Config(error) = error else { panic!("{error:?}") };
    assert_item(&error, "certificate");
    let error = server.reload_ca_cert(BROKEN).await.expect_err("unusable");
    let ServerError::Config(error) = error else { panic!("{error:?}") };
    assert_item(&error, "CA certificate");

    assert_eq!(server.identity().expect("it has one").name(), "server");
    let channel = channel(ca.ca_pem(), &issue(ca, &named("client")));
    let channel = connect(channel, &server).await.expect("let in as before");
    let error = channel.reload_certificate(&good.cert, &other.key).await.expect_err("they do not match");
    assert_item(&error, "pair of certificate and private key");
    let error = channel.reload_ca_cert("").await.expect_err("unusable");
    assert_item(&error, "CA certificate");
    ProbeClient::new(channel).server_name().await.expect("answered");
}
