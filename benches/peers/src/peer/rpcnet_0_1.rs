//! rpcnet 0.1 from the registry (s2n-quic), used as in its own examples: `RpcServer::register`, `RpcClient::call`,
//! bytes in and out. The client checks the server's certificate, and clients have no certificates. Each client has a
//! socket of its own.

use std::{net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use futures::StreamExt;
use rpcnet_0_1::{RpcClient, RpcConfig, RpcError, RpcServer};
use rpcnet_benches::Failure;

use super::{Client, Peer, check_item, item};
use crate::files;

pub(crate) async fn serve(files: &Path) -> Result<(), Failure> {
    let config = RpcConfig::new(files.join(files::CERT), "127.0.0.1:0")
        .with_key_path(files.join(files::KEY))
        .with_server_name("localhost");
    let mut server = RpcServer::new(config);
    server.register("echo", |payload| async move { Ok(payload) }).await;
    server
        .register_streaming("items", |mut requests| async move {
            async_stream::stream! {
                let Some(request) = requests.next().await else { return };
                let Some(count) = request.first_chunk() else {
                    yield Err(RpcError::StreamError("no count".into()));
                    return;
                };
                for _ in 0..u64::from_be_bytes(*count) {
                    yield Ok(item().to_vec());
                }
            }
        })
        .await;
    // This prints a line that ends with the server's address.
    let socket = server.bind()?;
    Ok(server.start(socket).await?)
}

pub(crate) struct Rpcnet01(RpcConfig);

impl Rpcnet01 {
    pub(crate) fn new(files: &Path) -> Self {
        Self(RpcConfig::new(files.join(files::CA), "127.0.0.1:0").with_server_name("localhost"))
    }
}

impl Peer for Rpcnet01 {
    type Client = Arc<RpcClient>;

    async fn connect(&self, address: SocketAddr) -> Result<Arc<RpcClient>, Failure> {
        Ok(Arc::new(RpcClient::connect(address, self.0.clone()).await?))
    }
}

impl Client for Arc<RpcClient> {
    async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        Ok(self.call("echo", payload.to_vec()).await?.into())
    }

    async fn items(&self, count: u64) -> Result<u64, Failure> {
        let mut items = Box::pin(self.call_server_streaming("items", count.to_be_bytes().to_vec()).await?);
        let mut arrived = 0;
        while let Some(item) = items.next().await {
            // The error of its streams does not implement `Error`.
            let item = item.map_err(|error| format!("{error:?}"))?;
            check_item(item.len())?;
            arrived += 1;
        }
        Ok(arrived)
    }
}
