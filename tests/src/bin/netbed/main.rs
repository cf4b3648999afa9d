//! `netbed-process`: the processes that tests run in the hosts of a network of their own.
//!
//! Each role tells the test of itself, a line at a time on stdout, and ends with the test.

mod client;
mod datagrams;
mod node;
mod service;

use std::process::ExitCode;

use clap::Parser;
use rpcnet_benches::Failure;
use rpcnet_tests::role;

/// A process of a test.
#[derive(Debug, Parser)]
#[command(name = "netbed-process")]
enum Role {
    #[command(flatten)]
    Datagrams(datagrams::Role),
    /// A director or a worker: tells `listening ADDR`, `id ID`, and `view ID@ADDR …` whenever its members change.
    Node(node::Node),
    /// A client of workers.
    Client(client::Client),
    /// Makes a network of one host, tells `made`, and waits.
    Bed,
}

#[tokio::main]
async fn main() -> ExitCode {
    role::begin();
    let ended = match Role::parse() {
        Role::Datagrams(role) => datagrams::run(role).await,
        Role::Node(node) => node::run(node).await,
        Role::Client(client) => client::run(client).await,
        Role::Bed => make_bed().await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", rpcnet_benches::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

#[cfg(target_os = "linux")]
async fn make_bed() -> Result<(), Failure> {
    if let Some(_bed) = rpcnet_tests::netbed::Topology::new(["a"]).start() {
        role::tell("made")?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
async fn make_bed() -> Result<(), Failure> {
    Err("there are no network namespaces here".into())
}
