//! Limits that both sides of a connection set for themselves.

use std::time::{Duration, Instant};

use crate::{ConfigError, codec, limit::TokenBucket, metadata};

/// The seconds' worth of resets that may come at once.
const RESET_BURST: u32 = 5;
/// quinn sets memory aside for each stream that a peer may open.
const MOST_CALLS: u32 = 10_000;

/// The limits that one side of a connection sets for its peer.
///
/// ```
/// use std::time::Duration;
///
/// use rpcnet::{Channel, Limits, ServerConfig};
///
/// let limits = Limits::default()
///     .with_max_message(16 << 20)
///     .with_default_timeout(Duration::from_secs(5))
///     .with_silence(Duration::from_secs(1));
/// let server = ServerConfig::builder().with_limits(limits);
/// let channel = Channel::builder().with_limits(limits);
/// # let _ = (server, channel);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_message: usize,
    default_timeout: Duration,
    silence: Duration,
    max_calls_per_connection: u32,
    max_metadata_bytes: usize,
    max_metadata_pairs: usize,
    max_resets_per_second: u32,
    lanes: Lanes,
    receive_window: u32,
}

/// The conditions under which small calls share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lanes {
    Never,
    WherePathsAreSmooth,
    Always,
}

impl Default for Limits {
    /// Messages of 4 MiB, a deadline of 30 s, dead after 3 s of silence; 256 calls a connection, metadata of 30 KiB
    /// and 128 pairs, 2000 resets a second.
    fn default() -> Self {
        Self {
            max_message: 4 << 20,
            default_timeout: Duration::from_secs(30),
            silence: Duration::from_secs(3),
            max_calls_per_connection: 256,
            max_metadata_bytes: metadata::MAX_BYTES,
            max_metadata_pairs: metadata::MAX_PAIRS,
            max_resets_per_second: 2000,
            lanes: Lanes::WherePathsAreSmooth,
            receive_window: 64 << 20,
        }
    }
}

impl Limits {
    /// Sets the largest message in bytes, sent or received: the arguments of a call, its result, an item of a stream. 4
    /// MiB by default, 256 MiB at most. A method's own `max_message` goes before it.
    #[must_use]
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// The deadline of calls that have none, and whose method has none of its own. 30 s by default. Of a call with
    /// streams it bounds the start of the answer alone, from when all of the request was sent.
    #[must_use]
    pub fn with_default_timeout(mut self, timeout: Duration) -> Self {
        self.default_timeout = timeout;
        self
    }

    /// After how long without any packet, while calls wait and the peer is pinged, a connection is dead. 3 s by
    /// default, at least 100 ms; `Duration::MAX` for never. A peer is avoided after a twelfth of it already (250 ms by
    /// default). It is dead by then where its host says that nobody listens at its port, or its successor that it does
    /// not know the connection.
    #[must_use]
    pub fn with_silence(mut self, after: Duration) -> Self {
        self.silence = after;
        self
    }

    /// Sets the number of calls that the peer may have open at a time on one connection; further ones wait at the peer.
    /// 256 by default, 10 000 at most. Over QUIC the peer may open a seventh more now and then, for that is announced
    /// in steps. Each takes memory even while it is not open.
    ///
    /// Read when a connection is made, for each side from its own limits.
    #[must_use]
    pub fn with_max_calls_per_connection(mut self, calls: u32) -> Self {
        self.max_calls_per_connection = calls;
        self
    }

    /// The most metadata that is taken of a call, in bytes of names and values, and in pairs. 30 KiB and 128 by
    /// default, which is also the most that can be sent.
    #[must_use]
    pub fn with_max_metadata(mut self, bytes: usize, pairs: usize) -> Self {
        self.max_metadata_bytes = bytes;
        self.max_metadata_pairs = pairs;
        self
    }

    /// Sets the number of calls a second that a peer may give up before they are answered, on one connection; five
    /// times as many at once. A peer that gives up more is cut off: each such call makes work and counts against no
    /// other limit. 2000 by default. Calls whose deadline is about to pass don't count.
    #[must_use]
    pub fn with_max_resets_per_second(mut self, resets: u32) -> Self {
        self.max_resets_per_second = resets;
        self
    }

    /// The largest message in bytes.
    pub(crate) fn max_message(&self) -> usize {
        self.max_message
    }

    /// The deadline of calls whose method has none of its own.
    pub(crate) fn default_timeout(&self) -> Duration {
        self.default_timeout
    }

    /// After how long a silent connection is dead.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }

