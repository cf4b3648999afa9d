//! The further processes of the benchmark, and their orders.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
};

use clap::ValueEnum;
use rpcnet::dev::DevCa;
use rpcnet_benches::{Credentials, Failure, ServerProcess, bare, exit_with_parent};

use crate::{ours, overload, runtime, slow_consumer};

/// The work of a process of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Services of rpcnet, echo among them.
    Ours,
    /// Echo on bare quinn.
    Bare,
    /// A server of small capacity that refuses calls beyond a fixed number.
    Shedding,
    /// The same, with a number that the server finds by measuring.
    Adaptive,
    /// The same, but it refuses no calls.
    Unlimited,
    /// No server: a client that sends much, and reports by how much its memory has grown.
    Upload,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Bare => "bare",
            Self::Shedding => "shedding",
            Self::Adaptive => "adaptive",
            Self::Unlimited => "unlimited",
            Self::Upload => "upload",
        })
    }
}

/// Starts the process of a role. Returns its address too.
pub(crate) fn start(role: Role, ca: &DevCa) -> Result<(ServerProcess, SocketAddr), Failure> {
    let name = role.to_string();
    let credentials = serde_json::to_string(&Credentials::issue(ca, &name)?)?;
    let process = ServerProcess::start(&name, &["--serve", &name], &credentials)?;
    let address = process.greeting().parse()?;
    Ok((process, address))
}

/// Runs such a process, until the parent ends.
pub(crate) fn serve(role: Role) -> Result<(), Failure> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    exit_with_parent();
    let runtime = runtime()?;
    if role == Role::Upload {
        return runtime.block_on(slow_consumer::run_upload(&line));
    }
    let credentials: Credentials = serde_json::from_str(&line)?;
    runtime.block_on(async {
        match role {
            Role::Ours => ours::serve(&credentials, ready).await,
            Role::Bare => {
                let endpoint = bare::listen(&credentials)?;
                ready(endpoint.local_addr()?)?;
                bare::serve(endpoint).await;
                Ok(())
            }
            _ => overload::serve(role, &credentials, ready).await,
        }
    })
}

/// Reports this process's address to the parent.
fn ready(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}
