//! tonic's own balancer over a list of endpoints. Behind it is tower's p2c, to which all endpoints are loaded alike: it
//! picks at random among those that are connected.

use std::net::SocketAddr;

use rpcnet_benches::{Credentials, Failure};
use tonic::transport::Channel;

use super::{super::Peer, Security, Tonic, service::echo_client::EchoClient};

pub(crate) struct BalanceList {
    tonic: Tonic,
    servers: Vec<SocketAddr>,
}

impl BalanceList {
    pub(crate) fn new(credentials: &Credentials, servers: &[SocketAddr]) -> Self {
        Self { tonic: Tonic::new(credentials, Security::Tls), servers: servers.to_owned() }
    }
}

impl Peer for BalanceList {
    type Client = EchoClient<Channel>;

    async fn connect(&self, _: SocketAddr) -> Result<Self::Client, Failure> {
        let endpoints: Vec<_> =
            self.servers.iter().map(|server| self.tonic.endpoint(*server)).collect::<Result<_, _>>()?;
        Ok(EchoClient::new(Channel::balance_list(endpoints.into_iter())))
    }
}
