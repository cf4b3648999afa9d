//! Decides when the log warns of handlers that block their thread. Sans-io.

use std::time::Duration;

use tokio::time::Instant;

/// The time after which a handler that ran in place without waiting counts as blocking its thread. Most
/// handlers take a thousandth of it. A handler that the machine did not schedule may reach it without fault.
pub(crate) const BLOCKS: Duration = Duration::from_millis(50);
/// The shortest time between two warnings of one method.
const PAUSE: Duration = Duration::from_secs(60);

/// The last warning of a method's handlers.
#[derive(Debug, Default)]
pub(super) struct BlockingWarnings {
    warned: Option<Instant>,
    /// Blocks since the last warning.
    unsaid: u64,
}

impl BlockingWarnings {
    /// Records that a handler has blocked. Returns the number of blocks since the last warning if another
    /// warning is due.
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
