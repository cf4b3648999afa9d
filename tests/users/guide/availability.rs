//! High availability: directors, graceful shutdown, health checks.

use std::time::{Duration, Instant};

use rpcnet::{Server, rpc_impl, rpc_trait};
use rpcnet_cluster::{Cluster, ClusterChannel, ClusterConfig, ClusterExt, Director, WorkerRegistry};
use rpcnet_tests::{run, shared_ca, within};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    place::{ComputeClient, ComputeServer, Result, Reverse, connect, server_config},
    stand_ins::warp,
};

/// Any port of the loopback.
const BIND_ADDR: &str = "127.0.0.1:0";

fn parse_seeds(seeds: &str) -> Result<Vec<String>> {
    let seeds: Vec<_> =
        seeds.split(',').map(str::trim).filter(|seed| !seed.is_empty()).map(str::to_owned).collect();
    anyhow::ensure!(seeds.iter().all(|seed| seed.contains(':')), "a seed is host:port");
    Ok(seeds)
}

/// Director HA setup. In the guide two tags make a director of a node; it also has to serve the list of workers, which is what
/// `Director` does. The id of a node is its certificate's or its own (`local_node_id`). `BIND_ADDR` is gossip's own address, and
/// seeds are named with that; both are arguments here, as a test must not change its process's variables.
async fn start_director(bind_addr: &str, seeds: &str) -> Result<(Server, Cluster, Director)> {
    let server = Server::new(server_config("director")?.build()?)?;
    let cluster_config =
        ClusterConfig::new_local().with_bind_addr(bind_addr.parse()?).with_seeds(parse_seeds(seeds)?);

    let cluster = server.enable_cluster(cluster_config).await?;

    cluster.set_tag("role", "director");
    cluster.set_tag("id", cluster.local_node_id().to_string());

    let director = Director::new(&server, &cluster)?;
    run(&server);
    Ok((server, cluster, director))
}

async fn start_worker(seeds: &str) -> Result<(Server, Cluster)> {
    let server = Server::new(server_config("worker")?.build()?)?;
    server.register(ComputeServer::new(Reverse))?;
    let config = ClusterConfig::new_local().with_seeds(parse_seeds(seeds)?).with_tag("role", "worker");
    let cluster = server.enable_cluster(config).await?;
    Ok((server, cluster))
}

async fn clients(directors: &[&Server]) -> Result<ClusterChannel> {
    let issued = shared_ca().issue("client")?;
    let channel = ClusterChannel::builder()
        .with_directors(directors.iter().map(|server| server.local_addr().to_string()))
        .with_ca_cert(shared_ca().ca_pem())?
        .with_cert_and_key(issued.cert, issued.key)?;
    Ok(channel.connect().await?)
}

#[tokio::test]
async fn director_ha_setup() -> Result<()> {
    let (first, gossiping, _) = start_director(BIND_ADDR, "").await?;
    let seeds = gossiping.advertised_addr().to_string();
    assert_ne!(seeds, first.local_addr().to_string(), "gossip has a socket of its own");
    let (second, cluster, director) = start_director(BIND_ADDR, &seeds).await?;
    let (third, ..) = start_director(BIND_ADDR, &format!("{seeds}, {}", cluster.advertised_addr())).await?;
    let (worker, _) = start_worker(&seeds).await?;
    run(&worker);
    within(director.registry().wait_for_healthy(1)).await;
    let mut view = cluster.view();
    within(view.wait_for(|view| {
        let directors =
            view.iter().filter(|member| member.tags().get("role").is_some_and(|role| role == "director"));
        directors.filter(|member| member.tags().contains_key("id")).count() == 3
    }))
    .await?;

    // All are alike: with each of them alone a client reaches the worker.
    for director in [&first, &second, &third] {
        let compute = ComputeClient::new(clients(&[director]).await?);
        assert_eq!(within(compute.compute(vec![1, 2])).await?, [2, 1]);
    }
    // And with all of them it goes on when one is lost.
    let compute = ComputeClient::new(clients(&[&first, &second, &third]).await?);
    compute.compute(vec![1]).await?;
    within(first.shutdown()).await?;
    assert_eq!(within(compute.compute(vec![1, 2])).await?, [2, 1]);
    Ok(())
}

/// Graceful shutdown. The guide moves the server into the task and uses it afterwards: handles are cloned. Its `cluster` comes
/// as an argument here, and a channel stands for ctrl-c. (`Server::run_until` does all of it, within bounds.)
async fn run_server(server: Server, cluster: Cluster, ctrl_c: oneshot::Receiver<()>) -> Result<()> {
    let running = server.clone();
    let server_handle = tokio::spawn(async move { running.run().await });

    ctrl_c.await?;

    server.stop_accepting().await;
    tokio::time::timeout(Duration::from_secs(30), server.wait_for_in_flight()).await?;
    cluster.leave().await?;
    server.shutdown().await?;

    server_handle.await??;
    Ok(())
}

