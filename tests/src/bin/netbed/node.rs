//! A director or a worker.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use rpcnet::{Server, ServerConfig};
use rpcnet_benches::Failure;
use rpcnet_cluster::ClusterConfig;
use rpcnet_tests::role::{self, Pem};

use crate::service::{Clerk, DeskServer};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Director,
    Worker,
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    kind: Kind,
    #[arg(long)]
    bind: SocketAddr,
    /// Its label, and the name that a worker answers with.
    #[arg(long)]
    name: String,
    /// Has `ca.crt`, `node.crt`, `node.key`.
    #[arg(long)]
    certificates: PathBuf,
    #[arg(long, value_delimiter = ',')]
    seeds: Vec<String>,
}

/// Runs it until SIGTERM.
pub(crate) async fn run(node: Node) -> Result<(), Failure> {
    let Pem { cert, key, ca } = Pem::read(&node.certificates)?;
    let config = ServerConfig::builder()
        .with_bind_addr(node.bind)
        .with_cert_and_key(cert, key)?
        .with_ca_cert(ca)?
        .build()?;
    let server = Server::new(config)?;
    let mut cluster = ClusterConfig::default().with_seeds(&node.seeds).with_tag("label", &node.name);
    if node.kind == Kind::Worker {
        server.register(DeskServer::new(Clerk { name: node.name }))?;
        cluster = cluster.with_tag("role", "worker");
    }
    role::run_node(&server, cluster, node.kind == Kind::Director).await
}
