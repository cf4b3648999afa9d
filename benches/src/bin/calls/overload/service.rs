//! A server of small capacity.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rpcnet::{Admission, Limits, Server, ServerConfig, Status, rpc_impl, rpc_trait};
use rpcnet_benches::{Credentials, Failure};
use tokio::{sync::Semaphore, time::sleep};

use crate::role::Role;

/// How many calls are at work at once.
const PLACES: usize = 8;
/// How many wait, where a server bounds that.
const QUEUE: usize = 16;
/// How long each works.
const WORK: Duration = Duration::from_millis(5);
/// Calls beyond the default of 256 would wait in the client, and be refused by nobody.
const CALLS_PER_CONNECTION: u32 = 4096;

/// Has a capacity.
#[rpc_trait(name = "bench.v1.Work")]
pub(crate) trait Work {
    /// Works for 5 ms, asleep.
    async fn work(&self) -> rpcnet::Result<()>;
}

/// Leaves it to the server how many calls are at work.
struct Unguarded;

#[rpc_impl]
impl Work for Unguarded {
    async fn work(&self) -> rpcnet::Result<()> {
        sleep(WORK).await;
        Ok(())
    }
}

/// Calls wait for a place in the handler, first come first served.
struct Guarded(Semaphore);

#[rpc_impl]
impl Work for Guarded {
    async fn work(&self) -> rpcnet::Result<()> {
        let _place = self.0.acquire().await.map_err(|_| Status::internal("nobody closes it"))?;
        sleep(WORK).await;
        Ok(())
    }
}

pub(crate) async fn serve(
    role: Role,
    credentials: &Credentials,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut config = ServerConfig::builder()
        .with_bind_addr((Ipv4Addr::LOCALHOST, 0).into())
        .with_cert_and_key(&credentials.cert, &credentials.key)?
        .with_ca_cert(&credentials.ca)?
        .with_limits(Limits::default().with_max_calls_per_connection(CALLS_PER_CONNECTION));
    config = match role {
        Role::Shedding => config.with_admission(Admission::fixed(PLACES).with_queue(QUEUE)),
        Role::Adaptive => config.with_admission(Admission::adaptive().with_queue(QUEUE)),
        _ => config,
    };
    let server = Server::new(config.build()?)?;
    match role {
        Role::Shedding => server.register(WorkServer::new(Unguarded))?,
        _ => server.register(WorkServer::new(Guarded(Semaphore::new(PLACES))))?,
    };
    ready(server.local_addr())?;
    Ok(server.run().await?)
}
