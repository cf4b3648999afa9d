//! Handlers that block: said in the log, now and then. Sans-io.

use std::time::Duration;

use tokio::time::Instant;

/// A handler that ran in place for so long without waiting has blocked its thread. Most take a thousandth of it; one that
/// the machine did not let run may take it without fault.
pub(crate) const BLOCKS: Duration = Duration::from_millis(50);
/// Between two warnings of one method.
const PAUSE: Duration = Duration::from_secs(60);

/// When a method's handlers were last warned of.
#[derive(Debug, Default)]
pub(super) struct BlockingWarnings {
    warned: Option<Instant>,
    /// How often one has blocked since.
    unsaid: u64,
}

impl BlockingWarnings {
    /// A handler has blocked. How often that has happened since the last warning, where there is to be another.
    pub(super) fn blocked(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.warned.is_some_and(|warned| now.saturating_duration_since(warned) < PAUSE) {
            return None;
        }
        self.warned = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_warned_of_and_then_one_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut blocking = BlockingWarnings::default();
        assert_eq!(blocking.blocked(at(0)), Some(1));
        assert_eq!([1, 2, 59].map(|second| blocking.blocked(at(second))), [None; 3]);
        assert_eq!(blocking.blocked(at(60)), Some(4));
        assert_eq!(blocking.blocked(at(119)), None);
        assert_eq!(blocking.blocked(at(500)), Some(2));
    }
}
