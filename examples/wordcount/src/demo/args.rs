//! The demo's own flags.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::bail;
use clap::Parser;

/// The least that leaves time for what is to happen.
const LEAST_SECONDS: u64 = 4;
const MOST_SECONDS: u64 = 24 * 60 * 60;

/// Starts a cluster on this machine, lets workers die, leave and join, and counts words all the while
#[derive(Debug, Clone, Parser)]
#[command(name = "demo", version)]
pub struct DemoArgs {
    /// File or directory to count [default: this project's checkout]
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// How long to count, again and again; with --rolling-restart, how long before the first restart
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
    /// A number of seconds that is too small or too large.
    pub fn check(self) -> anyhow::Result<Self> {
        if !(LEAST_SECONDS..=MOST_SECONDS).contains(&self.seconds) {
            bail!("--seconds is `{}`: give a number from {LEAST_SECONDS} to {MOST_SECONDS}", self.seconds);
        }
        Ok(self)
    }

    /// What is counted.
    pub fn input(&self) -> PathBuf {
        self.input.clone().unwrap_or_else(|| {
            let package = Path::new(env!("CARGO_MANIFEST_DIR"));
            let checkout = package.ancestors().nth(2).unwrap_or(package);
            // A binary that was copied elsewhere counts where it is run.
            if checkout.is_dir() { checkout.to_owned() } else { PathBuf::from(".") }
        })
    }

    /// How long is counted; how long the quiet before a rolling restart is.
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
