//! The binary `client`; `--help` tells what it takes.

use std::process::ExitCode;

use clap::Parser as _;
use rpcnet_wordcount::{ClientArgs, roles};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = ClientArgs::parse().resolve(|name| std::env::var_os(name));
    let ended = match settings {
        Ok(settings) => roles::run_client(settings).await,
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report("client"),
    }
}
