//! The demo's own flags.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::bail;
use clap::Parser;

/// The shortest run in seconds that leaves time for all acts of the script.
const LEAST_SECONDS: u64 = 4;
const MOST_SECONDS: u64 = 24 * 60 * 60;

/// Starts a cluster on this machine, lets workers die, leave and join, and counts words all the while
#[derive(Debug, Clone, Parser)]
#[command(name = "demo", version)]
pub struct DemoArgs {
    /// File or directory to count [default: this project's checkout]
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Time to count for, again and again; with --rolling-restart, the time before the first restart
    #[arg(long, value_name = "N", default_value_t = 15)]
    seconds: u64,
    /// Restart every worker and every director in turn, and compare the time that calls take
    #[arg(long)]
    pub rolling_restart: bool,
    /// Print one JSON object on stdout, and nothing else there
    #[arg(long)]
    pub json: bool,
}

impl DemoArgs {
    /// Checks the values.
    ///
    /// # Errors
    ///
    /// The number of seconds is too small or too large.
    pub fn check(self) -> anyhow::Result<Self> {
        if !(LEAST_SECONDS..=MOST_SECONDS).contains(&self.seconds) {
            bail!("--seconds is `{}`: give a number from {LEAST_SECONDS} to {MOST_SECONDS}", self.seconds);
        }
        Ok(self)
    }

    /// The file or directory to count.
    pub fn input(&self) -> PathBuf {
        self.input.clone().unwrap_or_else(|| {
            let package = Path::new(env!("CARGO_MANIFEST_DIR"));
            let checkout = package.ancestors().nth(2).unwrap_or(package);
            // A binary that was copied elsewhere counts the current directory.
            if checkout.is_dir() { checkout.to_owned() } else { PathBuf::from(".") }
        })
    }

    /// The time for which words are counted, or with a rolling restart the quiet time before it.
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
