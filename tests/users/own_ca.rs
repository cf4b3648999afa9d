//! The book's script for a certificate authority of one's own: its files are all that a server and a client need.

use std::{fs, path::Path, process::Command};

use rpcnet::{Channel, Server, ServerConfig};
use rpcnet_tests::{ProbeClient, ProbeServer, ProbeService, run, within};

const CHAPTER: &str = include_str!("../../book/src/certificates.md");

/// The shell block under this heading of the chapter.
fn script(heading: &str) -> &'static str {
    let (_, section) = CHAPTER.split_once(heading).expect("the chapter has the heading");
    let (_, block) = section.split_once("```sh\n").expect("a shell block under it");
    block.split_once("```").expect("the end of the block").0
}

/// The certificate and the key in this directory, and the CA that it trusts.
fn files(directory: &Path) -> [Vec<u8>; 3] {
    ["node.crt", "node.key", "ca.crt"].map(|name| fs::read(directory.join(name)).expect("the script made it"))
}

fn run_script(directory: &Path, script: &str) {
    let output = Command::new("sh").arg("-c").arg(script).current_dir(directory).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
fn nobody_else_reads(key: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(key).expect("the script made it").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{key:?}: {mode:o}");
}

#[cfg(not(unix))]
fn nobody_else_reads(_: &Path) {}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
async fn the_books_script_makes_certificates_that_work() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    run_script(directory.path(), script("## A CA for production"));
    nobody_else_reads(&directory.path().join("ca.key"));
    nobody_else_reads(&directory.path().join("worker-1/node.key"));

    let [cert, key, ca] = files(&directory.path().join("worker-1"));
    let config = ServerConfig::builder().with_cert_and_key(cert, key).expect("usable");
    let server = Server::new(config.with_ca_cert(ca).expect("usable").build().expect("complete"));
    let server = server.expect("a free port");
    let identity = server.identity().expect("it has a certificate");
    assert_eq!(identity.spiffe_id().expect("a URI SAN").to_string(), "spiffe://wordcount/node/worker-1");
    assert_eq!(identity.dns_names(), ["worker-1.example"]);
    assert_eq!(identity.ip_addresses(), ["10.0.0.11".parse::<std::net::IpAddr>().expect("an address")]);
    let (service, _probed) = ProbeService::new("server");
    server.register(ProbeServer::new(service)).expect("the first of its name");
    run(&server);

    // At an address that no certificate names: cluster and CA are the same.
    let [cert, key, ca] = files(&directory.path().join("client-1"));
    let channel = Channel::builder().with_cert_and_key(cert, key).expect("usable");
    let channel = channel.with_ca_cert(ca).expect("usable").connect(server.local_addr().to_string());
    let channel = within(channel).await.expect("let in");
    let client = ProbeClient::new(channel.clone());
    assert_eq!(client.caller_name().await.expect("answered"), "client-1");

    // A node's certificate is good for dialling, too, and so in place of the client's.
    let [cert, key, _] = files(&directory.path().join("director-1"));
    channel.reload_certificate(cert, key).await.expect("in force, and of the same CA");
    channel.close().await;
}
