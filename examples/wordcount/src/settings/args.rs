//! The command-line flags. They are parsed as text and read together with the other layers, so that every layer has the
//! same errors.

use std::path::PathBuf;

use clap::{Args, Parser};

/// Flags of all binaries.
#[derive(Debug, Clone, Default, Args)]
pub struct SharedArgs {
    /// Read settings from this TOML file; flags and the environment override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory with ca.crt, node.crt and node.key [env: RPCNET_CERT_DIR]
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<String>,
    /// Use a development CA, made if it is missing: for trying things out on one machine
    #[arg(long)]
    pub dev_certs: bool,
    /// Where others reach this process, if not where it listens [env: ADVERTISE_ADDR]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_addr: Option<String>,
    /// Log filter for stderr, such as info or rpcnet=debug [env: RUST_LOG]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Flags of the binaries that are members of the cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct NodeArgs {
    /// Region to announce, such as us-east [env: REGION]
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Gossip on a UDP socket of its own, on port 7946 where only an IP is given [env: BIND_ADDR] [default: the one for calls]
    #[arg(long, value_name = "IP[:PORT]")]
    pub bind_addr: Option<String>,
    /// Serve /metrics, /healthz and /readyz over HTTP here [env: METRICS_ADDR]
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_addr: Option<String>,
}

/// Tells clients which workers there are
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "director", version)]
pub struct DirectorArgs {
    /// Where to listen [env: DIRECTOR_ADDR] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub addr: Option<String>,
    /// Nodes of the cluster to join, comma separated [env: SEED_NODES]
    #[arg(long, value_name = "HOST:PORT,..")]
    pub seed_nodes: Vec<String>,
    /// Name to show [env: NODE_LABEL]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Flags of members.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Flags of all binaries.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Counts the words of text that it is sent
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "worker", version)]
pub struct WorkerArgs {
    /// Where to listen [env: WORKER_ADDR] [default: 127.0.0.1:8081]
    #[arg(long, value_name = "IP:PORT")]
    pub addr: Option<String>,
    /// Directors to join, comma separated [env: DIRECTOR_ADDR] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT,..")]
    pub director_addr: Vec<String>,
    /// Further nodes of the cluster to join, comma separated [env: SEED_NODES]
    #[arg(long, value_name = "HOST:PORT,..")]
    pub seed_nodes: Vec<String>,
    /// Name to show [env: WORKER_LABEL]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Flags of members.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Flags of all binaries.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Flags of binaries that make calls in a cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct CallerArgs {
    /// Directors to ask for workers, comma separated [env: DIRECTOR_ADDR] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT,..")]
    pub director_addr: Vec<String>,
    /// Flags of all binaries.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Counts the words of files and directories on the workers of a cluster
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "client", version)]
pub struct ClientArgs {
    /// Files and directories to count
    #[arg(value_name = "PATH")]
    pub inputs: Vec<PathBuf>,
    /// Directors to ask for workers, comma separated [env: DIRECTOR_ADDR] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT,..")]
    pub director_addr: Vec<String>,
    /// Number of most frequent words to print [default: 20]
    #[arg(long, value_name = "N")]
    pub top: Option<String>,
    /// Approximate number of bytes of text in a call [default: 65536]
    #[arg(long, value_name = "N")]
    pub chunk_bytes: Option<String>,
    /// Most calls that may be under way at once [default: 64]
    #[arg(long, value_name = "N")]
    pub in_flight: Option<String>,
    /// Count again and again until so many seconds have passed [default: 0, which is once]
    #[arg(long, value_name = "N")]
    pub seconds: Option<String>,
    /// Print progress and result as JSON lines.
    #[arg(long, hide = true)]
    pub json_lines: bool,
    /// Flags of all binaries.
    #[command(flatten)]
    pub shared: SharedArgs,
}
