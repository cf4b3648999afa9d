//! A process of the cluster: serves, tells the runner of its life, and ends with it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use rpcnet::{Server, ServerConfig};
use rpcnet_benches::Failure;
use rpcnet_cluster::ClusterConfig;
use rpcnet_tests::role::{self, Pem};

use crate::{
    ledger::Ledger,
    service::{ChaosServer, Served},
};

/// The kind of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Director,
    Worker,
}

/// The arguments of a process of the cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct RoleArgs {
    #[arg(long)]
    pub(crate) role: Role,
    /// Names files of this life: it is no other life's.
    #[arg(long)]
    pub(crate) name: String,
    /// Has `ca.crt`, `node.crt`, `node.key`.
    #[arg(long)]
    pub(crate) certificates: PathBuf,
    /// Where ledgers are written.
    #[arg(long)]
    pub(crate) ledgers: PathBuf,
    /// Keeps id and members across restarts.
    #[arg(long)]
    pub(crate) snapshot: Option<PathBuf>,
    /// Where others reach it: a proxy.
    #[arg(long)]
    pub(crate) advertise: SocketAddr,
    #[arg(long, value_delimiter = ',')]
    pub(crate) seeds: Vec<String>,
}

/// Runs it until SIGTERM.
pub(crate) async fn run(args: RoleArgs) -> Result<(), Failure> {
    role::begin();
    let Pem { cert, key, ca } = Pem::read(&args.certificates)?;
    let config = ServerConfig::builder().with_cert_and_key(cert, key)?.with_ca_cert(ca)?.build()?;
    let server = Server::new(config)?;
    let mut cluster = ClusterConfig::default()
        .with_seeds(&args.seeds)
        .with_advertise_addr(args.advertise)
        .with_tag("label", &args.name);
    if args.role == Role::Worker {
        let ledger = Arc::new(Ledger::create(&args.ledgers, &args.name)?);
        server.register(ChaosServer::new(Served { ledger }))?;
        cluster = cluster.with_tag("role", "worker");
    }
    if let Some(directory) = args.snapshot {
        cluster = cluster.with_snapshot_dir(directory);
    }
    role::run_node(&server, cluster, args.role == Role::Director).await
}
