//! The workloads of the systems.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::system::System;

/// The prefixes of all ids.
pub(crate) const PREFIXES: [&str; 2] = ["speed/", "balancing/"];

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workload {
    /// The prefix of the ids of its rows.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
}

/// The kind of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unary echo.
    Calls {
        size: usize,
        connections: usize,
        /// The number of calls in flight on each connection.
        in_flight: usize,
    },
    /// Unary echo through a path that loses packets.
    Lossy { size: usize, connections: usize, in_flight: usize },
    /// Streams of `count` items, one at a time.
    Items { count: u64 },
    /// Connections that are open and at rest.
    Idle { connections: usize },
    /// Connections that are set up, used once and closed.
    Connects { at_a_time: usize },
    /// Unary echo through a balancer, with `in_flight` calls in flight at all servers together.
    Balanced { size: usize, in_flight: usize },
    /// Calls at a rate a second, when they are due, through a balancer to servers of which one is slow.
    Slow { rate: u32 },
}

const fn calls(
    name: &'static str,
    about: &'static str,
    size: usize,
    connections: usize,
    in_flight: usize,
) -> Workload {
    Workload { name, about, kind: Kind::Calls { size, connections, in_flight } }
}

pub(crate) const WORKLOADS: [Workload; 12] = [
    calls("speed/32B-1x1", "unary echo, 32 bytes, one call in flight", 32, 1, 1),
    calls("speed/32B-1x64", "unary echo, 32 bytes, one connection, 64 in flight", 32, 1, 64),
    calls("speed/32B-8x32", "unary echo, 32 bytes, 8 connections, 32 in flight on each", 32, 8, 32),
    calls("speed/1KiB", "unary echo, 1 KiB, one connection, 64 in flight", 1 << 10, 1, 64),
    calls("speed/16KiB", "unary echo, 16 KiB, one connection, 16 in flight", 16 << 10, 1, 16),
    calls("speed/1MiB", "unary echo, 1 MiB, one connection, 4 in flight", 1 << 20, 1, 4),
    Workload {
        name: "speed/items",
        about: "a server streams items of 64 bytes, 200 000 a call, one call at a time",
        kind: Kind::Items { count: 200_000 },
    },
    Workload {
        name: "speed/loss",
        about: "unary echo, 32 bytes, one connection, 64 in flight, 1 % loss and 10 ms each way",
        kind: Kind::Lossy { size: 32, connections: 1, in_flight: 64 },
    },
    Workload {
        name: "speed/idle",
        about: "1000 connections, at rest after a call on each",
        kind: Kind::Idle { connections: 1000 },
    },
    Workload {
        name: "speed/connects",
        about: "connections set up, one call of 32 bytes on each, closed; 16 at a time",
        kind: Kind::Connects { at_a_time: 16 },
    },
    Workload {
        name: "balancing",
        about: "unary echo, 32 bytes, 64 in flight over four servers, and on a plain channel to one",
        kind: Kind::Balanced { size: 32, in_flight: 64 },
    },
    Workload {
        name: "balancing/slow",
        about: "1800 calls a second, open loop; one server of four takes 20 ms, the others 2 ms",
        kind: Kind::Slow { rate: RATE },
    },
];

/// Calls a second: 30 % of what the three fast servers would do if timers were exact.
const RATE: u32 = 1800;

impl Workload {
    /// The system that is compared with the others.
    pub(crate) fn ours(&self) -> System {
        match self.kind {
            Kind::Balanced { .. } | Kind::Slow { .. } => System::OursBalanced,
            _ => System::Ours,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
