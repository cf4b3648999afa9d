//! A call from end to end, both sides in one thread, on a network within the process.
//!
//! The call has everything except QUIC, TLS and the kernel. The network's own part is counted too. tokio's timed work
//! varies a little.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use rpcnet::{
    __measured::Piece, Channel, Limits, Server, ServerConfig, rpc_impl, rpc_trait, testing::Network,
};
use rpcnet_benches::Failure;
use tokio::runtime::Runtime;

/// The prefix of the pieces' names.
pub(crate) const PREFIX: &str = "call/";

/// Answers with the payload of the request.
#[rpc_trait(name = "bench.v1.Echo")]
trait Echo {
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

pub(crate) fn pieces() -> [Piece; 2] {
    [call("call/lane", Limits::default()), call("call/stream", Limits::default().with_lanes(false))]
}

fn call(name: &'static str, limits: Limits) -> Piece {
    let mut connected = None;
    let payload = Bytes::from_static(&[7; 32]);
    Piece::new(name, move || {
        let (runtime, client) = connected.get_or_insert_with(|| {
            let runtime = runtime();
            let client = runtime.block_on(connect(limits)).expect("the network in memory connects");
            (runtime, client)
        });
        let echo = runtime.block_on(client.echo(payload.clone())).expect("the server answers");
        assert_eq!(echo.len(), payload.len());
    })
}

/// All in one thread, because the cost of waking another thread depends on the machine.
fn runtime() -> Arc<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Arc::new(runtime.expect("the runtime starts"))
}

async fn connect(limits: Limits) -> Result<EchoClient, Failure> {
    let network = Network::with_seed(7);
    let address: SocketAddr = "10.0.0.1:8081".parse()?;
    let config = ServerConfig::builder().with_network(&network).with_bind_addr(address).build()?;
    let server = Server::new(config)?;
    server.register(EchoServer::new(Mirror))?;
    tokio::spawn(async move { server.run().await });
    let channel = Channel::builder().with_network(&network).with_limits(limits);
    Ok(EchoClient::new(channel.connect(address.to_string()).await?))
}
