//! Services of rpcnet, as a user would write them. One of them is the echo that is compared with bare quinn's.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use rpcnet::{Channel, Server, ServerConfig, rpc_impl, rpc_trait};
use rpcnet_benches::{Credentials, Failure};

use crate::{
    allocations::{AllocationsServer, Here},
    blocks::{BlocksServer, Store},
    echo::System,
};

/// Answers with the payload of the request.
#[rpc_trait(name = "bench.v1.Echo")]
pub(crate) trait Echo {
    /// Answers with the payload.
    async fn echo(&self, payload: Bytes) -> rpcnet::Result<Bytes>;
}

struct Mirror;

#[rpc_impl]
impl Echo for Mirror {
    async fn echo(&self, payload: Bytes) -> rpcnet::Result<Bytes> {
        Ok(payload)
    }
}

pub(crate) async fn serve(
    credentials: &Credentials,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<(), Failure> {
    let config = ServerConfig::builder()
        .with_bind_addr((Ipv4Addr::LOCALHOST, 0).into())
        .with_cert_and_key(&credentials.cert, &credentials.key)?
        .with_ca_cert(&credentials.ca)?
        .build()?;
    let server = Server::new(config)?;
    server.register(EchoServer::new(Mirror))?;
    server.register(BlocksServer::new(Store))?;
    server.register(AllocationsServer::new(Here))?;
    ready(server.local_addr())?;
    Ok(server.run().await?)
}

/// Connects a default channel to the service.
pub(crate) async fn connect(address: SocketAddr, credentials: &Credentials) -> Result<Channel, Failure> {
    let channel = Channel::builder()
        .with_ca_cert(&credentials.ca)?
        .with_cert_and_key(&credentials.cert, &credentials.key)?;
    Ok(channel.connect(address.to_string()).await?)
}

impl System for EchoClient {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        Ok(EchoClient::echo(self, payload.clone()).await?)
    }
}
