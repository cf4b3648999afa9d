//! The demo's progress display.
//!
//! [`render`] turns a [`Snapshot`] into lines and does nothing else; [`Display`] paints them, in place on a terminal, or as
//! plain lines where there is none. The clock is the snapshot's.

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

/// What the demo knows at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// What is counted, such as the input's path.
    pub title: String,
    /// Since the run started.
    pub elapsed: Duration,
    /// How long it is to last; zero if that is not known.
    pub total: Duration,
    /// All processes, in the order in which they are shown.
    pub members: Vec<MemberRow>,
    /// Chunks counted.
    pub chunks: u64,
    /// Calls that failed for good.
    pub calls_failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Calls that returned, a second, lately.
    pub calls_per_second: f64,
    /// Bytes of text counted, a second, lately.
    pub bytes_per_second: f64,
    /// Median latency in microseconds.
    pub p50_us: u64,
    /// 99th percentile of latency in microseconds.
    pub p99_us: u64,
    /// What happened, oldest first. Entries are only ever added.
    pub happenings: Vec<Happening>,
}

/// A process of the demo.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRow {
    /// Its name, expected to be of characters that are one column wide.
    pub label: String,
    /// What it does.
    pub role: Role,
    /// How it is.
    pub state: MemberState,
    /// Calls it answered; shown for workers only.
    pub calls: u64,
    /// Calls it answered, a second, lately; shown for workers only.
    pub calls_per_second: f64,
}

/// What a process of the demo does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Tells the client which workers there are.
    Director,
    /// Counts words.
    Worker,
    /// Reads the files and calls workers.
    Client,
}

/// How a process of the demo is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// Started, not of use yet.
    Starting,
    /// At work.
    Up,
    /// Told to stop (SIGTERM), finishing its calls.
    Draining,
    /// Stopped after it was told to.
    Left,
    /// Killed (SIGKILL).
    Killed,
    /// Ended though nobody told it to.
    Failed,
    /// Done with its work.
    Done,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When, since the run started.
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
