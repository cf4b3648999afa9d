//! rpcnet's balancer over a list of servers, with all defaults.

use std::{net::SocketAddr, time::Duration};

use rpcnet::{
    BalancedChannel, BalancedConfig, Channel,
    discover::{Endpoint, EndpointSet},
};
use rpcnet_benches::{Credentials, Failure};
use tokio::sync::watch;

use super::{super::Peer, EchoClient};

/// The time within which all servers must be connected.
const CONNECTING: Duration = Duration::from_secs(10);

pub(crate) struct Balanced {
    credentials: Credentials,
    servers: watch::Sender<EndpointSet>,
}

impl Balanced {
    pub(crate) fn new(credentials: &Credentials, servers: &[SocketAddr]) -> Self {
        let endpoint = |(index, server): (usize, &SocketAddr)| Endpoint::new(index.to_string(), *server);
        let servers = servers.iter().enumerate().map(endpoint).collect();
        Self { credentials: credentials.clone(), servers: watch::Sender::new(servers) }
    }
}

impl Peer for Balanced {
    type Client = EchoClient<BalancedChannel>;

    async fn connect(&self, _: SocketAddr) -> Result<Self::Client, Failure> {
        let Credentials { ca, cert, key } = &self.credentials;
        let builder = Channel::builder().with_ca_cert(ca)?.with_cert_and_key(cert, key)?;
        let channel = BalancedChannel::new(builder, self.servers.subscribe(), BalancedConfig::default())?;
        tokio::time::timeout(CONNECTING, all_ready(&channel)).await?;
        Ok(EchoClient::new(channel))
    }
}

/// Waits for all endpoints. The channel's own wait is only for one of them.
async fn all_ready(channel: &BalancedChannel) {
    channel.ready().await;
    while channel.endpoints().iter().any(|endpoint| !endpoint.ready) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