#[tokio::test]
async fn graceful_shutdown() -> Result<()> {
    let (_first, cluster, director) = start_director(BIND_ADDR, "").await?;
    let seeds = cluster.advertised_addr().to_string();
    let (server, joined) = start_worker(&seeds).await?;
    let id = joined.local_node_id();
    let (stop, stopped) = oneshot::channel();
    let address = server.local_addr().to_string();
    let worker = tokio::spawn(run_server(server, joined, stopped));
    within(director.registry().wait_for_healthy(1)).await;

    let compute = ComputeClient::new(connect(&address).await?);
    let at_work = tokio::spawn(compute.wait(300));
    within(async {
        while has_call_at_work(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop.send(()).expect("it waits");
    // The call at work is finished, and the node is seen to leave, not to fail.
    within(at_work).await??;
    within(worker).await??;
    let mut view = cluster.view();
    let left = rpcnet_cluster::MemberState::Left;
    within(view.wait_for(|view| view.iter().any(|member| member.id() == id && member.state() == left)))
        .await?;
    assert_eq!(director.registry().worker_count().await, 0);
    assert!(compute.compute(vec![1]).await.is_err());
    Ok(())
}

/// Succeeds if the server has a call at work besides the one that asks.
async fn has_call_at_work(address: &str) -> Result<()> {
    let health = rpcnet::HealthClient::new(connect(address).await?);
    anyhow::ensure!(health.health().await?.in_flight > 1, "none yet");
    Ok(())
}

/// Health checks. The guide's results are `anyhow`'s: see `auth`.
#[rpc_trait]
pub(crate) trait HealthService {
    async fn health(&self) -> rpcnet::Result<HealthStatus>;
    async fn ready(&self) -> rpcnet::Result<ReadyStatus>;
}

#[derive(Serialize, Deserialize)]
pub(crate) struct HealthStatus {
    pub(crate) healthy: bool,
    pub(crate) version: String,
    pub(crate) uptime_secs: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ReadyStatus {
    pub(crate) ready: bool,
    pub(crate) workers_available: usize,
    pub(crate) cluster_size: usize,
}

struct Handler {
    registry: WorkerRegistry,
    cluster: Cluster,
    start_time: Instant,
}

#[rpc_impl]
impl HealthService for Handler {
    async fn health(&self) -> rpcnet::Result<HealthStatus> {
        Ok(HealthStatus {
            healthy: true,
            version: env!("CARGO_PKG_VERSION").to_string(),
            uptime_secs: self.start_time.elapsed().as_secs(),
        })
    }

    async fn ready(&self) -> rpcnet::Result<ReadyStatus> {
        let workers_available = self.registry.worker_count().await;
        let cluster_size = self.cluster.node_count().await;
        Ok(ReadyStatus { ready: workers_available > 0, workers_available, cluster_size })
    }
}

#[tokio::test]
async fn health_checks() -> Result<()> {
    let (server, cluster, _director) = start_director(BIND_ADDR, "").await?;
    let seeds = cluster.advertised_addr().to_string();
    let registry = WorkerRegistry::new(&cluster);
    #[expect(clippy::disallowed_methods, reason = "it is what the guide's handler does")]
    let start_time = Instant::now();
    server.register(HealthServiceServer::new(Handler { registry: registry.clone(), cluster, start_time }))?;
    let address = server.local_addr().to_string();
    let health = HealthServiceClient::new(connect(&address).await?);

    let status = health.health().await?;
    assert!(status.healthy && status.uptime_secs < 600);
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    let before = health.ready().await?;
    assert_eq!((before.ready, before.workers_available, before.cluster_size), (false, 0, 1));
    let (worker, _) = start_worker(&seeds).await?;
    run(&worker);
    within(registry.wait_for_healthy(1)).await;
    let after = health.ready().await?;
    assert_eq!((after.ready, after.workers_available, after.cluster_size), (true, 1, 2));
    Ok(())
}

/// Kubernetes' probes. The guide runs a program in the container; with the feature `admin` the kubelet can ask the server itself
/// (`httpGet`).
#[tokio::test]
async fn kubernetes_probes() -> Result<()> {
    let server = Server::new(server_config("worker")?.build()?)?;
    let bound = rpcnet::admin::serve(&server, ([127, 0, 0, 1], 0).into()).await?;
    assert!(warp::get(bound, "/healthz").await?.starts_with("HTTP/1.1 200"));
    assert!(warp::get(bound, "/readyz").await?.starts_with("HTTP/1.1 503"));
    let mut readiness = server.watch_readiness();
    run(&server);
    within(readiness.wait_for(|readiness| readiness.ready)).await?;
    assert!(warp::get(bound, "/readyz").await?.starts_with("HTTP/1.1 200"));
    Ok(())
}
