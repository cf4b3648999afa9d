//! The binary `inference-client`; `--help` tells what it takes.

use std::process::ExitCode;

use clap::Parser;
use rpcnet_wordcount::CallerArgs;

/// Prints the tokens that the workers generate, as they come
#[derive(Debug, Parser)]
#[command(name = "inference-client", version)]
struct Arguments {
    /// Text to continue; its last two words count
    #[arg(value_name = "PROMPT", default_value = "A worker")]
    prompt: String,
    /// Number of tokens to ask for
    #[arg(long, value_name = "N", default_value_t = 200)]
    tokens: u32,
    /// The same seed gives the same tokens
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    caller: CallerArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { prompt, tokens, seed, caller } = Arguments::parse();
    let ended = match caller.resolve(|name| std::env::var_os(name)) {
        Ok(settings) => rpcnet_inference::run_client(settings, &prompt, seed, tokens).await,
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report("inference-client"),
    }
}
