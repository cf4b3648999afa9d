//! `calls`: what a call costs.
//!
//! `calls/echo`: unary echo through generated code with everything that is on by default (deadline, metrics,
//! cancellation, the watch for silent peers), beside the same echo written by hand on bare quinn. Client and servers
//! are processes of their own on loopback; both systems are measured in turn, round by round, so that what else the
//! machine does meets both alike.

mod bare;
mod echo;
mod ours;
mod role;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use rpcnet_benches::{Options, Report};

use self::role::Role;

/// Measures calls: unary echo beside bare quinn.
#[derive(Debug, Parser)]
#[command(name = "calls")]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// What this process serves: the benchmark starts itself again with it.
    #[arg(long, hide = true, value_name = "ROLE")]
    serve: Option<Role>,
}

/// Why something could not be measured.
type Failure = Box<dyn Error + Send + Sync>;

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

/// An error and its causes; a cause that an error has told already is left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut chain = error.to_string();
    for error in std::iter::successors(error.source(), |&error| error.source()) {
        let cause = error.to_string();
        if !chain.ends_with(&cause) {
            chain.push_str(": ");
            chain.push_str(&cause);
        }
    }
    chain
}

fn measure(options: &Options) -> Result<(), Failure> {
    if !echo::selected(options) {
        let message = format!(
            "no row begins with {:?}; the rows are {}…",
            options.only().unwrap_or_default(),
            echo::PREFIX
        );
        Flags::command().error(ErrorKind::InvalidValue, message).exit();
    }
    let mut report = Report::new();
    report.extend(runtime()?.block_on(echo::measure(options))?);
    Ok(report.print(options)?)
}

/// What a service would run on: a thread for each core.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
