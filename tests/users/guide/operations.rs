//! Operational procedures: rolling updates, backup and restore; cost: sizing.

use std::{path::Path, sync::Arc, time::SystemTime};

use rpcnet::Server;
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt, ClusterSnapshot, Director, WorkerRegistry};
use rpcnet_tests::{run, shared_ca, until, within};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use super::place::{ComputeClient, ComputeServer, Result, Reverse, server_config};

async fn start_node(name: &str, seeds: &[String]) -> Result<(Server, Cluster)> {
    let server = Server::new(server_config(name)?.build()?)?;
    if name == "worker" {
        server.register(ComputeServer::new(Reverse))?;
    }
    let config = ClusterConfig::new_local().with_seeds(seeds).with_tag("role", name);
    let cluster = server.enable_cluster(config).await?;
    Ok((server, cluster))
}

/// A worker that ends as on SIGTERM when it is told to.
async fn start_worker(
    seeds: &[String],
) -> Result<(Cluster, oneshot::Sender<()>, tokio::task::JoinHandle<Result<()>>)> {
    let (server, cluster) = start_node("worker", seeds).await?;
    let (terminate, terminated) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        server.run_until(async { drop(terminated.await) }).await?;
        Ok(())
    });
    Ok((cluster, terminate, running))
}

/// Rolling updates. The script waits ten seconds for a worker to leave; `run_until` returns when it has left. What it
/// calls `check-worker-registered` is a question to the registry.
#[tokio::test]
async fn rolling_updates() -> Result<()> {
    let (director, cluster) = start_node("director", &[]).await?;
    let _director = Director::new(&director, &cluster)?;
    run(&director);
    let seeds = [director.local_addr().to_string()];
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(start_worker(&seeds).await?);
    }
    let registry = WorkerRegistry::new(&cluster);
    within(registry.wait_for_healthy(3)).await;
    let issued = shared_ca().issue("client")?;
    let channel = rpcnet_cluster::ClusterChannel::builder()
        .with_directors(seeds.iter())
        .with_ca_cert(shared_ca().ca_pem())?
        .with_cert_and_key(issued.cert, issued.key)?
        .connect()
        .await?;
    let compute = ComputeClient::new(channel);
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(async move {
        let mut calls = 0;
        while !*stopped.borrow() {
            compute.compute(vec![1, 2]).await?;
            calls += 1;
        }
        Ok::<_, rpcnet::CallError>(calls)
    });
    for _ in 0..3 {
        let (old, terminate, running) = workers.remove(0);
        terminate.send(()).expect("it runs");
        within(running).await??;
        until(|| !registry.workers().iter().any(|worker| worker.id == old.local_node_id())).await;

        let new = start_worker(&seeds).await?;
        until(|| registry.workers().iter().any(|worker| worker.id == new.0.local_node_id())).await;
        within(registry.wait_for_healthy(3)).await;
        workers.push(new);
    }
    stop.send_replace(true);
    // Calls were made all the time, and none was lost.
    assert!(within(load).await?? > 0);
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct ClusterState {
    nodes: ClusterSnapshot,
    timestamp: SystemTime,
}

/// Backup. The guide's `ClusterMembership` is `Cluster`.
async fn backup_cluster_state(cluster: Arc<Cluster>, path: &Path) -> Result<()> {
    let state = ClusterState { nodes: cluster.nodes().await, timestamp: SystemTime::now() };

    let backup = serde_json::to_vec(&state)?;
    std::fs::write(path, backup)?;

    Ok(())
}

/// Restore. The guide reads the state back and leaves it at that; `Cluster::restore` makes use of it.
async fn restore_cluster_state(path: &Path) -> Result<ClusterState> {
    let backup = std::fs::read(path)?;
    let state: ClusterState = serde_json::from_slice(&backup)?;
    Ok(state)
}

#[tokio::test]
async fn backup_and_restore() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("cluster_state.json");
    let (first, cluster) = start_node("director", &[]).await?;
    run(&first);
    let (worker, joined) = start_node("worker", &[first.local_addr().to_string()]).await?;
    run(&worker);
    within(cluster.joined()).await;
    until(|| WorkerRegistry::new(&cluster).workers().iter().any(|worker| worker.services.is_some())).await;
    backup_cluster_state(Arc::new(cluster.clone()), &path).await?;

    let state = restore_cluster_state(&path).await?;
    assert_eq!(state.nodes.active().count(), 2);
    assert!(state.timestamp <= SystemTime::now());
    let kept = state.nodes.members.iter().find(|member| member.id() == joined.local_node_id());
    assert!(kept.expect("it was a member").may_serve("guide.v1.Compute"));
    // A node that knows no seed finds the cluster by it.
    let (late, alone) = start_node("worker", &[]).await?;
    run(&late);
    assert_eq!(alone.restore(&state.nodes), 2);
    within(async {
        while alone.node_count().await < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    Ok(())
}

/// Figures of a monitoring system about the machines; not of this framework.
struct Metrics {
    cpu: Vec<f64>,
    memory: Vec<f64>,
}

impl Metrics {
    fn avg_cpu_usage(&self) -> f64 {
        self.cpu.iter().sum::<f64>() / self.cpu.len() as f64
    }

    fn avg_memory_usage(&self) -> f64 {
        self.memory.iter().sum::<f64>() / self.memory.len() as f64
    }

    fn p99_cpu_usage(&self) -> f64 {
        let mut sorted = self.cpu.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() * 99).div_ceil(100) - 1]
    }
}

#[derive(Debug, PartialEq)]
enum Recommendation {
    DownsizeWorkers,
    UpsizeWorkers,
    CurrentSizingOptimal,
}

/// Sizing. The guide reads the memory and makes no use of it: here full memory keeps workers from being made smaller.
async fn recommend_sizing(metrics: &Metrics) -> Recommendation {
    let idle = metrics.avg_cpu_usage() < 30.0 && metrics.avg_memory_usage() < 60.0;
    match metrics.p99_cpu_usage() {
        peak if peak > 80.0 => Recommendation::UpsizeWorkers,
        peak if peak < 60.0 && idle => Recommendation::DownsizeWorkers,
        _ => Recommendation::CurrentSizingOptimal,
    }
}

#[tokio::test]
async fn resource_sizing() {
    let of = |cpu: [f64; 4], memory| Metrics { cpu: cpu.to_vec(), memory: vec![memory] };
    let cases = [
        (of([10.0, 20.0, 20.0, 50.0], 40.0), Recommendation::DownsizeWorkers),
        (of([10.0, 20.0, 20.0, 50.0], 90.0), Recommendation::CurrentSizingOptimal),
        (of([10.0, 20.0, 30.0, 90.0], 40.0), Recommendation::UpsizeWorkers),
        (of([50.0, 60.0, 60.0, 70.0], 40.0), Recommendation::CurrentSizingOptimal),
    ];
    for (metrics, recommended) in cases {
        assert_eq!(recommend_sizing(&metrics).await, recommended);
    }
}
