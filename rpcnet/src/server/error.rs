//! Errors of starting and stopping a server.

use std::{error::Error, fmt, io, net::SocketAddr};

use crate::{ConfigError, error::NO_RUNTIME};

/// The reason why a server could not be started, changed or stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be bound.
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// There is no tokio runtime on this thread.
    NoRuntime,
    /// A later configuration (a reload) was refused. The previous one stays in force.
    Config(ConfigError),
    /// The protocol has a handler already.
    Protocol(String),
    /// `run` was called on a server that has been shut down.
    Closed,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } => {
                write!(f, "can't bind {address}: {source}")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        write!(f, "; stop the process that listens there, or take another port (0 for any)")
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        write!(f, "; take an address of this host, or 0.0.0.0 for all of them")
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "; ports below 1024 need a privilege: take a higher one")
                    }
                    _ => Ok(()),
                }
            }
            Self::Config(error) => error.fmt(f),
            Self::NoRuntime => f.write_str(NO_RUNTIME),
            Self::Protocol(protocol) => {
                write!(f, "the protocol {protocol:?} has a handler already: choose another ALPN for this one")
            }
            Self::Closed => write!(f, "the server has been shut down: make a new one to serve again"),
        }
    }
}

impl Error for ServerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind { source, .. } => source.source(),
            Self::Config(error) => error.source(),
            Self::NoRuntime | Self::Protocol(_) | Self::Closed => None,
        }
    }
}

impl From<ConfigError> for ServerError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