    /// Sets the size in bytes that the windows of a connection may grow to. 64 MiB by default, 64 KiB to 1 GiB.
    ///
    /// The receive window bounds the bytes that the peer has sent and this side has not read. The send window bounds the
    /// bytes that this side has written and the peer has not acknowledged. A connection carries at most one window a
    /// round trip: 64 MiB are enough for 10 Gbit/s over 53 ms, or 1 Gbit/s over 530 ms.
    ///
    /// A connection begins with 16 MiB for receiving and 4 MiB for sending, or with this size if it is smaller. Both
    /// windows then follow the path:
    ///
    /// - The receive window grows to twice the bytes that are read in a round trip. So a peer gets a larger one only by
    ///   sending as fast, over as long a path, to a reader that keeps up. The window falls back to 16 MiB when less was
    ///   needed for a while.
    /// - The send window is twice the congestion window, and at least 1 MiB.
    ///
    /// The receive window of a stream is an eighth of its connection's first one, 2 MiB by default, and stays so. A peer
    /// can make this side hold up to this size on each of its connections, beside the messages that are being collected.
    /// The windows of the network in memory are fixed.
    ///
    /// Read when a connection is made, for each side from its own limits.
    #[must_use]
    pub fn with_receive_window(mut self, bytes: u32) -> Self {
        self.receive_window = bytes;
        self
    }

    /// Sets whether small calls may share a stream. On by default; off, each call has a stream of its own, which is
    /// several times dearer. Calls to a side that has it off have their own streams too.
    #[must_use]
    pub fn with_lanes(mut self, lanes: bool) -> Self {
        self.lanes = if lanes { Lanes::WherePathsAreSmooth } else { Lanes::Never };
        self
    }

    /// Lets small calls of this side share a stream whatever the path is like. Over one that takes long and loses
    /// packets that makes calls wait for each other: it is for tests, which are to take the same way on a busy machine.
    #[must_use]
    pub fn with_lanes_on_any_path(mut self) -> Self {
        self.lanes = Lanes::Always;
        self
    }

    /// Returns whether small calls may share a stream.
    pub(crate) fn lanes(&self) -> bool {
        self.lanes != Lanes::Never
    }

    /// Returns whether small calls share a stream on paths of any quality.
    pub(crate) fn lanes_on_any_path(&self) -> bool {
        self.lanes == Lanes::Always
    }

    /// The bytes that the windows of a connection may grow to.
    pub(crate) fn receive_window(&self) -> u32 {
        self.receive_window
    }

    /// The number of calls that the peer may have open at a time on one connection.
    pub(crate) fn max_calls_per_connection(&self) -> u32 {
        self.max_calls_per_connection
    }

    /// The most bytes of metadata of a call.
    pub(crate) fn max_metadata_bytes(&self) -> usize {
        self.max_metadata_bytes
    }

    /// The most pairs of metadata of a call.
    pub(crate) fn max_metadata_pairs(&self) -> usize {
        self.max_metadata_pairs
    }

    /// The number of calls a second that a peer may give up on one connection.
    pub(crate) fn max_resets_per_second(&self) -> u32 {
        self.max_resets_per_second
    }

    /// The resets of one connection's peer.
    pub(crate) fn resets(&self, now: Instant) -> TokenBucket {
        let rate = self.max_resets_per_second;
        TokenBucket::new(rate, rate.saturating_mul(RESET_BURST), now)
    }

    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        let range = |name, value: u64, expected| Err(ConfigError::Range { name, value, expected });
        if !(1..=codec::LARGEST).contains(&self.max_message) {
            return range("max_message", self.max_message as u64, "between 1 byte and 256 MiB");
        }
        if self.default_timeout.is_zero() {
            return range("default_timeout", 0, "more than zero");
        }
        if self.silence < Duration::from_millis(100) {
            return range("silence", self.silence.as_millis() as u64, "at least 100 ms");
        }
        if !(1..=MOST_CALLS).contains(&self.max_calls_per_connection) {
            let calls = u64::from(self.max_calls_per_connection);
            return range("max_calls_per_connection", calls, "between 1 and 10000 calls");
        }
        if !(64 << 10..=1 << 30).contains(&self.receive_window) {
            return range("receive_window", self.receive_window.into(), "between 64 KiB and 1 GiB");
        }
        if self.max_metadata_bytes > metadata::MAX_BYTES {
            return range("max_metadata (bytes)", self.max_metadata_bytes as u64, "at most 30720 bytes");
        }
        if self.max_metadata_pairs > metadata::MAX_PAIRS {
            return range("max_metadata (pairs)", self.max_metadata_pairs as u64, "at most 128 pairs");
        }
        if self.max_resets_per_second == 0 {
            return range("max_resets_per_second", 0, "at least 1: calls do get cancelled");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let limits = Limits::default();
        for (limits, name) in [
            (limits.with_max_calls_per_connection(0), "max_calls_per_connection"),
            (limits.with_max_calls_per_connection(10_001), "max_calls_per_connection"),
            (limits.with_max_metadata((30 << 10) + 1, 1), "max_metadata (bytes)"),
            (limits.with_max_metadata(1, 129), "max_metadata (pairs)"),
            (limits.with_max_resets_per_second(0), "max_resets_per_second"),
        ] {
            let error = limits.check().expect_err(name).to_string();
            assert!(error.starts_with(name), "{error}");
        }
        limits.with_max_metadata(0, 0).with_max_calls_per_connection(1).check().expect("frugal");
    }

    #[test]
    fn a_peer_may_reset_five_seconds_worth_at_once() {
        let now = tokio::time::Instant::now().into_std();
        let mut resets = Limits::default().with_max_resets_per_second(3).resets(now);
        assert_eq!((0..100).filter(|_| resets.take(now)).count(), 15);
    }
}
