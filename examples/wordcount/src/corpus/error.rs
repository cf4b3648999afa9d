//! Skipped files, and errors of gathering and counting. Each message is one line and says what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::TextFile;
use crate::text::NotText;

/// A file or directory that was met and is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file or directory.
    pub path: PathBuf,
    /// The reason.
    pub reason: SkipReason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// The reason why a file or directory is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// A file that is not text.
    Binary(NotText),
    /// A directory whose name begins with a dot, such as `.git`.
    HiddenDirectory,
    /// A directory named `target`: cargo's output.
    BuildDirectory,
    /// A symbolic link to a directory: it may lead back, or anywhere.
    LinkedDirectory,
    /// A symbolic link to nothing, or to itself.
    BrokenLink,
    /// A pipe, socket or device.
    SpecialFile,
    /// A file or directory that was reached before.
    Repeated,
}

impl SkipReason {
    /// Returns whether this is a file that was read and found not to be text.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary(why) => write!(f, "binary, {why}"),
            Self::HiddenDirectory => f.write_str("hidden directory"),
            Self::BuildDirectory => f.write_str("build directory"),
            Self::LinkedDirectory => f.write_str("link to a directory"),
            Self::BrokenLink => f.write_str("link that leads nowhere"),
            Self::SpecialFile => f.write_str("neither a file nor a directory"),
            Self::Repeated => f.write_str("already counted"),
        }
    }
}

/// The error of gathering or reading a corpus.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// No paths were given.
    #[error("nothing to count: name a file or a directory")]
    NoInput,
    /// An input does not exist.
    #[error("there is no file or directory `{}`: correct the path or create it", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// An input is a pipe, socket or device, which cannot be read twice.
    #[error("`{}` is neither a file nor a directory: write its text to a file first", path.display())]
    NotAFile {
        /// The path as given.
        path: PathBuf,
    },
    /// A file or directory cannot be read.
    #[error("cannot read `{}`, give access to it or leave it out", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not as it was when it was checked. Chunks of it may have been given out.
    #[error("`{}` changed while it was counted: run again when nothing writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The inputs exist but have no text.
    #[error("nothing to count in {inputs}: {found}; name a file or directory with text")]
    Nothing {
        /// The inputs as given.
        inputs: String,
        /// A description of the entries that were found instead.
        found: String,
    },
}

impl CorpusError {
    pub(super) fn nothing<P: AsRef<Path>>(inputs: &[P], empty: &[TextFile], skipped: &[Skipped]) -> Self {
        let quoted = |input: &P| format!("`{}`", input.as_ref().display());
        let binary = skipped.iter().filter(|s| s.reason.is_binary()).count();
        let found: Vec<String> =
            [(empty.len(), "empty"), (binary, "binary"), (skipped.len() - binary, "otherwise skipped")]
                .into_iter()
                .filter(|&(count, _)| count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
        Self::Nothing {
            inputs: inputs.iter().map(quoted).collect::<Vec<_>>().join(", "),
            found: if found.is_empty() { "no files".to_owned() } else { found.join(", ") },
        }
    }

    /// The error for an input or a file that could not be opened.
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            _ => Self::Unreadable { path, source },
        }
    }
}
