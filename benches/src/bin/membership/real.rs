//! A cluster of real nodes within this process: sockets on loopback, certificates, gossip over QUIC.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rpcnet::{Server, ServerConfig, dev::DevCa};
use rpcnet_benches::{Row, cpu_time};
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt};
use tokio::time::{Instant, sleep};

use super::{
    Failure,
    figures::{Plan, target},
};

pub(crate) const PREFIX: &str = "membership/real/";

/// The longest wait for a cluster to come together. After it the cluster is measured as it is.
const PATIENCE: Duration = Duration::from_secs(120);
/// The interval at which all nodes are asked how many nodes they list. Asking takes time from the measured work.
const LOOK: Duration = Duration::from_millis(50);

struct Node {
    server: Server,
    cluster: Cluster,
}

pub(crate) fn measure(count: usize, plan: Plan<'_>) -> Result<Vec<Row>, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(count, plan))
}

async fn run(count: usize, plan: Plan<'_>) -> Result<Vec<Row>, Failure> {
    let ca = DevCa::generate()?;
    // Making keys is not measured.
    let mut servers = Vec::new();
    for index in 0..count {
        let own = ca.issue(&format!("node-{index}"))?;
        let config = ServerConfig::builder()
            .with_bind_addr((Ipv4Addr::LOCALHOST, 0).into())
            .with_cert_and_key(&own.cert, &own.key)?
            .with_ca_cert(ca.ca_pem())?
            .build()?;
        servers.push(config);
    }
    let memory = resident()?;
    let cpu = cpu_time(std::process::id())?;
    let started = Instant::now();
    let mut nodes: Vec<Node> = Vec::new();
    let mut seed: Option<SocketAddr> = None;
    for config in servers {
        let server = Server::new(config)?;
        let addr = server.local_addr();
        let seeds = seed.get_or_insert(addr).to_string();
        let cluster = server.enable_cluster(ClusterConfig::default().with_seeds([seeds])).await?;
        let running = server.clone();
        // The task ends with the runtime.
        tokio::spawn(async move { running.run().await });
        nodes.push(Node { server, cluster });
    }
    let mut least = fewest(&nodes).await;
    while least < count && started.elapsed() < PATIENCE {
        sleep(LOOK).await;
        least = fewest(&nodes).await;
    }
    let joined = started.elapsed();
    let incomplete = incomplete(&nodes).await;
    let (joining, dialled) = (cpu_time(std::process::id())? - cpu, dials(&nodes));
    sleep(plan.seconds(30)).await;

    let before = (cpu_time(std::process::id())?, dials(&nodes), loopback()?, Instant::now());
    sleep(plan.seconds(60)).await;
    let time = before.3.elapsed().as_secs_f64();
    let a_node = |figure: f64| figure / count as f64 / time;
    let cpu = (cpu_time(std::process::id())? - before.0).as_secs_f64();
    let memory = resident()?.saturating_sub(memory) as f64 / count as f64;
    let id = |name: &str| format!("{PREFIX}{name}");
    Ok(vec![
        Row::new(id("join"), joined.as_secs_f64(), "s").with_target(target("<=10")),
        Row::new(id("incomplete"), incomplete as f64, "nodes").with_target(target("==0")),
        Row::new(id("join-cpu"), joining.as_secs_f64(), "s"),
        Row::new(id("join-handshakes"), dialled / count as f64, "a node"),
        Row::new(id("idle-cpu"), a_node(cpu) * 100.0, "% of a core").with_target(target("<=0.5")),
        Row::new(id("memory"), memory, "KiB"),
        Row::new(id("handshakes-per-s"), a_node(dials(&nodes) - before.1), "1/s"),
        Row::new(id("wire-bytes-per-s"), a_node(loopback()? - before.2), "B/s"),
        Row::new(id("listed-in-the-end"), fewest(&nodes).await as f64, "nodes"),
    ])
}

async fn fewest(nodes: &[Node]) -> usize {
    let mut fewest = usize::MAX;
    for node in nodes {
        fewest = fewest.min(node.cluster.node_count().await);
    }
    fewest
}

/// The number of nodes that do not list all nodes.
async fn incomplete(nodes: &[Node]) -> usize {
    let mut incomplete = 0;
    for node in nodes {
        incomplete += usize::from(node.cluster.node_count().await < nodes.len());
    }
    incomplete
}

/// The number of connections that all nodes have dialled for gossip.
fn dials(nodes: &[Node]) -> f64 {
    let families = nodes.iter().flat_map(|node| {
        let text = node.server.metrics().render();
        text.lines()
            .filter_map(|line| line.strip_prefix("gossip_dials_total "))
            .filter_map(|value| value.parse::<f64>().ok())
            .collect::<Vec<_>>()
    });
    families.sum()
}

/// This process's memory in KiB (`VmRSS` of proc_pid_status(5)).
fn resident() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.ok_or_else(|| "no VmRSS in /proc/self/status".into())
}

/// The bytes that all processes have sent on loopback, IP headers included: the second group of proc_net_dev(5).
fn loopback() -> Result<f64, Failure> {
    let devices = fs::read_to_string("/proc/net/dev")?;
    let line = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let bytes = line.and_then(|line| line.split_whitespace().nth(8)?.parse().ok());
    bytes.ok_or_else(|| "no lo in /proc/net/dev".into())
}
