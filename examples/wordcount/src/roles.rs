//! The work of the binaries. It is in the library so that the demo can run it as processes of its own binary.

mod certificates;
mod client;
mod director;
mod node;
mod worker;

use std::{
    fmt,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

pub use self::{
    client::{connect, run_client},
    director::run_director,
    node::{Node, NodeSettings},
    worker::run_worker,
};
use crate::{CorpusError, SettingsError, USAGE_EXIT_CODE};

/// The reason why a role ended early.
#[derive(Debug)]
pub enum RoleError {
    /// The arguments were wrong, or a given file or node is not there. Exit code 2.
    Usage(anyhow::Error),
    /// The role's work failed. Exit code 1.
    Failed(anyhow::Error),
}

impl RoleError {
    /// Prints the error on one line, and returns the exit code.
    pub fn report(&self, role: &str) -> ExitCode {
        let (error, code) = match self {
            Self::Usage(error) => (error, USAGE_EXIT_CODE),
            Self::Failed(error) => (error, 1),
        };
        say(format_args!("{role}: {error:#}"));
        ExitCode::from(code)
    }
}

impl From<SettingsError> for RoleError {
    fn from(error: SettingsError) -> Self {
        Self::Usage(error.into())
    }
}

impl From<CorpusError> for RoleError {
    fn from(error: CorpusError) -> Self {
        Self::Usage(error.into())
    }
}

impl From<anyhow::Error> for RoleError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Prints a message for the person at the terminal, on stderr.
#[expect(clippy::print_stderr, reason = "what a binary tells its user")]
pub fn say(message: impl fmt::Display) {
    eprintln!("{message}");
}

/// Prints a line of the result on stdout.
///
/// A reader that has gone away is no error.
pub(crate) fn print(line: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Logs to stderr with this filter. A second call does nothing.
pub fn init_log(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}
