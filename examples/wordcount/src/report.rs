//! The client's report to the demo, line by line, and the demo's report at its end.
//!
//! Under the demo, the client writes one JSON object a line to stdout, a [`ClientLine`]. Times that two processes
//! compare are microseconds since the Unix epoch ([`unix_micros`]). The processes run on one machine, so they share its
//! clock.

mod histogram;
mod rolling;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use histogram::{Histogram, HistogramError};
pub use rolling::RollingReport;

/// Microseconds since the Unix epoch, zero for a clock that is set before it.
pub fn unix_micros(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A line of the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientLine {
    /// The progress. Several of these lines come each second.
    Progress(Progress),
    /// The result, in the last line.
    Done(Done),
}

impl ClientLine {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// The line is not such an object.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// The line, without its end.
    ///
    /// # Errors
    ///
    /// None in practice: every value has a JSON form.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The sums so far, from either kind of line.
    pub fn tally(&self) -> &Tally {
        match self {
            Self::Progress(progress) => &progress.tally,
            Self::Done(done) => &done.tally,
        }
    }
}

/// Sums since the client started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Chunks whose counts are merged.
    pub chunks: u64,
    /// Bytes of text in those chunks.
    pub bytes: u64,
    /// The number of times that the whole corpus was read to its end.
    pub passes: u64,
    /// Calls that returned counts.
    pub calls_ok: u64,
    /// Calls that failed for good, after all retries.
    pub calls_failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Calls that returned counts, by label of the worker that did the work.
    pub calls_by_worker: BTreeMap<String, u64>,
    /// The time of the first call to each worker, by label, in microseconds since the Unix epoch.
    pub first_call_unix_us: BTreeMap<String, u64>,
    /// The time at which each worker was last picked for a call, by label, in microseconds since the Unix epoch.
    pub last_pick_unix_us: BTreeMap<String, u64>,
}

/// The client's progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The time since the client's first call, in milliseconds.
    pub elapsed_ms: u64,
    /// The sums.
    pub tally: Tally,
    /// The median latency of the calls that succeeded, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile of the latency of these calls, in microseconds.
    pub p99_us: u64,
    /// The latencies of these calls since the line before, in microseconds.
    pub recent: Histogram,
}

/// The client's result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The time from the first call to the last reply, in milliseconds.
    pub elapsed_ms: u64,
    /// The sums.
    pub tally: Tally,
    /// Latencies of the calls that succeeded, in microseconds.
    pub latency: Histogram,
    /// The number of words, repetitions of the corpus included.
    pub words: u64,
    /// The number of different words.
    pub distinct_words: u64,
    /// The most frequent words, the most frequent first.
    pub top: Vec<WordFrequency>,
    /// True if the merged counts equal the counts of a single thread.
    pub counts_equal: bool,
}

/// A word and the number of its occurrences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordFrequency {
    /// The word, in lower case.
    pub word: String,
    /// The number of its occurrences.
    pub count: u64,
}

/// The object that `demo --json` prints. Its keys and their order are part of the interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoReport {
    /// Chunks counted.
    pub chunks: u64,
    /// Calls that returned counts.
    pub calls_ok: u64,
    /// Calls that failed for good.
    pub calls_failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// True if the merged counts equal the counts of a single thread.
    pub counts_equal: bool,
    /// Workers stopped by SIGKILL.
    pub workers_killed: u64,
    /// Workers stopped by SIGTERM.
    pub workers_drained: u64,
    /// Workers started in mid-run.
    pub workers_joined: u64,
    /// Calls that returned counts, by worker label.
    pub calls_by_worker: BTreeMap<String, u64>,
    /// Median latency in microseconds.
    pub p50_us: u64,
    /// 99th percentile of latency in microseconds.
    pub p99_us: u64,
    /// The time from SIGKILL until the client no longer picked that worker, in milliseconds; `null` if no worker was
    /// killed.
    pub detect_ms: Option<u64>,
    /// The time from a fresh worker's start until its first call, in milliseconds; `null` if it had none.
    pub join_ms: Option<u64>,
}

impl DemoReport {
    /// The part of the report that the client knows. The fields about workers' ends and starts stay zero.
    pub fn from_client(done: &Done) -> Self {
        Self {
            chunks: done.tally.chunks,
            calls_ok: done.tally.calls_ok,
            calls_failed: done.tally.calls_failed,
            retries: done.tally.retries,
            counts_equal: done.counts_equal,
            calls_by_worker: done.tally.calls_by_worker.clone(),
            p50_us: done.latency.quantile(0.5),
            p99_us: done.latency.quantile(0.99),
            ..Self::default()
        }
    }

    /// Returns whether the demo succeeded: the counts are equal and no call was lost.
    pub fn succeeded(&self) -> bool {
        self.counts_equal && self.calls_failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        Tally {
            chunks: 3,
            calls_ok: 3,
            calls_by_worker: [("worker-1".to_owned(), 3)].into(),
            first_call_unix_us: [("worker-1".to_owned(), 1_700_000_000_000_000)].into(),
            ..Tally::default()
        }
    }

    #[test]
    fn lines_survive_the_pipe() {
        let mut latency = Histogram::new();
        latency.record(1_234);
        latency.record(u64::MAX);
        let lines = [
            ClientLine::Progress(Progress { tally: tally(), p50_us: 7, ..Progress::default() }),
            ClientLine::Done(Done {
                tally: tally(),
                latency,
                top: vec![WordFrequency { word: "line\nbreak \"quoted\"".to_owned(), count: 1 }],
                counts_equal: true,
                ..Done::default()
            }),
        ];
        for line in lines {
            let json = line.to_json().unwrap();
            assert!(!json.contains('\n'));
            assert_eq!(ClientLine::parse(&json).unwrap(), line);
            assert_eq!(line.tally().chunks, 3);
        }
        assert!(ClientLine::parse("{\"line\":\"other\"}").is_err());
        assert!(ClientLine::parse("listening on 127.0.0.1").is_err());
    }

    #[test]
    fn the_final_object_has_its_keys_in_order() {
        let report = DemoReport {
            detect_ms: Some(212),
            ..DemoReport::from_client(&Done { tally: tally(), counts_equal: true, ..Done::default() })
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            "{\"chunks\":3,\"calls_ok\":3,\"calls_failed\":0,\"retries\":0,\"counts_equal\":true,\
             \"workers_killed\":0,\"workers_drained\":0,\"workers_joined\":0,\
             \"calls_by_worker\":{\"worker-1\":3},\"p50_us\":0,\"p99_us\":0,\
             \"detect_ms\":212,\"join_ms\":null}"
        );
        assert!(report.succeeded());
        let lost = DemoReport { calls_failed: 1, ..report };
        assert!(!lost.succeeded());
    }

    #[test]
    fn time_before_the_epoch_is_zero() {
        let second = std::time::Duration::from_secs(1);
        assert_eq!(unix_micros(UNIX_EPOCH + second), 1_000_000);
        assert_eq!(unix_micros(UNIX_EPOCH - second), 0);
    }
}
