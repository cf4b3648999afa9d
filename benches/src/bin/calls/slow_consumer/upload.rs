//! A client in a process of its own that sends to a handler which reads slowly.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use rpcnet::dev::DevCa;
use rpcnet_benches::{Credentials, Failure, Memory, ServerProcess};
use serde::{Deserialize, Serialize};

use super::grown;
use crate::{
    blocks::{BlocksClient, Order, Pace},
    ours,
    role::{self, Role},
};

/// The task of the client's process.
#[derive(Serialize, Deserialize)]
struct Task {
    credentials: Credentials,
    address: SocketAddr,
    order: Order,
    pace: Pace,
}

/// The number of bytes by which the memory of a client grows while it sends this. Blocks until it is done.
pub(super) fn start(ca: &DevCa, order: Order, pace: Pace) -> Result<u64, Failure> {
    let (_server, address) = role::start(Role::Ours, ca)?;
    let task = Task { credentials: Credentials::issue(ca, "uploader")?, address, order, pace };
    let name = Role::Upload.to_string();
    let process = ServerProcess::start(&name, &["--serve", &name], &serde_json::to_string(&task)?)?;
    Ok(process.greeting().parse()?)
}

/// Runs as that process: does the task, and reports by how many bytes its memory has grown.
pub(crate) async fn run(task: &str) -> Result<(), Failure> {
    let Task { credentials, address, order, pace } = serde_json::from_str(task)?;
    let client = BlocksClient::new(ours::connect(address, &credentials).await?);
    let own = std::process::id();
    let before = Memory::of(own)?;
    client.upload(order, pace, order.blocks()).await?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", grown(before, Memory::of(own)?))?;
    Ok(out.flush()?)
}
