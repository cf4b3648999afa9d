//! A node that can be killed.

use std::net::SocketAddr;

use rpcnet::Server;
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt, NodeId};
use tokio::runtime::{Builder, Runtime};

use crate::Net;

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
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread can be started");
        let builder = net.server().with_bind_addr(addr);
        let started = runtime.spawn(async move {
            let server = Server::new(builder.build().expect("complete")).expect("a free port");
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

    /// Kills it.
    pub fn kill(self) {}
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
