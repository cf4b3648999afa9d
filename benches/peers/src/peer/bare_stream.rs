//! Bare quinn with a stream for each call: `rpcnet_benches::bare`, with rpcnet's transport configuration.

use std::net::SocketAddr;

use bytes::Bytes;
use rpcnet_benches::{
    Credentials, Failure,
    bare::{self, Client as BareClient, Dialer},
};

use super::{Client, Peer, ready};

pub(crate) async fn serve(credentials: &Credentials) -> Result<(), Failure> {
    let endpoint = bare::listen(credentials)?;
    ready(endpoint.local_addr()?)?;
    bare::serve(endpoint).await;
    Ok(())
}

/// Connections that share a socket.
pub(crate) struct BareStream(Dialer);

impl BareStream {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, Failure> {
        Ok(Self(Dialer::new(credentials)?))
    }
}

impl Peer for BareStream {
    type Client = BareClient;

    async fn connect(&self, address: SocketAddr) -> Result<BareClient, Failure> {
        BareClient::connect(&self.0, address).await
    }
}

impl Client for BareClient {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        self.echo(payload).await
    }
}
