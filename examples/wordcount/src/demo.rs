//! The demo: a whole cluster on this machine, with faults.
//!
//! It starts directors, workers and a client as processes of its own binary, kills one worker, stops another, starts a
//! fresh one, and checks that all words were counted nevertheless.

mod args;
mod cast;
mod process;
mod rolling;
mod script;
mod stage;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;

pub use self::args::DemoArgs;
use self::stage::Stage;
use crate::{
    ClientArgs, Corpus, DirectorArgs, WorkerArgs,
    roles::{self, RoleError, say},
};

/// The hidden argument with which the demo's binary becomes one of the cluster's processes.
const ROLE: &str = "__role";

/// The main function of the demo's binary, given the process's arguments.
pub async fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    if arguments.get(1).is_some_and(|first| first == ROLE) {
        return role(&arguments[2..]).await;
    }
    let ended = match DemoArgs::parse_from(arguments).check() {
        Ok(args) => run(args).await,
        Err(error) => Err(RoleError::Usage(error)),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => error.report("demo"),
    }
}

/// Runs one of the cluster's processes: the role, then its own arguments.
async fn role(arguments: &[OsString]) -> ExitCode {
    process::end_with_parent();
    let environment = |_: &str| None;
    let name = arguments.first().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let ended = match name.as_str() {
        "director" => match DirectorArgs::parse_from(arguments).resolve(environment) {
            Ok(settings) => roles::run_director(settings).await,
            Err(error) => Err(error.into()),
        },
        "worker" => match WorkerArgs::parse_from(arguments).resolve(environment) {
            Ok(settings) => roles::run_worker(settings).await,
            Err(error) => Err(error.into()),
        },
        "client" => match ClientArgs::parse_from(arguments).resolve(environment) {
            Ok(settings) => roles::run_client(settings).await,
            Err(error) => Err(error.into()),
        },
        other => Err(RoleError::Usage(anyhow::anyhow!("there is no role `{other}`"))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(&name),
    }
}

/// Runs the demo. Returns whether it succeeded.
async fn run(args: DemoArgs) -> Result<bool, RoleError> {
    // Inputs that can't be counted are reported before anything is started.
    let input = args.input();
    let gathered = tokio::task::spawn_blocking(move || Corpus::gather(&[input])).await;
    let corpus = gathered.map_err(|error| RoleError::Failed(error.into()))??;
    let binary = corpus.skipped().iter().filter(|skipped| skipped.reason.is_binary()).count();
    if !args.json {
        say(format_args!(
            "counting {} files, {:.1} MB{}; directors and workers get certificates of a development CA",
            corpus.files().len(),
            corpus.bytes() as f64 / 1e6,
            if binary > 0 { format!(" ({binary} binary files skipped)") } else { String::new() },
        ));
    }
    drop(corpus);
    tokio::select! {
        ended = Stage::run(&args) => ended,
        // Dropping the stage ends its processes.
        _ = rpcnet::shutdown_signal() => Err(RoleError::Failed(anyhow::anyhow!("interrupted; all processes were stopped"))),
    }
}
