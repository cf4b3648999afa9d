//! The demo's report of a rolling restart.

use serde::{Deserialize, Serialize};

/// The object that `demo --rolling-restart --json` prints. Its keys and their order are part of the interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingReport {
    /// The number of calls.
    pub calls: u64,
    /// Calls that failed for good. None should.
    pub calls_failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// True if the merged counts equal the counts of a single thread.
    pub counts_equal: bool,
    /// Workers that were told to stop, ended, and were started again.
    pub workers_restarted: u64,
    /// Directors that were told to stop, ended, and were started again.
    pub directors_restarted: u64,
    /// The longest time from SIGTERM until a process was back, in milliseconds.
    pub longest_restart_ms: u64,
    /// 99th percentile of latency before the first restart, in microseconds.
    pub quiet_p99_us: u64,
    /// 99th percentile of latency from the first SIGTERM until the last process was back, in microseconds.
    pub restart_p99_us: u64,
    /// `restart_p99_us` divided by `quiet_p99_us`. It should be less than 3.
    pub p99_ratio: f64,
}

impl RollingReport {
    /// Returns whether the restart went unnoticed, except for the latency of calls: the counts are equal and no call
    /// was lost.
    pub fn succeeded(&self) -> bool {
        self.counts_equal && self.calls_failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_its_keys_in_order() {
        let report =
            RollingReport { calls: 7, counts_equal: true, p99_ratio: 1.5, ..RollingReport::default() };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            "{\"calls\":7,\"calls_failed\":0,\"retries\":0,\"counts_equal\":true,\"workers_restarted\":0,\
             \"directors_restarted\":0,\"longest_restart_ms\":0,\"quiet_p99_us\":0,\"restart_p99_us\":0,\
             \"p99_ratio\":1.5}"
        );
        assert!(report.succeeded());
        assert!(!RollingReport { calls_failed: 1, ..report }.succeeded());
    }
}
