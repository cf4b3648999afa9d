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
    told: HashMap<(IpAddr, String), Instant>,
    /// Refusals since the last log line that were not logged.
    untold: u64,
}

impl RefusalLog {
    /// Returns `None` if the refusal should not be logged. Otherwise returns the number of refusals, of any
    /// peer, that were not logged since the last one that was.
    pub(super) fn tell(&mut self, peer: IpAddr, reason: &str, now: Instant) -> Option<u64> {
        let key = (peer, printable(reason, LONGEST));
        self.told.retain(|_, told| now.saturating_duration_since(*told) < PAUSE);
        if self.told.len() >= MOST || self.told.contains_key(&key) {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.told.insert(key, now);
        Some(std::mem::take(&mut self.untold))
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
        assert_eq!(refusals.tell(A, "expired", start), Some(0));
        assert_eq!(refusals.tell(A, "expired", start + PAUSE / 2), None);
        assert_eq!(refusals.tell(A, "expired", start + PAUSE / 2), None);
        assert_eq!(refusals.tell(A, "unknown CA", start + PAUSE / 2), Some(2));
        assert_eq!(refusals.tell(B, "expired", start + PAUSE / 2), Some(0));
        assert_eq!(refusals.tell(A, "expired", start + PAUSE), Some(0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let start = Instant::now();
        let mut refusals = RefusalLog::default();
        let told = (0..10_000).filter(|n| refusals.tell(A, &n.to_string(), start).is_some()).count();
        assert_eq!((told, refusals.told.len()), (MOST, MOST));
        assert_eq!(refusals.tell(B, "late", start + PAUSE), Some(10_000 - MOST as u64));
        assert_eq!(refusals.told.len(), 1);
        refusals.tell(B, &"x".repeat(1 << 20), start + PAUSE);
        assert!(refusals.told.keys().all(|(_, reason)| reason.len() <= LONGEST + "…".len()));
    }
}
