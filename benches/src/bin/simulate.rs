//! `simulate`: runs clusters under random faults, one for each seed, and prints the shortest script of each failure.
//!
//! Exits 1 if a seed fails.

use std::{
    io::{self, Write},
    num::NonZero,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use clap::Parser;
use rpcnet_cluster::testing::{Trial, TrialFailure};

/// Runs simulated clusters under random faults and prints each failure with its shortest script.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Flags {
    /// Number of seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Threads to use; as many as there are cores by default.
    #[arg(long)]
    threads: Option<u64>,
}

fn main() -> io::Result<ExitCode> {
    let flags = Flags::parse();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let next = AtomicU64::new(flags.first);
    let end = flags.first.saturating_add(flags.seeds);
    let work = || {
        let mut done: Vec<(u64, Result<Duration, Box<TrialFailure>>)> = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return done;
            }
            let result = Trial::random(seed).run_and_shrink();
            if let Err(failure) = &result {
                // Printed at once, because thousands of seeds take a while.
                let _ = writeln!(io::stdout().lock(), "{failure}");
            }
            done.push((seed, result));
        }
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads = flags.threads.unwrap_or(cores).max(1);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a trial does not panic")).collect()
    });
    let mut failed: Vec<_> =
        done.iter().filter(|(_, result)| result.is_err()).map(|(seed, _)| *seed).collect();
    failed.sort_unstable();
    let slowest = done.iter().filter_map(|(seed, result)| Some((*result.as_ref().ok()?, *seed))).max();
    let mut out = io::stdout().lock();
    if let Some((took, seed)) = slowest {
        writeln!(out, "slowest to agree after the last fault: {:.1} s, seed {seed}", took.as_secs_f64())?;
    }
    writeln!(out, "{} of {} seeds failed {failed:?}", failed.len(), done.len())?;
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
