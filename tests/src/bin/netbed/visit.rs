//! A client that lives for one call.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use rpcnet::Channel;
use rpcnet_benches::Failure;
use rpcnet_tests::{ProbeClient, role::Pem};
use tokio::runtime::Builder;

/// The end of the process.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum End {
    /// It closes the channel.
    Close,
    /// It shuts its multi-thread runtime down, which it gives a second.
    Shutdown,
    /// It drops its runtime, which is of the thread that calls.
    Drop,
}

/// Connects, calls once, and ends.
#[derive(Debug, Args)]
pub(crate) struct Visit {
    end: End,
    #[arg(long)]
    to: SocketAddr,
    #[arg(long)]
    certificates: PathBuf,
}

pub(crate) fn run(visit: &Visit) -> Result<(), Failure> {
    let mut builder = match visit.end {
        End::Drop => Builder::new_current_thread(),
        End::Close | End::Shutdown => Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let visited = runtime.block_on(call(visit));
    match visit.end {
        End::Shutdown => runtime.shutdown_timeout(Duration::from_secs(1)),
        End::Close | End::Drop => drop(runtime),
    }
    visited
}

async fn call(visit: &Visit) -> Result<(), Failure> {
    let Pem { cert, key, ca } = Pem::read(&visit.certificates)?;
    let builder = Channel::builder().with_cert_and_key(cert, key)?.with_ca_cert(ca)?;
    let channel = builder.connect(visit.to.to_string()).await?;
    ProbeClient::new(channel.clone()).server_name().await?;
    if let End::Close = visit.end {
        channel.close().await;
    }
    Ok(())
}
