//! The binary `inference-worker`; `--help` tells what it takes.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use rpcnet_wordcount::WorkerArgs;

/// Generates text, word by word
#[derive(Debug, Parser)]
#[command(name = "inference-worker", version)]
struct Arguments {
    /// Train on this text instead of the one that is built in; all workers need the same
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Milliseconds that a token takes
    #[arg(long, value_name = "N", default_value_t = 30)]
    pace: u64,
    #[command(flatten)]
    worker: WorkerArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { text, pace, worker } = Arguments::parse();
    let ended = match worker.resolve(|name| std::env::var_os(name)) {
        Ok(settings) => rpcnet_inference::run_worker(settings, text, Duration::from_millis(pace)).await,
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report("inference-worker"),
    }
}
