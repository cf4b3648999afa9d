//! Directors, workers, and calls that don't stop.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rpcnet::CallError;
use rpcnet_cluster::{ClusterChannel, ClusterChannelBuilder, ClusterConfig, Director, DirectorBuilder, swim};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{Host, Net, ProbeClient, ProbeServer, ProbeService, Probed, within};

/// A free port of the loopback, whichever.
pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// An address that nobody listens on (and that nobody is likely to be given until it is used).
pub fn free_addr() -> SocketAddr {
    let probe = std::net::UdpSocket::bind(any_port()).expect("a free port");
    probe.local_addr().expect("bound")
}

/// A node that joins through these and gossips as fast as one host allows.
pub fn local(seeds: &[SocketAddr]) -> ClusterConfig {
    ClusterConfig::default()
        .with_seeds(seeds.iter().map(SocketAddr::to_string))
        .with_swim(swim::Config::new_local())
}

/// Polls until it is so; for what tells nobody when it changes.
///
/// # Panics
///
/// When it is not so for a minute.
pub async fn until(mut so: impl FnMut() -> bool) {
    within(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Starts a director.
pub async fn start_director(net: &Net, addr: SocketAddr, seeds: &[SocketAddr]) -> (Host, Director) {
    start_director_with(net, addr, seeds, |director| director).await
}

/// Starts a director with options of the test's own.
pub async fn start_director_with(
    net: &Net,
    addr: SocketAddr,
    seeds: &[SocketAddr],
    options: impl FnOnce(DirectorBuilder) -> DirectorBuilder,
) -> (Host, Director) {
    let host = Host::start(net, addr, local(seeds), |_| {}).await;
    let director = options(Director::builder(&host.server, &host.cluster));
    let director = director.start().expect("a server that is no director yet");
    (host, director)
}

/// A worker whose [`Probed`] service tells what it does.
#[derive(Debug)]
pub struct Worker {
    /// The node.
    pub host: Host,
    /// The test's end of the service.
    pub probed: Probed,
}

impl Worker {
    /// Starts one that joins through these.
    pub async fn start(net: &Net, name: &str, seeds: &[SocketAddr]) -> Self {
        Self::start_at(net, name, any_port(), local(seeds)).await
    }

    /// Starts one at this address.
    pub async fn start_at(net: &Net, name: &str, addr: SocketAddr, config: ClusterConfig) -> Self {
        let (service, probed) = ProbeService::new(name);
        let host = Host::start(net, addr, config.with_tag("role", "worker"), move |server| {
            server.register(ProbeServer::new(service)).expect("the first of its name");
        });
        Self { host: host.await, probed }
    }

    /// The number of calls of a [`Load`] that its handlers have begun.
    pub fn executed(&self) -> usize {
        self.probed.executions().values().sum()
    }
}

/// Describes a channel to the workers that these directors know.
pub fn cluster_channel(net: &Net, directors: &[SocketAddr]) -> ClusterChannelBuilder {
    ClusterChannel::builder()
        .with_directors(directors.iter().map(SocketAddr::to_string))
        .with_channel(net.channel())
}

/// Waits until calls can be sent to exactly so many workers.
pub async fn ready_workers(channel: &ClusterChannel, count: usize) {
    until(|| {
        let endpoints = channel.endpoints();
        endpoints.len() == count && endpoints.iter().all(|endpoint| endpoint.ready)
    })
    .await;
}

/// The number of times that each id was begun at all of these workers together.
pub fn executions<'a>(workers: impl IntoIterator<Item = &'a Worker>) -> HashMap<u64, usize> {
    let mut all = HashMap::new();
    for worker in workers {
        for (id, times) in worker.probed.executions() {
            *all.entry(id).or_default() += times;
        }
    }
    all
}

/// Calls that are made one after the other in several tasks until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    answered: watch::Receiver<u64>,
    tasks: JoinSet<Vec<CallError>>,
}

impl Load {
    /// Calls of the method [`once`](crate::Probe::once), which is not idempotent, each with an id of its own.
    pub fn start(channel: &ClusterChannel, tasks: usize) -> Self {
        let ids = Arc::new(AtomicU64::new(0));
        let client = ProbeClient::new(channel.clone());
        Self::of(tasks, move || {
            let call = client.once(ids.fetch_add(1, Ordering::Relaxed));
            async move { call.await.map(drop) }
        })
    }

    /// Calls of an idempotent method.
    pub fn start_idempotent(channel: &ClusterChannel, tasks: usize) -> Self {
        let client = ProbeClient::new(channel.clone());
        Self::of(tasks, move || {
            let call = client.server_name();
            async move { call.await.map(drop) }
        })
    }

    fn of<F>(tasks: usize, call: impl Fn() -> F + Send + Sync + Clone + 'static) -> Self
    where
        F: Future<Output = Result<(), CallError>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let (sender, answered) = watch::channel(0);
        let sender = Arc::new(sender);
        let mut set = JoinSet::new();
        for _ in 0..tasks {
            let (stop, sender, call) = (stop.clone(), sender.clone(), call.clone());
            set.spawn(async move {
                let mut failures = Vec::new();
                while !stop.is_cancelled() {
                    match call().await {
                        Ok(()) => sender.send_modify(|answered| *answered += 1),
                        Err(error) => failures.push(error),
                    }
                }
                failures
            });
        }
        Self { stop, answered, tasks: set }
    }

    /// Waits until so many more calls have been answered.
    pub async fn more(&self, calls: u64) {
        let mut answered = self.answered.clone();
        let goal = *answered.borrow() + calls;
        within(answered.wait_for(|answered| *answered >= goal)).await.expect("the calls go on");
    }

    /// Ends the calls: how many were answered, and how the others failed.
    pub async fn stop(self) -> (u64, Vec<CallError>) {
        self.stop.cancel();
        let failures = within(self.tasks.join_all()).await.into_iter().flatten().collect();
        (*self.answered.borrow(), failures)
    }
}
