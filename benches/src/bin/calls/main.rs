//! `calls`: the cost of calls, and the behaviour under overload.
//!
//! - `calls/echo`: unary echo through generated code with everything that is on by default (deadline, metrics,
//!   cancellation, the watch for silent peers), beside the same echo written by hand on bare quinn. Client and servers
//!   are processes of their own on loopback. The two systems are measured in turn, round by round, so that other work
//!   of the machine affects both alike.
//! - `calls/items`: the items of a server stream.
//! - `calls/allocations`: the allocations of both sides for a call.
//! - `calls/slow-consumer`: the memory of a sender whose reader does not read.
//! - `calls/overload`: twice as many calls as a server can answer.

mod allocations;
mod blocks;
mod echo;
mod items;
mod ours;
mod overload;
mod progress;
mod role;
mod slow_consumer;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use rpcnet_benches::{Failure, Options, Report, chain};

use self::role::Role;

/// Measures calls: echo beside bare quinn, streams, allocations, slow readers, overload.
#[derive(Debug, Parser)]
#[command(name = "calls")]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// Role of this process; the benchmark starts itself again with it.
    #[arg(long, hide = true, value_name = "ROLE")]
    serve: Option<Role>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let result = match flags.serve {
        Some(role) => role::serve(role),
        None => measure(&flags.options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "calls: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// A group's prefix, and whether any row with this prefix is selected.
type Group = (&'static str, fn(&Options) -> bool);

const GROUPS: [Group; 5] = [
    (echo::PREFIX, echo::selected),
    (items::PREFIX, items::selected),
    (allocations::PREFIX, allocations::selected),
    (slow_consumer::PREFIX, slow_consumer::selected),
    (overload::PREFIX, overload::selected),
];

fn measure(options: &Options) -> Result<(), Failure> {
    if !GROUPS.iter().any(|(_, selected)| selected(options)) {
        let prefixes = GROUPS.map(|(prefix, _)| format!("{prefix}…")).join(", ");
        let message =
            format!("no row begins with {:?}; the rows are {prefixes}", options.only().unwrap_or_default());
        Flags::command().error(ErrorKind::InvalidValue, message).exit();
    }
    let mut report = Report::new();
    runtime()?.block_on(async {
        report.extend(echo::measure(options).await?);
        report.extend(items::measure(options).await?);
        report.extend(slow_consumer::measure(options).await?);
        report.extend(overload::measure(options).await?);
        // Last, because counting costs time.
        report.extend(allocations::measure(options).await?);
        Ok::<(), Failure>(())
    })?;
    Ok(report.print(options)?)
}

/// A runtime like a service's: one thread for each core.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
