//! The binary `demo`; `--help` tells what it takes.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    rpcnet_wordcount::demo::main(std::env::args_os()).await
}
