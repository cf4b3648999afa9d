//! The binary `worker`; `--help` tells what it takes.

use std::process::ExitCode;

use clap::Parser as _;
use rpcnet_wordcount::{WorkerArgs, roles};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = WorkerArgs::parse().resolve(|name| std::env::var_os(name));
    let ended = match settings {
        Ok(settings) => roles::run_worker(settings).await,
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report("worker"),
    }
}
