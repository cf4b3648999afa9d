//! Errors in settings. Each message is one line that names the setting, its value and a correct form.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The exit code of a binary with wrong arguments, as in clap.
pub const USAGE_EXIT_CODE: u8 = 2;

/// The source of a value. It is displayed as the user would look for it: `--addr`, `WORKER_ADDR in the environment`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A flag, with its dashes.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A key of the file.
    File {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// The default of this flag.
    Default(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(variable) => write!(f, "{variable} in the environment"),
            Self::File { key, path } => write!(f, "{key} in {}", path.display()),
            Self::Default(flag) => write!(f, "the default of {flag}"),
        }
    }
}

/// The reason why settings could not be resolved. Binaries print it and exit with [`USAGE_EXIT_CODE`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A value is not what the setting takes.
    #[error("{origin} is `{value}`: {expected}")]
    Invalid {
        /// The source of the value.
        origin: Origin,
        /// The value.
        value: String,
        /// A description of a valid value.
        expected: String,
    },
    /// Neither a directory with certificates nor `--dev-certs`.
    #[error(
        "no certificates: set RPCNET_CERT_DIR to a directory with ca.crt, node.crt and node.key, or pass --dev-certs to \
         use a development CA"
    )]
    NoCertificates,
    /// The client was given nothing to count.
    #[error("nothing to count: name files or directories, such as `client README.md`")]
    NoInput,
    /// The file cannot be read.
    #[error("cannot read the file of --config, `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not TOML.
    // The parser's error is no source: it prints several lines.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's message.
        message: String,
    },
    /// The file has a key that the binary does not know.
    #[error("{} has the unknown key `{key}`: the keys are {known}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// All valid keys.
        known: String,
    },
}
