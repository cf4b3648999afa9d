//! What a process of the cluster does: serve, tell the runner of its life, and end with it.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use rpcnet::{Server, ServerConfig};
use rpcnet_benches::Failure;
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt, Director, Member};

use crate::{
    ledger::Ledger,
    service::{ChaosServer, Served},
};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Director,
    Worker,
}

/// How a process of the cluster is to run.
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
    end_with_parent();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_ansi(false)
        .with_writer(io::stderr)
        .try_init();
    let read = |name: &str| std::fs::read(args.certificates.join(name));
    let config = ServerConfig::builder()
        .with_cert_and_key(read("node.crt")?, read("node.key")?)?
        .with_ca_cert(read("ca.crt")?)?
        .build()?;
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
    // Before anybody can send anything: the runner's proxies must know whose packets these are.
    tell(&format!("listening {}", server.local_addr()))?;
    let cluster = server.enable_cluster(cluster).await?;
    if args.role == Role::Director {
        let _director = Director::new(&server, &cluster);
    }
    tell(&format!("id {}", cluster.local_node_id()))?;
    tokio::select! {
        ended = server.run_until(rpcnet::shutdown_signal()) => Ok(ended?),
        conflict = cluster.stopped() => Err(conflict.into()),
        failed = tell_views(&cluster) => Err(failed),
    }
}

/// Tells whom this node lists, whenever that changes.
async fn tell_views(cluster: &Cluster) -> Failure {
    let mut view = cluster.view();
    loop {
        let line = listed(&view.borrow_and_update());
        if let Err(error) = tell(&line) {
            return error.into();
        }
        if view.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn listed(members: &[Member]) -> String {
    let mut line = String::from("view");
    for member in members.iter().filter(|member| member.state().is_active()) {
        line.push_str(&format!(" {}@{}", member.id(), member.identity().addr()));
    }
    line
}

/// A line on stdout, which the runner reads.
fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Ends this process when the runner is gone, however it went. The runner's end of our stdin closes then, and where
/// this process is stopped just then, the kernel kills it.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // A thread of its own: a runtime would wait for a read that never returns when it shuts down.
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while io::stdin().lock().read(&mut rest).is_ok_and(|length| length > 0) {}
        std::process::exit(0);
    });
}
