//! The orders of a client's process, and its answers: lines of JSON.

use serde::{Deserialize, Serialize};

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Opens this number of connections, in place of the open ones, and makes a call on each if `call`.
    Connect { connections: usize, call: bool },
    /// Calls on the open connections, with `in_flight` calls in flight on each.
    Calls { size: usize, in_flight: usize, millis: u64 },
    /// Calls on the first connection at this rate a second, each when it is due. Calls within the first `settle_millis`
    /// count as done, but their latency does not count.
    Arrivals { rate: u32, settle_millis: u64, millis: u64 },
    /// Streams of `count` items on the first connection, one at a time.
    Items { count: u64, millis: u64 },
    /// Opens connections, makes a call on each, and closes them, `at_a_time` at a time.
    Connects { at_a_time: usize, millis: u64 },
    /// Waits for this time.
    Rest { millis: u64 },
}

/// The result of an order.
pub(crate) type Answer = Result<Outcome, String>;

/// The amount and the speed of the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The number of calls, items or connections.
    pub(crate) done: u64,
    /// The time from the start of the first one to the end of the last one.
    pub(crate) seconds: f64,
    /// The latencies of single calls, if they were measured.
    pub(crate) latency: Option<Latency>,
    /// The share (0 to 1) of calls that the slow server answered, if this was asked.
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
