//! A node that can be killed.

use std::{collections::BTreeSet, net::SocketAddr};

use rpcnet::{Server, ServerConfigBuilder};
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt, Member, MemberState, NodeId};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{Net, PATIENCE};

/// A server in a cluster, on a runtime of its own, so that it can die as a process does: between one moment and the
/// next, without a word to anybody.
#[derive(Debug)]
pub struct Host {
    runtime: Option<Runtime>,
    /// The server.
    pub server: Server,
    /// Its place in the cluster.
    pub cluster: Cluster,
}

impl Host {
    /// Starts one at this address; `prepare` runs before the server does, and before it joins.
    pub async fn start(
        net: &Net,
        addr: SocketAddr,
        config: ClusterConfig,
        prepare: impl FnOnce(&Server) + Send + 'static,
    ) -> Self {
        Self::start_with(net.server().with_bind_addr(addr), config, prepare).await
    }

    /// Starts one with a server of this configuration.
    pub async fn start_with(
        server: ServerConfigBuilder,
        config: ClusterConfig,
        prepare: impl FnOnce(&Server) + Send + 'static,
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be started");
        // Else its connections would say goodbye when it is killed.
        rpcnet::__fuzz::dies_silently(runtime.handle());
        let started = runtime.spawn(async move {
            let server = Server::new(server.build().expect("complete")).expect("a free port");
            prepare(&server);
            let cluster = server.enable_cluster(config).await.expect("the first cluster of this server");
            let running = server.clone();
            tokio::spawn(async move { running.run().await });
            (server, cluster)
        });
        let (server, cluster) = started.await.expect("nothing above panics");
        Self { runtime: Some(runtime), server, cluster }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Its node id.
    pub fn id(&self) -> NodeId {
        self.cluster.local_node_id()
    }

    /// Waits until exactly this number of nodes is alive in its view.
    pub async fn sees(&self, count: usize) {
        self.sees_that(|view| alive(view).count() == count).await;
    }

    /// Waits until exactly these nodes are alive in its view, at these addresses.
    pub async fn sees_at(&self, nodes: &[(NodeId, SocketAddr)]) {
        let expected: BTreeSet<_> = nodes.iter().copied().collect();
        let seen = |member: &Member| (member.id(), member.identity().addr());
        self.sees_that(|view| alive(view).map(seen).collect::<BTreeSet<_>>() == expected).await;
    }

    /// Waits until the node of this id has this tag in its view.
    pub async fn sees_tag(&self, id: NodeId, key: &str, value: &str) {
        let tagged = |member: &Member| member.tags().get(key).is_some_and(|found| found == value);
        self.sees_that(|view| view.iter().any(|member| member.id() == id && tagged(member))).await;
    }

    async fn sees_that(&self, holds: impl Fn(&[Member]) -> bool) {
        let mut view = self.cluster.view();
        let seen = timeout(PATIENCE, view.wait_for(|view| holds(view))).await;
        assert!(matches!(seen, Ok(Ok(_))), "{} sees {:?}", self.addr(), self.cluster.nodes().await);
    }

    /// The sum of the values of a metric whose labels include this text; `None` where there is no such line.
    pub fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        metric(&self.server, name, labels)
    }

    /// Kills it. When this returns it is dead, and its port is free.
    pub async fn kill(mut self) {
        // The handles go last: a server that is dropped while its runtime still works says goodbye.
        let runtime = self.runtime.take();
        tokio::task::spawn_blocking(move || drop(runtime)).await.expect("no task of it blocks");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The sum of the values of a server's metric whose labels include this text; `None` where there is no such line.
pub fn metric(server: &Server, name: &str, labels: &str) -> Option<f64> {
    let rendered = server.metrics().render();
    let lines = rendered.lines().filter_map(|line| {
        let (shown, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let of_it = (shown.is_empty() || shown.starts_with('{')) && shown.contains(labels);
        of_it.then(|| value.parse::<f64>().ok()).flatten()
    });
    lines.reduce(|sum, value| sum + value)
}

fn alive(view: &[Member]) -> impl Iterator<Item = &Member> {
    view.iter().filter(|member| member.state() == MemberState::Alive)
}
