//! The demo's progress display.
//!
//! [`render`] turns a [`Snapshot`] into lines and does nothing else. [`Display`] paints them: in place on a terminal,
//! as plain lines otherwise. The clock is the snapshot's.

mod bars;
mod line;
mod rate;
mod render;
mod table;
mod terminal;

use std::time::Duration;

pub use line::{Line, Tone};
pub use rate::Rate;
pub use render::render;
pub use terminal::Display;

/// The demo's state at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The title, such as the path of the counted input.
    pub title: String,
    /// The time since the run started.
    pub elapsed: Duration,
    /// The length of the run; zero if that is not known.
    pub total: Duration,
    /// All processes, in the order in which they are shown.
    pub members: Vec<MemberRow>,
    /// Chunks counted.
    pub chunks: u64,
    /// Calls that failed for good.
    pub calls_failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// The current number of returned calls a second.
    pub calls_per_second: f64,
    /// The current number of counted bytes a second.
    pub bytes_per_second: f64,
    /// Median latency in microseconds.
    pub p50_us: u64,
    /// 99th percentile of latency in microseconds.
    pub p99_us: u64,
    /// The log, oldest entry first. Entries are only ever added.
    pub happenings: Vec<Happening>,
}

/// A process of the demo.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRow {
    /// The name. All its characters should be one column wide.
    pub label: String,
    /// The task of the process.
    pub role: Role,
    /// The state of the process.
    pub state: MemberState,
    /// The number of calls that it answered. Shown for workers only.
    pub calls: u64,
    /// The current number of answered calls a second. Shown for workers only.
    pub calls_per_second: f64,
}

/// The task of a process of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reports the workers to the client.
    Director,
    /// Counts words.
    Worker,
    /// Reads the files and calls workers.
    Client,
}

/// The state of a process of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// Started, and not ready for calls yet.
    Starting,
    /// Running.
    Up,
    /// It was told to stop (SIGTERM) and finishes its calls.
    Draining,
    /// Stopped after it was told to.
    Left,
    /// Killed (SIGKILL).
    Killed,
    /// Ended without having been told to.
    Failed,
    /// Done with its work.
    Done,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// The time since the run started.
    pub at: Duration,
    /// Its mark and colour.
    pub tone: Tone,
    /// One line, such as `killed worker-2 (SIGKILL)`.
    pub text: String,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Director => "director",
            Self::Worker => "worker",
            Self::Client => "client",
        }
    }
}

impl MemberState {
    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Left => "drained",
            Self::Killed => "killed",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Starting => "○",
            Self::Up => "●",
            Self::Draining => "◐",
            Self::Left | Self::Done => "✓",
            Self::Killed | Self::Failed => "✗",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Starting | Self::Left => Tone::Dim,
            Self::Up | Self::Done => Tone::Good,
            Self::Draining => Tone::Warning,
            Self::Killed | Self::Failed => Tone::Bad,
        }
    }

    fn is_gone(self) -> bool {
        matches!(self, Self::Left | Self::Killed | Self::Failed)
    }
}
