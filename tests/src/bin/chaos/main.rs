//! `chaos`: a cluster of real processes under faults, and calls all the while.
//!
//! Directors and workers are processes of this binary. They reach each other, and the client in here reaches them,
//! through UDP proxies in here alone. A schedule that follows from the seed kills, stops, drains and restarts
//! processes, and cuts, delays, reorders and loses packets. Then what the callers saw is compared with what the workers
//! had written down. It exits 0 when it could run, whatever it found; what broke is told on stderr.

mod checks;
mod faults;
mod journal;
mod ledger;
mod load;
mod proxy;
mod pulse;
mod report;
mod resources;
mod role;
mod run;
mod schedule;
mod service;
mod sky;
mod stage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rpcnet_benches::{Failure, Options};

use self::{
    role::RoleArgs,
    run::say,
    schedule::{Cast, Kind},
};

/// Lets processes of a cluster die, stop, drain and lose their packets under load, and checks that nothing is lost.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// About how long a run lasts.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Seed of the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of runs: with this seed, and those after it.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32))]
    directors: u8,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// Calls a second.
    #[arg(long, default_value_t = 120)]
    rate: u32,
    /// Only these faults [default: all].
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = Kind::NAMES)]
    faults: Vec<String>,
    /// Keep the directory with certificates, ledgers and logs (RUST_LOG says what is logged).
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    role: Option<Command>,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// One of the cluster's processes: for the runner alone.
    #[command(hide = true)]
    Role(RoleArgs),
}

impl Flags {
    fn cast(&self) -> Cast {
        Cast { directors: self.directors.into(), workers: self.workers.into() }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut flags = Flags::parse();
    let ended = match flags.role.take() {
        Some(Command::Role(args)) => role::run(args).await,
        None => tokio::select! {
            ended = all(&flags) => ended,
            // A run that is dropped kills its processes and removes its directory.
            _ = rpcnet::shutdown_signal() => Err("interrupted; all processes were stopped".into()),
        },
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("chaos: {}", rpcnet_benches::chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

async fn all(flags: &Flags) -> Result<(), Failure> {
    let mut runs = Vec::new();
    for seed in (flags.seed..).take(usize::try_from(flags.seeds)?) {
        let directory =
            tempfile::Builder::new().prefix("rpcnet-chaos-").disable_cleanup(flags.keep).tempdir()?;
        if flags.keep {
            say(&format!("seed {seed}: all is kept in {}", directory.path().display()));
        }
        let run = run::run(flags, seed, directory.path()).await?;
        let broken = report::tell(seed, &run);
        if broken && !flags.keep {
            say(&format!("again, with logs: --seed {seed} --seconds {} --keep", flags.seconds));
        }
        runs.push((seed, run));
    }
    Ok(report::report(&runs).print(&flags.options)?)
}
