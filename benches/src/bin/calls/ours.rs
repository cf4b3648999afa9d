//! Echo with rpcnet, as a user would write it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use rpcnet::{Channel, Server, ServerConfig, rpc_impl, rpc_trait};

use crate::{Failure, echo::System, role::Credentials};

/// Answers with what it was sent.
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
    ready(server.local_addr())?;
    Ok(server.run().await?)
}

/// The generated client on a default channel.
#[derive(Clone)]
pub(crate) struct Client(EchoClient);

impl Client {
    pub(crate) async fn connect(address: SocketAddr, credentials: &Credentials) -> Result<Self, Failure> {
        let channel = Channel::builder()
            .with_ca_cert(&credentials.ca)?
            .with_cert_and_key(&credentials.cert, &credentials.key)?
            .connect(address.to_string())
            .await?;
        Ok(Self(EchoClient::new(channel)))
    }
}

impl System for Client {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        Ok(self.0.echo(payload.clone()).await?)
    }
}
