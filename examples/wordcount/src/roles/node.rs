//! What director and worker have in common: a server in a cluster.

use std::net::SocketAddr;

use anyhow::Context as _;
use rpcnet::{Server, ServerConfig, ServerError, admin};
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt};

use super::{RoleError, certificates::Pem, print, say};
use crate::SharedSettings;

/// How a node is to run.
#[derive(Debug)]
pub struct NodeSettings<'a> {
    /// Its tag `role`.
    pub role: &'static str,
    /// Its tag `label`, and the name in its certificate.
    pub label: &'a str,
    /// Where to listen.
    pub bind: SocketAddr,
    /// Where gossip has a socket of its own.
    pub gossip: Option<SocketAddr>,
    /// `host:port` of nodes through which to join.
    pub seeds: &'a [String],
    /// The region to announce.
    pub region: Option<&'a str>,
    /// Where to serve `/metrics` and health over HTTP.
    pub metrics: Option<SocketAddr>,
    /// What all binaries have.
    pub shared: &'a SharedSettings,
}

/// A node that gossips and does not answer calls yet.
#[derive(Debug)]
pub struct Node {
    /// The server.
    pub server: Server,
    /// Its place in the cluster.
    pub cluster: Cluster,
}

impl Node {
    /// Binds, lets `register` add services, joins, and prints where it listens.
    ///
    /// # Errors
    ///
    /// [`RoleError::Usage`] where it can't start as it was told to, [`RoleError::Failed`] where `register` fails.
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

    /// Answers calls until SIGTERM or ctrl-c, then goes down in good order.
    ///
    /// # Errors
    ///
    /// [`RoleError::Failed`] where another node has its address or id.
    pub async fn run(self) -> Result<(), RoleError> {
        tokio::select! {
            done = self.server.run_until(rpcnet::shutdown_signal()) => done.context("the server failed")?,
            // Nothing that it tells of the cluster would be true any more.
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
