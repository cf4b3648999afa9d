//! The common part of director and worker: a server in a cluster.

use std::net::SocketAddr;

use anyhow::Context as _;
use rpcnet::{Server, ServerConfig, ServerError, admin};
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt};

use super::{RoleError, certificates::Pem, print, say};
use crate::SharedSettings;

/// Settings of a node.
#[derive(Debug)]
pub struct NodeSettings<'a> {
    /// The node's tag `role`.
    pub role: &'static str,
    /// The node's tag `label`, and the name in its certificate.
    pub label: &'a str,
    /// The address to listen at.
    pub bind: SocketAddr,
    /// The address of gossip's own socket.
    pub gossip: Option<SocketAddr>,
    /// The `host:port` of nodes to join through.
    pub seeds: &'a [String],
    /// The region to announce.
    pub region: Option<&'a str>,
    /// The address to serve `/metrics` and health at over HTTP.
    pub metrics: Option<SocketAddr>,
    /// Settings of all binaries.
    pub shared: &'a SharedSettings,
}

/// A node that gossips and does not answer calls yet.
#[derive(Debug)]
pub struct Node {
    /// The server.
    pub server: Server,
    /// The node's membership in the cluster.
    pub cluster: Cluster,
}

impl Node {
    /// Binds, lets `register` add services, joins, and prints the address.
    ///
    /// # Errors
    ///
    /// [`RoleError::Usage`] if the node can't start with these settings, [`RoleError::Failed`] if `register` fails.
    pub async fn start(
        settings: &NodeSettings<'_>,
        register: impl FnOnce(&Server) -> anyhow::Result<()>,
    ) -> Result<Self, RoleError> {
        let pem = Pem::load(&settings.shared.certificates, settings.label)?;
        let config = ServerConfig::builder()
            .with_bind_addr(settings.bind)
            .with_cert_and_key(pem.cert, pem.key)
            .and_then(|builder| builder.with_ca_cert(pem.ca))
            .and_then(rpcnet::ServerConfigBuilder::build)
            .context("the certificates can't be used")
            .map_err(RoleError::Usage)?;
        let server = Server::new(config).map_err(|error| match error {
            ServerError::Bind { .. } => RoleError::Usage(
                anyhow::Error::new(error).context("the address is taken or not of this machine"),
            ),
            error => RoleError::Failed(error.into()),
        })?;
        register(&server)?;
        if let Some(addr) = settings.metrics {
            let bound = admin::serve(&server, addr)
                .await
                .with_context(|| format!("can't serve metrics on {addr}"))
                .map_err(RoleError::Usage)?;
            say(format_args!("metrics and health on http://{bound}"));
        }
        let mut config = ClusterConfig::default()
            .with_seeds(settings.seeds)
            .with_tag("role", settings.role)
            .with_tag("label", settings.label);
        if let Some(region) = settings.region {
            config = config.with_region(region);
        }
        if let Some(addr) = settings.gossip {
            config = config.with_bind_addr(addr);
        }
        if let Some(advertise) = &settings.shared.advertise {
            config = config.with_advertise_addr(resolve(&server, advertise).await?);
        }
        let cluster = server.enable_cluster(config).await.context("can't enter the cluster")?;
        print(format_args!("listening on {}", server.local_addr()));
        Ok(Self { server, cluster })
    }

    /// Answers calls until SIGTERM or ctrl-c, then shuts down gracefully.
    ///
    /// # Errors
    ///
    /// [`RoleError::Failed`] if another node has this node's address or id.
    pub async fn run(self) -> Result<(), RoleError> {
        tokio::select! {
            done = self.server.run_until(rpcnet::shutdown_signal()) => done.context("the server failed")?,
            // The node's view of the cluster would not be true any more.
            conflict = self.cluster.stopped() => return Err(RoleError::Failed(conflict.into())),
        }
        Ok(())
    }
}

async fn resolve(server: &Server, address: &str) -> Result<SocketAddr, RoleError> {
    let found = server.connector().resolve(address).await.map(|addrs| addrs.first().copied());
    let found = found.context("ADVERTISE_ADDR can't be used").map_err(RoleError::Usage)?;
    found.ok_or_else(|| RoleError::Usage(anyhow::anyhow!("ADVERTISE_ADDR `{address}` has no address")))
}
