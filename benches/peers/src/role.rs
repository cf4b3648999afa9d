//! The role of a process. It is on the command line, and further orders are in the first line of input.

use std::{
    io::{self, BufRead, Write},
    net::SocketAddr,
    path::PathBuf,
};

use clap::ValueEnum;
use rpcnet_benches::{Credentials, Failure, chain, exit_with_parent};
use serde::{Deserialize, Serialize};

use crate::{
    order::{Answer, Order},
    peer::{self, Peer, ours::Shape, tonic::Security},
    proxy,
    system::System,
    work::Work,
};

/// The kind of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Server,
    Client,
    Proxy,
}

/// The first orders of a process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) credentials: Credentials,
    /// The directory of the credentials as files, for a peer that takes nothing else.
    pub(crate) files: PathBuf,
    /// The addresses that a client calls, or that a proxy forwards to.
    pub(crate) addresses: Vec<SocketAddr>,
    /// True for a server that takes its time over work.
    pub(crate) slow: bool,
    /// The seed of the proxy's dice.
    pub(crate) seed: u64,
}

impl Start {
    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(*self.addresses.first().ok_or("no address was told")?)
    }
}

/// Runs such a process, until its parent ends.
pub(crate) fn run(role: Role, system: System) -> Result<(), Failure> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let start: Start = serde_json::from_str(&line)?;
    match role {
        Role::Client => client(system, &start),
        Role::Server => {
            exit_with_parent();
            runtime()?.block_on(serve(system, &start))
        }
        Role::Proxy => {
            exit_with_parent();
            proxy::run(start.address()?, start.seed)
        }
    }
}

/// A runtime like a service's: one thread for each core.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn serve(system: System, start: &Start) -> Result<(), Failure> {
    let credentials = &start.credentials;
    match system {
        System::Ours | System::OursStreams | System::OursBalanced => {
            peer::ours::serve(credentials, start.slow).await
        }
        System::BareStream => peer::bare_stream::serve(credentials).await,
        System::BareLane => peer::bare_lane::serve(credentials).await,
        System::BareItems => peer::bare_items::serve(credentials).await,
        System::Tarpc => peer::tarpc::serve().await,
        System::TonicTls | System::TonicBalanceList | System::TowerPeakEwma => {
            peer::tonic::serve(credentials, Security::Tls, start.slow).await
        }
        System::TonicTcp => peer::tonic::serve(credentials, Security::Plain, start.slow).await,
        #[cfg(feature = "rpcnet-0-1")]
        System::Rpcnet01 => peer::rpcnet_0_1::serve(&start.files).await,
        #[cfg(not(feature = "rpcnet-0-1"))]
        System::Rpcnet01 => Err("built without rpcnet 0.1".into()),
    }
}

fn client(system: System, start: &Start) -> Result<(), Failure> {
    let credentials = &start.credentials;
    let runtime = runtime()?;
    // Sockets must be opened inside a runtime.
    let _entered = runtime.enter();
    match system {
        System::Ours => obey(&runtime, peer::ours::Ours::new(credentials, Shape::Default)?, start),
        System::OursStreams => obey(&runtime, peer::ours::Ours::new(credentials, Shape::Streams)?, start),
        System::OursBalanced => {
            obey(&runtime, peer::ours::Balanced::new(credentials, &start.addresses), start)
        }
        System::BareStream => obey(&runtime, peer::bare_stream::BareStream::new(credentials)?, start),
        System::BareLane => obey(&runtime, peer::bare_lane::BareLane::new(credentials)?, start),
        System::BareItems => obey(&runtime, peer::bare_items::BareItems::new(credentials)?, start),
        System::Tarpc => obey(&runtime, peer::tarpc::Tarpc, start),
        System::TonicTls => obey(&runtime, peer::tonic::Tonic::new(credentials, Security::Tls), start),
        System::TonicTcp => obey(&runtime, peer::tonic::Tonic::new(credentials, Security::Plain), start),
        System::TonicBalanceList => {
            obey(&runtime, peer::tonic::BalanceList::new(credentials, &start.addresses), start)
        }
        System::TowerPeakEwma => {
            obey(&runtime, peer::tower::PeakEwma::new(credentials, &start.addresses), start)
        }
        #[cfg(feature = "rpcnet-0-1")]
        System::Rpcnet01 => obey(&runtime, peer::rpcnet_0_1::Rpcnet01::new(&start.files), start),
        #[cfg(not(feature = "rpcnet-0-1"))]
        System::Rpcnet01 => Err("built without rpcnet 0.1".into()),
    }
}

/// Carries out orders, one a line, until the input ends.
fn obey<P: Peer>(runtime: &tokio::runtime::Runtime, peer: P, start: &Start) -> Result<(), Failure> {
    let mut work = Work::new(peer, start.address()?);
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let answer: Answer = runtime.block_on(work.carry_out(order)).map_err(|error| chain(&*error));
        say(&serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
