//! The script of the demo: faults and their times.

use std::time::Duration;

pub(super) const DIRECTORS: usize = 3;
pub(super) const WORKERS: usize = 4;
pub(super) const KILLED: &str = "worker-2";
pub(super) const STOPPED: &str = "worker-3";
pub(super) const FRESH: &str = "worker-5";

/// A fault or change in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// A worker is killed.
    Kill,
    /// Another worker is stopped, and may finish its calls.
    Stop,
    /// A fresh worker is started.
    Start,
}

/// The acts that are still to come.
#[derive(Debug)]
pub(super) struct Script {
    acts: Vec<(Duration, Act)>,
}

impl Script {
    /// A script for a run of this length. The acts are spread so that there is time after the last one.
    pub(super) fn new(length: Duration) -> Self {
        let at = |share: f64| length.mul_f64(share);
        Self { acts: vec![(at(0.6), Act::Start), (at(0.45), Act::Stop), (at(0.25), Act::Kill)] }
    }

    /// The next act, if its time has come.
    pub(super) fn due(&mut self, elapsed: Duration) -> Option<Act> {
        let (_, act) = *self.acts.last().filter(|(at, _)| *at <= elapsed)?;
        self.acts.pop();
        Some(act)
    }

    /// Returns whether all acts are done.
    pub(super) fn is_over(&self) -> bool {
        self.acts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_come_in_order_and_once() {
        let mut script = Script::new(Duration::from_secs(20));
        assert_eq!(script.due(Duration::from_secs(4)), None);
        assert_eq!(script.due(Duration::from_secs(5)), Some(Act::Kill));
        assert_eq!(script.due(Duration::from_secs(5)), None);
        assert_eq!(script.due(Duration::from_secs(20)), Some(Act::Stop));
        assert!(!script.is_over());
        assert_eq!(script.due(Duration::from_secs(20)), Some(Act::Start));
        assert!(script.is_over());
        assert_eq!(script.due(Duration::from_secs(20)), None);
    }
}
