//! Clients that start, call once and end, a process each.

use std::{process::Stdio, time::Duration};

use rpcnet::{Server, ServerConfigBuilder};
use rpcnet_tests::{Net, metric, role::Pem};
use tokio::process::Command;

const CLIENTS: usize = 1000;

/// Runs one client after the other, all with one certificate; returns the server, and how many connections it has a
/// second after the last client's end.
async fn visited(
    end: &str,
    configure: impl FnOnce(ServerConfigBuilder) -> ServerConfigBuilder,
) -> (Server, f64) {
    let net = Net::quic();
    let Net::Quic(ca) = &net else { unreachable!("it has sockets") };
    let (server, _probed) = net.start_probed_with("server", configure(net.server()));
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = directory.path().join("client");
    Pem::write(ca, "client", &certificates).expect("a certificate");
    for client in 0..CLIENTS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netbed-process"));
        command.args(["visit", end, "--to", &server.local_addr().to_string(), "--certificates"]);
        // Its stdin stays open until it has ended: it ends with us.
        let child = command.arg(&certificates).stdin(Stdio::piped()).spawn();
        let mut child = child.expect("a process can be started");
        let stdin = child.stdin.take();
        let ended = child.wait().await.expect("it is a child");
        drop(stdin);
        assert!(ended.success(), "client {client}: {ended}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(metric(&server, "rpc_requests_total", "server_name"), Some(CLIENTS as f64));
    for errors in ["rpc_errors_total", "rpc_connections_refused_total", "rpc_handshakes_failed_total"] {
        assert_eq!(metric(&server, errors, "").unwrap_or_default(), 0.0, "{errors}");
    }
    let left = metric(&server, "rpc_connections", "").expect("it is always told");
    say(format_args!("{end}: {left} connections left"));
    (server, left)
}

#[expect(clippy::print_stderr, reason = "a figure, shown with --nocapture")]
fn say(text: std::fmt::Arguments<'_>) {
    eprintln!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute in a release build: .ci/full runs it"]
async fn clients_that_close_their_channel_leave_no_connections() {
    let (_server, left) = visited("close", |config| config).await;
    assert!(left <= 2.0, "{left}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute in a release build: .ci/full runs it"]
async fn clients_that_shut_their_runtime_down_leave_few_connections() {
    let (_server, left) = visited("shutdown", |config| config).await;
    assert!(left < 20.0, "{left}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute in a release build: .ci/full runs it"]
async fn clients_that_drop_their_runtime_are_not_refused() {
    // Fewer than there are clients in the time after which the server gives a silent connection up.
    let (_server, left) = visited("drop", |config| config.with_max_connections_per_peer(100)).await;
    assert!(left <= 100.0, "{left}");
}
