//! Limits the log lines of refused handshakes: a peer that tries again and again gets one line in ten
//! seconds.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::tls::printable;

/// The time for which a repeated refusal, of the same peer for the same reason, is not logged.
const PAUSE: Duration = Duration::from_secs(10);
/// The most pairs of peer and reason that are logged in that time. Others are only counted.
const MOST: usize = 64;
/// The longest prefix of a reason, in bytes, that tells two reasons apart: which side refused which
/// certificate, and why.
const LONGEST: usize = 512;

/// The refusals that were logged in the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    logged: HashMap<(IpAddr, String), Instant>,
    /// Refusals since the last log line that were not logged.
    suppressed: u64,
}

impl RefusalLog {
    /// Returns `None` if the refusal should not be logged. Otherwise returns the number of refusals, of any
    /// peer, that were not logged since the last one that was.
    pub(super) fn record(&mut self, peer: IpAddr, reason: &str, now: Instant) -> Option<u64> {
        let key = (peer, printable(reason, LONGEST));
        self.logged.retain(|_, logged| now.saturating_duration_since(*logged) < PAUSE);
        if self.logged.len() >= MOST || self.logged.contains_key(&key) {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.logged.insert(key, now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn once_in_ten_seconds_for_each_peer_and_reason() {
        let start = Instant::now();
        let mut refusals = RefusalLog::default();
        assert_eq!(refusals.record(A, "expired", start), Some(0));
        assert_eq!(refusals.record(A, "expired", start + PAUSE / 2), None);
        assert_eq!(refusals.record(A, "expired", start + PAUSE / 2), None);
        assert_eq!(refusals.record(A, "unknown CA", start + PAUSE / 2), Some(2));
        assert_eq!(refusals.record(B, "expired", start + PAUSE / 2), Some(0));
        assert_eq!(refusals.record(A, "expired", start + PAUSE), Some(0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let start = Instant::now();
        let mut refusals = RefusalLog::default();
        let logged = (0..10_000).filter(|n| refusals.record(A, &n.to_string(), start).is_some()).count();
        assert_eq!((logged, refusals.logged.len()), (MOST, MOST));
        assert_eq!(refusals.record(B, "late", start + PAUSE), Some(10_000 - MOST as u64));
        assert_eq!(refusals.logged.len(), 1);
        refusals.record(B, &"x".repeat(1 << 20), start + PAUSE);
        assert!(refusals.logged.keys().all(|(_, reason)| reason.len() <= LONGEST + "…".len()));
    }
}
