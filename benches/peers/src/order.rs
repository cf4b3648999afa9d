//! What the process of a client is told to do, and what it answers: lines of JSON.

use serde::{Deserialize, Serialize};

/// One piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Opens so many connections, in place of those that are open, and makes a call on each.
    Connect { connections: usize, call: bool },
    /// Calls on the open connections, so many in flight on each.
    Calls { size: usize, in_flight: usize, millis: u64 },
    /// So many calls a second on the first connection, each when it is due; those of the beginning count as done, no more.
    Arrivals { rate: u32, settle_millis: u64, millis: u64 },
    /// Streams of so many items on the first connection, one at a time.
    Items { count: u64, millis: u64 },
    /// Opens connections, makes a call on each, closes them: so many at a time.
    Connects { at_a_time: usize, millis: u64 },
    /// Does nothing for so long.
    Rest { millis: u64 },
}

/// What has come of it.
pub(crate) type Answer = Result<Outcome, String>;

/// How much was done, and how fast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Calls, items, connections.
    pub(crate) done: u64,
    /// From the first one's start to the last one's end.
    pub(crate) seconds: f64,
    /// Nothing where there is no latency of one.
    pub(crate) latency: Option<Latency>,
    /// Of all calls, 0 to 1, where it is asked who answered.
    pub(crate) slow_share: Option<f64>,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}
