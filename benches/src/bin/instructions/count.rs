//! Counting with valgrind.
//!
//! Each piece runs in two processes, [`TIMES`] times in one and twice as often in the other. The difference is the cost
//! of these runs without the start and the end of a process.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rpcnet_benches::Failure;

/// The number of runs: enough to give rare work, such as a full buffer, its proper weight.
const TIMES: u64 = 2000;

/// The glibc tunables of the counted processes. `memcpy` and other functions of the C library have several forms, and
/// the library picks one by the processor's features. These features are masked, so that all processors use the same
/// form.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM,-FMA,-FMA4,\
                        -AVX_Fast_Unaligned_Load,-AVX_Usable,-AVX2_Usable";

/// The instructions that one run of each of these pieces takes.
pub(crate) fn all(pieces: &[&str]) -> Result<Vec<f64>, Failure> {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut counted = Vec::new();
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            counted.push((*piece, one(piece)?));
        }
        Ok::<_, Failure>(counted)
    };
    let counted = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("it does not panic"));
        results.collect::<Result<Vec<_>, _>>()
    })?
    .concat();
    let of = |piece: &&str| counted.iter().find(|(other, _)| other == piece).map(|&(_, count)| count);
    Ok(pieces.iter().map(|piece| of(piece).expect("all were counted")).collect())
}

fn one(piece: &str) -> Result<f64, Failure> {
    let less = process(piece, TIMES)?;
    let more = process(piece, 2 * TIMES)?;
    Ok(more.saturating_sub(less) as f64 / TIMES as f64)
}

/// The instructions of a process that runs the piece `times` times, and ends.
fn process(piece: &str, times: u64) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--piece", piece, "--times", &times.to_string()])
        .env("GLIBC_TUNABLES", TUNABLES)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("can't run valgrind, which counts: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match collected(&text) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("{piece} was not counted: {}\n{text}", output.status).into()),
    }
}

/// Parses callgrind's last line: `==4242== Collected : 1234`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().rev().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let text = "==1== Callgrind, a call-graph generating cache profiler\n==1== \n==1== Events    : Ir\n==1== Collected : 81234567\n==1== \n";
        assert_eq!(collected(text), Some(81_234_567));
        assert_eq!(collected("==1== Collected : nothing"), None);
        assert_eq!(collected(""), None);
    }
}
