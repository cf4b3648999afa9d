//! A journal of events and their times, printed when an invariant was broken.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Shared by all who do something to the cluster.
#[derive(Debug)]
pub(crate) struct Journal {
    began: Instant,
    lines: Mutex<Vec<(Duration, String)>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), lines: Mutex::default() }
    }

    /// Since the beginning of the run.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn note(&self, line: String) {
        let now = self.now();
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push((now, line));
    }

    /// All lines in their order, with their times in seconds.
    pub(crate) fn told(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|(at, line)| format!("{:8.2} s  {line}", at.as_secs_f64())).collect()
    }
}
