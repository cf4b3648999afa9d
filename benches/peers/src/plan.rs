//! How long is measured.

use crate::workload::Kind;

/// How many rounds, and of what length.
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

    /// Milliseconds of a round.
    pub(crate) fn round(self, kind: Kind) -> u64 {
        match kind {
            // Its calls take 20 ms, and a hundredth of them is what is looked at.
            Kind::Lossy { .. } => self.quick_or(1000, 5000),
            // Long enough for what was left of the handshake to be given back.
            Kind::Idle { .. } => self.quick_or(200, 1000),
            // A slow server should have a hundred calls even where it has a hundredth of them.
            Kind::Slow { .. } => self.quick_or(500, 10_000),
            _ => self.quick_or(150, 1000),
        }
    }

    /// Milliseconds before the first round.
    pub(crate) fn warm_up(self) -> u64 {
        self.quick_or(50, 300)
    }

    /// Milliseconds at the beginning of a round in which a balancer finds out who is slow: they do not count.
    pub(crate) fn settling(self) -> u64 {
        self.quick_or(200, 1000)
    }

    /// So many idle connections, where a full run has `connections`.
    pub(crate) fn idle(self, connections: usize) -> usize {
        if self.quick { connections / 10 } else { connections }
    }

    fn quick_or(self, quick: u64, full: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}
