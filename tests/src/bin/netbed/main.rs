//! `netbed-process`: the processes that tests run in the hosts of a network of their own.
//!
//! Each role tells the test of itself, a line at a time on stdout, and ends with the test.

mod client;
mod datagrams;
mod node;
mod service;
mod visit;
mod word_count;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rpcnet_benches::Failure;
use rpcnet_tests::role;

/// A process of a test.
#[derive(Debug, Parser)]
#[command(name = "netbed-process")]
enum Role {
    #[command(flatten)]
    Awaited(Box<Awaited>),
    /// A client that lives for one call, with a runtime of its own.
    Visit(visit::Visit),
}

#[derive(Debug, Subcommand)]
enum Awaited {
    #[command(flatten)]
    Datagrams(datagrams::Role),
    /// A director or a worker: tells `listening ADDR`, `id ID`, and `view ID@ADDR …` whenever its members change.
    Node(node::Node),
    /// A client of workers.
    Client(client::Client),
    /// A binary of `examples`.
    #[command(subcommand)]
    WordCount(word_count::WordCount),
    /// Makes a network of one host, tells `made`, and waits.
    Bed,
}

fn main() -> ExitCode {
    role::begin();
    let ended = match Role::parse() {
        Role::Awaited(role) => run(*role),
        Role::Visit(visit) => visit::run(&visit),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", rpcnet_benches::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(role: Awaited) -> Result<(), Failure> {
    match role {
        Awaited::Datagrams(role) => datagrams::run(role).await,
        Awaited::Node(node) => node::run(node).await,
        Awaited::Client(client) => client::run(client).await,
        Awaited::WordCount(role) => word_count::run(role).await,
        Awaited::Bed => make_bed().await,
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
