//! Certificates in files, servers, and a service to call.

use std::{net::SocketAddr, path::Path};

use rpcnet::{
    Channel, ChannelBuilder, Server, ServerConfig, ServerConfigBuilder,
    dev::{DevCa, DevCert},
    rpc_impl, rpc_trait,
};
use rpcnet_tests::{run, shared_ca};
use tempfile::TempDir;

/// The guide's `Result`.
pub(crate) type Result<T> = anyhow::Result<T>;

#[rpc_trait(name = "guide.v1.Compute")]
pub(crate) trait Compute {
    #[rpc(idempotent)]
    async fn compute(&self, data: Vec<u8>) -> rpcnet::Result<Vec<u8>>;
    /// Answers after so many milliseconds.
    async fn wait(&self, milliseconds: u64) -> rpcnet::Result<()>;
    async fn fail(&self) -> rpcnet::Result<()>;
}

pub(crate) struct Reverse;

#[rpc_impl]
impl Compute for Reverse {
    async fn compute(&self, data: Vec<u8>) -> rpcnet::Result<Vec<u8>> {
        Ok(data.into_iter().rev().collect())
    }

    async fn wait(&self, milliseconds: u64) -> rpcnet::Result<()> {
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        Ok(())
    }

    async fn fail(&self) -> rpcnet::Result<()> {
        Err(rpcnet::Status::deadline_exceeded("the disk took too long"))
    }
}

/// A directory with `server.crt`, `server.key` and `ca.crt`.
pub(crate) fn certificates() -> Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let issued = shared_ca().issue("server")?;
    store(directory.path(), "", &issued)?;
    std::fs::write(directory.path().join("ca.crt"), shared_ca().ca_pem())?;
    Ok(directory)
}

/// Puts a certificate and its key there, under names with this at their end.
pub(crate) fn store(directory: &Path, suffix: &str, issued: &DevCert) -> Result<()> {
    std::fs::write(directory.join(format!("server.crt{suffix}")), &issued.cert)?;
    std::fs::write(directory.join(format!("server.key{suffix}")), &issued.key)?;
    Ok(())
}

/// The first lines of a server's configuration.
pub(crate) fn server_config(name: &str) -> Result<ServerConfigBuilder> {
    let issued = shared_ca().issue(name)?;
    let builder = ServerConfig::builder().with_bind_addr(SocketAddr::from(([127, 0, 0, 1], 0)));
    Ok(builder.with_cert_and_key(issued.cert, issued.key)?.with_ca_cert(shared_ca().ca_pem())?)
}

/// A server that computes, and its address.
pub(crate) fn start(config: ServerConfig) -> Result<(Server, String)> {
    let server = Server::new(config)?;
    server.register(ComputeServer::new(Reverse))?;
    run(&server);
    let address = server.local_addr().to_string();
    Ok((server, address))
}

/// A client's end, with a certificate of this CA.
pub(crate) fn channel(ca: &DevCa) -> Result<ChannelBuilder> {
    let issued = ca.issue("client")?;
    let builder = Channel::builder().with_ca_cert(shared_ca().ca_pem())?;
    Ok(builder.with_cert_and_key(issued.cert, issued.key)?)
}

pub(crate) async fn connect(address: &str) -> Result<Channel> {
    Ok(channel(shared_ca())?.connect(address).await?)
}
