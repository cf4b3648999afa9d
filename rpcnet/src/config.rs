//! Limits that both sides of a connection set for themselves.

use std::time::Duration;

use crate::{ConfigError, codec};

/// What one side of a connection puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_message: usize,
    default_timeout: Duration,
    silence: Duration,
}

impl Default for Limits {
    /// Messages of 4 MiB, a deadline of 30 s, dead after 3 s of silence.
    fn default() -> Self {
        Self {
            max_message: 4 << 20,
            default_timeout: Duration::from_secs(30),
            silence: Duration::from_secs(3),
        }
    }
}

impl Limits {
    /// The largest message in bytes, sent or received. At most 256 MiB.
    #[must_use]
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// The deadline of calls whose method has none of its own.
    #[must_use]
    pub fn with_default_timeout(mut self, timeout: Duration) -> Self {
        self.default_timeout = timeout;
        self
    }

    /// After how long without any packet, while calls wait and the peer is pinged, a connection is dead. A peer is
    /// avoided after a twelfth of it already (250 ms by default).
    #[must_use]
    pub fn with_silence(mut self, after: Duration) -> Self {
        self.silence = after;
        self
    }

    /// The largest message in bytes.
    pub fn max_message(&self) -> usize {
        self.max_message
    }

    /// The deadline of calls whose method has none of its own.
    pub fn default_timeout(&self) -> Duration {
        self.default_timeout
    }

    /// After how long a silent connection is dead.
    pub fn silence(&self) -> Duration {
        self.silence
    }

    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        if !(1..=codec::LARGEST).contains(&self.max_message) {
            return Err(ConfigError::Range {
                name: "max_message",
                value: self.max_message as u64,
                expected: "between 1 byte and 256 MiB",
            });
        }
        if self.default_timeout.is_zero() {
            return Err(ConfigError::Range { name: "default_timeout", value: 0, expected: "more than zero" });
        }
        if self.silence < Duration::from_millis(100) {
            return Err(ConfigError::Range {
                name: "silence",
                value: self.silence.as_millis() as u64,
                expected: "at least 100 ms",
            });
        }
        Ok(self)
    }
}
