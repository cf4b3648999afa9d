//! Measures the routing of calls: `cargo run --release -p rpcnet-benches --bin routing [-- --only routing/hang]
//! [--json] [--quick]`.
//!
//! Workers are processes of their own. Each has room for four calls of 2 ms at a time, so four workers take at most
//! 8000 calls a second.

mod direct;
mod faults;
mod hash;
mod load;
mod pick;
mod relay;
mod restart;
mod role;
mod service;
mod slow;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use rpcnet_benches::{Failure, Options, Report, chain};

/// Measures the routing of calls: picks, slow workers, hanging ones, killed ones, relays.
#[derive(Debug, Parser)]
#[command(name = "routing")]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Role of this process; the benchmark starts itself again with it.
    #[arg(long, hide = true)]
    serve: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let result = if flags.serve { role::serve() } else { measure(&flags.options) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "routing: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

const PREFIXES: [&str; 10] = [
    pick::PREFIX,
    hash::PREFIX,
    direct::PREFIX,
    relay::PREFIX,
    slow::PREFIX,
    faults::KILL,
    faults::HANG,
    faults::HEDGING,
    restart::PREFIX,
    restart::STREAM,
];

/// The length of the measurements.
#[derive(Debug, Clone, Copy)]
struct Plan {
    quick: bool,
}

impl Plan {
    /// Returns `seconds` seconds, or one second for a quick run.
    fn seconds(self, seconds: u64) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { seconds })
    }

    fn rounds(self, rounds: usize) -> usize {
        if self.quick { 1 } else { rounds }
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    let asked =
        |prefix: &str| options.only().is_none_or(|only| prefix.starts_with(only) || only.starts_with(prefix));
    if !PREFIXES.iter().any(|prefix| asked(prefix)) {
        let prefixes = PREFIXES.map(|prefix| format!("{prefix}…")).join(", ");
        let message =
            format!("no row begins with {:?}; the rows are {prefixes}", options.only().unwrap_or_default());
        Flags::command().error(ErrorKind::InvalidValue, message).exit();
    }
    let plan = Plan { quick: options.quick() };
    let mut report = Report::new();
    runtime()?.block_on(async {
        if asked(pick::PREFIX) {
            report.extend(pick::measure(plan).await?);
        }
        if asked(hash::PREFIX) {
            report.extend(hash::measure()?);
        }
        if asked(direct::PREFIX) {
            report.extend(direct::measure(plan).await?);
        }
        if asked(relay::PREFIX) {
            report.extend(relay::measure(plan).await?);
        }
        if asked(slow::PREFIX) {
            report.extend(slow::measure(plan).await?);
        }
        if asked(faults::KILL) {
            report.extend(faults::kill(plan).await?);
        }
        if asked(faults::HANG) {
            report.extend(faults::hang(plan, false).await?);
        }
        if asked(faults::HEDGING) {
            report.extend(faults::hang(plan, true).await?);
        }
        if asked(restart::PREFIX) || asked(restart::STREAM) {
            report.extend(restart::measure(plan).await?);
        }
        Ok::<(), Failure>(())
    })?;
    Ok(report.print(options)?)
}

/// A runtime like a service's: one thread for each core.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn target(text: &str) -> rpcnet_benches::Target {
    text.parse().expect("a target")
}
