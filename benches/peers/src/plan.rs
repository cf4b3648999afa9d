//! The length of the measurement.

use crate::workload::Kind;

/// The number of rounds, and their length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    quick: bool,
    rounds: Option<u32>,
}

impl Plan {
    pub(crate) fn new(quick: bool, rounds: Option<u32>) -> Self {
        Self { quick, rounds }
    }

    pub(crate) fn rounds(self, kind: Kind) -> u32 {
        let default = match kind {
            _ if self.quick => 2,
            Kind::Calls { .. } | Kind::Items { .. } | Kind::Connects { .. } | Kind::Balanced { .. } => 5,
            Kind::Lossy { .. } | Kind::Idle { .. } | Kind::Slow { .. } => 3,
        };
        self.rounds.unwrap_or(default)
    }

    /// The milliseconds of a round.
    pub(crate) fn round(self, kind: Kind) -> u64 {
        match kind {
            // These calls take 20 ms, and the slowest hundredth of them is examined.
            Kind::Lossy { .. } => self.quick_or(1000, 5000),
            // Long enough for the memory of the handshakes to be freed.
            Kind::Idle { .. } => self.quick_or(200, 1000),
            // A slow server should get a hundred calls even if its share is a hundredth.
            Kind::Slow { .. } => self.quick_or(500, 10_000),
            _ => self.quick_or(150, 1000),
        }
    }

    /// The milliseconds before the first round.
    pub(crate) fn warm_up(self) -> u64 {
        self.quick_or(50, 300)
    }

    /// The milliseconds at the beginning of a round in which a balancer finds the slow server. They do not count.
    pub(crate) fn settling(self) -> u64 {
        self.quick_or(200, 1000)
    }

    /// The number of idle connections, of which a full run has `connections`.
    pub(crate) fn idle(self, connections: usize) -> usize {
        if self.quick { connections / 10 } else { connections }
    }

    fn quick_or(self, quick: u64, full: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}
