//! Addresses, settings, and servers that can't start.

use std::{io, net::SocketAddr, time::Duration};

use rpcnet::{
    Channel, Limits, Server, ServerConfig,
    resolve::{HostPort, Resolve, ResolveFuture},
    testing::Network,
};
use rpcnet_tests::{Net, free_addr, shared_ca};

use super::table::Table;

/// Knows no name.
#[derive(Debug)]
struct NoNames;

impl Resolve for NoNames {
    fn resolve(&self, _: &HostPort) -> ResolveFuture {
        Box::pin(async { Err(io::Error::new(io::ErrorKind::NotFound, "no such name")) })
    }
}

pub(crate) async fn addresses(table: &mut Table) {
    table.section("Addresses");
    let network = Network::new();
    let channel = || Channel::builder().with_network(&network);
    for (mistake, address, words) in [
        (
            "an address without a port",
            "worker-1.example",
            ["is not an address", "worker-1.example", "add the port"],
        ),
        (
            "a URL for an address",
            "http://worker-1.example:8081",
            ["is not an address", "http://", "worker-1.example"],
        ),
        (
            "a port that is no number",
            "worker-1.example:http",
            ["is not an address", "worker-1.example:http", "1 to 65535"],
        ),
        ("port 0", "127.0.0.1:0", ["can't be dialled", "127.0.0.1:0", "write the port"]),
        ("nothing", "", ["is not an address", "\"\"", "write"]),
    ] {
        table.row(mistake, &channel().connect(address).await.expect_err(mistake), words);
    }
    let error =
        channel().with_resolver(NoNames).connect("worker-1.exmaple:8081").await.expect_err("no such name");
    table.row(
        "a name that does not resolve",
        &error,
        ["does not resolve", "worker-1.exmaple", "check the name"],
    );
    let silent = free_addr();
    let error = Net::quic()
        .channel()
        .with_connect_timeout(Duration::from_millis(50))
        .connect(silent.to_string())
        .await
        .expect_err("nobody listens");
    table.row(
        "an address at which nobody listens",
        &error,
        ["did not answer", "127.0.0.1", "check that a server listens"],
    );
}

pub(crate) async fn settings(table: &mut Table) {
    table.section("Settings");
    let cert = shared_ca().issue("server").expect("a certificate");
    let no_ca = ServerConfig::builder().with_cert_and_key(&cert.cert, &cert.key).expect("good");
    table.row(
        "a server without a CA",
        &no_ca.build().expect_err("no CA"),
        ["is missing", "the CA certificate", "with_ca_cert"],
    );
    let no_cert = ServerConfig::builder().with_ca_cert(shared_ca().ca_pem()).expect("good");
    let error = no_cert.build().expect_err("no certificate");
    table.row(
        "a server without a certificate",
        &error,
        ["is missing", "the server's certificate", "with_cert_and_key"],
    );
    let error = Channel::builder().connect("127.0.0.1:1").await.expect_err("no CA");
    table.row("a channel without a CA", &error, ["is missing", "the CA certificate", "with_ca_cert"]);
    let network = Network::new();
    let server = || ServerConfig::builder().with_network(&network);
    let limits = Limits::default();
    for (mistake, limits, words) in [
        ("messages of no size", limits.with_max_message(0), ["is 0", "max_message", "between 1 byte"]),
        ("messages of 1 GiB", limits.with_max_message(1 << 30), ["is 1073741824", "max_message", "256 MiB"]),
        (
            "a deadline of zero",
            limits.with_default_timeout(Duration::ZERO),
            ["is 0", "default_timeout", "more than zero"],
        ),
        (
            "dead after a millisecond",
            limits.with_silence(Duration::from_millis(1)),
            ["is 1", "silence", "at least 100 ms"],
        ),
        ("a window of a byte", limits.with_receive_window(1), ["is 1", "receive_window", "between 64 KiB"]),
    ] {
        let error = server().with_limits(limits).build().expect_err(mistake);
        table.row(mistake, &error, words);
    }
    let error = server().with_max_connections(0).build().expect_err("no connections");
    table.row("no connections", &error, ["is 0", "max_connections", "between 1 and"]);
}

pub(crate) async fn servers(table: &mut Table) {
    table.section("Servers");
    let net = Net::quic();
    let first = Server::new(net.server().build().expect("complete")).expect("a free port");
    let config = move |addr: SocketAddr| net.server().with_bind_addr(addr).build().expect("complete");
    let error = Server::new(config(first.local_addr())).expect_err("it is taken");
    table.row("a port in use", &error, ["can't bind", "127.0.0.1", "take another port"]);
    let error = Server::new(config(SocketAddr::from(([192, 0, 2, 1], 0)))).expect_err("not of this host");
    table.row("an address of another host", &error, ["can't bind", "192.0.2.1", "0.0.0.0"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let error =
        rpcnet::admin::serve(&first, taken.local_addr().expect("bound")).await.expect_err("it is taken");
    table.row(
        "an admin address in use",
        &error,
        ["can't bind", "for the admin endpoint", "take another port"],
    );
    first.shutdown().await.expect("it runs");
    let error = first.run().await.expect_err("it was shut down");
    table.row("a server that runs again", &error, ["shut down", "the server", "make a new one"]);
    let error = std::thread::spawn(move || Server::new(config(([127, 0, 0, 1], 0).into())).map(drop));
    let error = tokio::task::spawn_blocking(|| error.join()).await.expect("no panic").expect("no panic");
    let error = error.expect_err("no runtime");
    table.row("a server outside of a runtime", &error, ["no tokio runtime", "here", "Runtime::enter"]);
}
