//! The error of dialling.

use std::{error::Error, fmt, io, net::SocketAddr};

use crate::{
    Code, Status,
    error::{ConfigError, NO_RUNTIME, chain},
    proto::close,
    resolve::AddressError,
    runtime::ShutDown,
    transport::ConnectionError,
};

/// The reason why a connection could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not `host:port`.
    Address(AddressError),
    /// The name did not resolve.
    Resolve {
        /// The name that was looked up.
        name: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The configuration is not complete.
    Config(ConfigError),
    /// There is no tokio runtime: this thread has none, or the runtime on which the socket was opened is shut
    /// down.
    NoRuntime,
    /// The socket to dial from could not be opened.
    Bind(io::Error),
    /// The handshake failed, was refused, or was not answered.
    Handshake {
        /// The address that was dialled.
        address: SocketAddr,
        /// The failure of the connection.
        source: ConnectionError,
    },
    /// The server has reached its bound on connections, in total or for this peer. A channel keeps dialling,
    /// with growing pauses.
    TooManyConnections {
        /// The address that was dialled.
        address: SocketAddr,
        /// The server's close of the connection, which says which bound was reached.
        source: ConnectionError,
    },
    /// The name has several addresses, and none of them could be connected to.
    Unreachable {
        /// The name.
        name: String,
        /// The number of its addresses.
        addresses: usize,
        /// The failures of the addresses that were dialled within the time allowed, in the order in which they failed.
        failures: Vec<ConnectError>,
    },
    /// None of several addresses answered within the time allowed, or each refused.
    NoAnswer {
        /// The addresses that were asked.
        addresses: String,
        /// The time that was allowed.
        after: std::time::Duration,
        /// The failures of the addresses.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connector has been closed.
    Closed,
    /// The address did not answer within the connect timeout.
    TimedOut {
        /// The address that was dialled.
        address: SocketAddr,
        /// The time that was allowed.
        after: std::time::Duration,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Resolve { name, source } => {
                write!(f, "{name:?} does not resolve: {source}; check the name, and this host's resolver")
            }
            Self::Config(error) => error.fmt(f),
            Self::NoRuntime => f.write_str(NO_RUNTIME),
            Self::Bind(source) => write!(f, "no UDP socket could be opened to dial from: {source}"),
            Self::Handshake { address, source } => write!(f, "no connection to {address}: {source}"),
            Self::TooManyConnections { address, source } => {
                write!(f, "{address} takes no further connection: {source}")
            }
            Self::Unreachable { name, addresses, failures } => {
                let failures = listed(failures);
                write!(f, "none of the {addresses} addresses of {name} could be connected to: {failures}")
            }
            Self::Closed => f.write_str("the connector has been closed: build another one to dial from"),
            Self::NoAnswer { addresses, after, source } => {
                write!(f, "no answer from {addresses} after {after:?}: {source}")
            }
            Self::TimedOut { address, after } => {
                write!(
                    f,
                    "{address} did not answer within {after:?}: check that a server listens there, and that UDP reaches it"
                )
            }
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve { source, .. } | Self::Bind(source) => source.source(),
            Self::NoAnswer { source, .. } => source.source(),
            Self::Address(error) => error.source(),
            Self::Config(error) => error.source(),
            Self::Handshake { source, .. } | Self::TooManyConnections { source, .. } => source.source(),
            Self::NoRuntime | Self::Unreachable { .. } | Self::Closed | Self::TimedOut { .. } => None,
        }
    }
}

impl From<AddressError> for ConnectError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<ShutDown> for ConnectError {
    fn from(_: ShutDown) -> Self {
        Self::NoRuntime
    }
}

impl ConnectError {
    /// Wraps the failure of a connection that was refused, or that ended before the peer accepted it.
    pub(crate) fn of(address: SocketAddr, source: ConnectionError) -> Self {
        match source {
            ConnectionError::Closed { code: close::TOO_MANY_CONNECTIONS, .. } => {
                Self::TooManyConnections { address, source }
            }
            source => Self::Handshake { address, source },
        }
    }

    /// Returns true if this side or the server refused a certificate. Another attempt is of no use until
    /// certificates change. If several addresses were dialled, one such refusal is enough.
    pub fn is_certificate(&self) -> bool {
        match self {
            Self::Handshake { source, .. } => source.is_certificate(),
            Self::Unreachable { failures, .. } => failures.iter().any(Self::is_certificate),
            _ => false,
        }
    }

    /// Returns true if no packet came back from any address that was dialled.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Handshake { source: ConnectionError::TimedOut, .. } => true,
            Self::Unreachable { failures, .. } => {
                !failures.is_empty() && failures.iter().all(Self::is_unanswered)
            }
            _ => false,
        }
    }

    /// Converts the error into the status of a call that was never sent: `Unauthenticated` if a certificate
    /// was refused, else `Unavailable`. The message holds the whole chain of causes.
    pub(crate) fn into_status(self: std::sync::Arc<Self>) -> Status {
        let code = if self.is_certificate() { Code::Unauthenticated } else { Code::Unavailable };
        Status::new(code, chain(&*self))
            .with_source(self as std::sync::Arc<dyn Error + Send + Sync>)
            .not_executed()
    }
}

/// Formats the failures on one line: the first few, and the number of the others.
fn listed(failures: &[ConnectError]) -> String {
    const SHOWN: usize = 4;
    let mut texts: Vec<_> = failures.iter().take(SHOWN).map(|failure| chain(failure)).collect();
    match failures.len() {
        0 => texts.push("there was no time to dial one".into()),
        more if more > SHOWN => texts.push(format!("and {} more", more - SHOWN)),
        _ => {}
    }
    texts.join("; ")
}
