//! rpcnet as a user would write it: generated client and server, with all defaults.

mod balanced;

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use rpcnet::{Caller, Channel, Connector, Limits, Server, ServerConfig, Streaming, rpc_impl, rpc_trait};
use rpcnet_benches::{Credentials, Failure};

pub(crate) use self::balanced::Balanced;
use super::{Client, Peer, check_item, item, ready, worker::Worker};

/// The service of every peer.
#[rpc_trait(name = "bench.v1.Echo")]
pub(crate) trait Echo {
    /// Answers with the payload.
    async fn echo(&self, payload: Bytes) -> rpcnet::Result<Bytes>;
    /// Streams `count` items.
    async fn items(&self, count: u64) -> rpcnet::Result<Streaming<Bytes>>;
    /// Takes a while. Returns whether the server is the slow one.
    async fn work(&self) -> rpcnet::Result<bool>;
}

struct Mirror(Worker);

#[rpc_impl]
impl Echo for Mirror {
    async fn echo(&self, payload: Bytes) -> rpcnet::Result<Bytes> {
        Ok(payload)
    }

    async fn items(&self, count: u64) -> rpcnet::Result<Streaming<Bytes>> {
        Ok(Streaming::iter((0..count).map(|_| item())))
    }

    async fn work(&self) -> rpcnet::Result<bool> {
        Ok(self.0.work().await)
    }
}

pub(crate) async fn serve(credentials: &Credentials, slow: bool) -> Result<(), Failure> {
    let config = ServerConfig::builder()
        .with_bind_addr((Ipv4Addr::LOCALHOST, 0).into())
        .with_cert_and_key(&credentials.cert, &credentials.key)?
        .with_ca_cert(&credentials.ca)?
        .build()?;
    let server = Server::new(config)?;
    server.register(EchoServer::new(Mirror(Worker::new(slow))))?;
    ready(server.local_addr())?;
    Ok(server.run().await?)
}

/// The form of calls on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The library's choice.
    Default,
    /// A stream for each call.
    Streams,
}

/// Channels that share a socket.
pub(crate) struct Ours(Connector);

impl Ours {
    pub(crate) fn new(credentials: &Credentials, shape: Shape) -> Result<Self, Failure> {
        let builder = Channel::builder()
            .with_ca_cert(&credentials.ca)?
            .with_cert_and_key(&credentials.cert, &credentials.key)?;
        let builder = match shape {
            Shape::Default => builder,
            Shape::Streams => builder.with_limits(Limits::default().with_lanes(false)),
        };
        Ok(Self(builder.connector()?))
    }
}

impl Peer for Ours {
    type Client = EchoClient;

    async fn connect(&self, address: SocketAddr) -> Result<EchoClient, Failure> {
        Ok(EchoClient::new(self.0.connect(address.to_string()).await?))
    }
}

impl<C: Caller> Client for EchoClient<C> {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        Ok(self.echo(payload.clone()).await?)
    }

    async fn items(&self, count: u64) -> Result<u64, Failure> {
        let mut items = self.items(count).await?;
        let mut arrived = 0;
        while let Some(item) = items.next().await {
            check_item(item?.len())?;
            arrived += 1;
        }
        Ok(arrived)
    }

    async fn work(&self) -> Result<bool, Failure> {
        Ok(self.work().await?)
    }
}
