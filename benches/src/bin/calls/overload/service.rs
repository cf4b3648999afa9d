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

/// The number of calls that work at once.
const PLACES: usize = 8;
/// The number of calls that wait, if the server bounds it.
const QUEUE: usize = 16;
/// The time that each call works.
const WORK: Duration = Duration::from_millis(5);
/// The most calls in flight on a connection. With the default of 256, further calls would wait in the client and never
/// be refused.
const CALLS_PER_CONNECTION: u32 = 4096;

/// A service with a capacity.
#[rpc_trait(name = "bench.v1.Work")]
pub(crate) trait Work {
    /// Works for 5 ms, asleep.
    async fn work(&self) -> rpcnet::Result<()>;
}

/// A handler without a limit: the server limits the number of calls.
struct Unguarded;

#[rpc_impl]
impl Work for Unguarded {
    async fn work(&self) -> rpcnet::Result<()> {
        sleep(WORK).await;
        Ok(())
    }
}

/// A handler with a limit: calls wait for a place, first come first served.
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
