//! What the demo prints of a rolling restart.

use serde::{Deserialize, Serialize};

/// The object that `demo --rolling-restart --json` prints. Its keys and their order are part of the interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingReport {
    /// Calls in all.
    pub calls: u64,
    /// Calls that failed for good. None should.
    pub calls_failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Whether the merged counts equal those of a single thread.
    pub counts_equal: bool,
    /// Workers that were told to stop, went, and were back.
    pub workers_restarted: u64,
    /// Likewise, directors.
    pub directors_restarted: u64,
    /// From SIGTERM until the process was back, the longest, in milliseconds.
    pub longest_restart_ms: u64,
    /// 99th percentile of latency before the first restart, in microseconds.
    pub quiet_p99_us: u64,
    /// Likewise, from the first SIGTERM until the last one was back.
    pub restart_p99_us: u64,
    /// The latter divided by the former. It should be less than 3.
    pub p99_ratio: f64,
}

impl RollingReport {
    /// Whether the restart was what it should be: nobody noticed, but for the time that calls took.
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
