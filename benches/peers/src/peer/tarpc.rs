//! tarpc over TCP, without TLS: its `tcp` and `serde-transport-bincode` features, used as in its examples, and
//! `TCP_NODELAY`, which the examples leave off. Payloads are `Bytes`, which serde writes in one piece. tarpc has no
//! streams.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use futures::StreamExt;
use rpcnet_benches::Failure;
use tarpc::{
    client, context, serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
    tokio_util::codec::{Decoder, LengthDelimitedCodec},
};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, Peer, ready};

#[tarpc::service]
pub(crate) trait Echo {
    /// Answers with the payload.
    async fn echo(payload: Bytes) -> Bytes;
}

#[derive(Clone)]
struct Mirror;

impl Echo for Mirror {
    async fn echo(self, _: context::Context, payload: Bytes) -> Bytes {
        payload
    }
}

pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    ready(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let transport = serde_transport::new(LengthDelimitedCodec::new().framed(stream), Bincode::default());
        let calls = BaseChannel::with_defaults(transport).execute(Mirror.serve());
        tokio::spawn(calls.for_each(|call| async {
            tokio::spawn(call);
        }));
    }
}

pub(crate) struct Tarpc;

impl Peer for Tarpc {
    type Client = EchoClient;

    async fn connect(&self, address: SocketAddr) -> Result<EchoClient, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let transport = serde_transport::new(LengthDelimitedCodec::new().framed(stream), Bincode::default());
        Ok(EchoClient::new(client::Config::default(), transport).spawn())
    }
}

impl Client for EchoClient {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        Ok(self.echo(context::current(), payload.clone()).await?)
    }
}
