//! The binaries of `examples/wordcount`, as they are.

use clap::Subcommand;
use rpcnet_benches::Failure;
use rpcnet_wordcount::{ClientArgs, DirectorArgs, WorkerArgs, roles};

#[derive(Debug, Subcommand)]
pub(crate) enum WordCount {
    Director(DirectorArgs),
    Worker(WorkerArgs),
    Client(ClientArgs),
}

pub(crate) async fn run(role: WordCount) -> Result<(), Failure> {
    let environment = |name: &str| std::env::var_os(name);
    let (name, ended) = match role {
        WordCount::Director(args) => ("director", roles::run_director(args.resolve(environment)?).await),
        WordCount::Worker(args) => ("worker", roles::run_worker(args.resolve(environment)?).await),
        WordCount::Client(args) => ("client", roles::run_client(args.resolve(environment)?).await),
    };
    ended.map_err(|error| {
        error.report(name);
        format!("the {name} has failed").into()
    })
}
