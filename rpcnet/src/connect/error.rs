//! Why a connection could not be made.

use std::{error::Error, fmt, io, net::SocketAddr};

use crate::{
    Code, Status,
    error::{ConfigError, NO_RUNTIME, chain},
    proto::close,
    resolve::AddressError,
    transport::ConnectionError,
};

/// Why a connection could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not `host:port`.
    Address(AddressError),
    /// The name did not resolve.
    Resolve {
        /// The name that was looked up.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The configuration is not complete.
    Config(ConfigError),
    /// There is no tokio runtime: none on this thread, or the one on which the socket was opened is shut down.
    NoRuntime,
    /// No socket could be opened to dial from.
    Bind(io::Error),
    /// The handshake failed, was refused, or was not answered.
    Handshake {
        /// Whom we dialled.
        address: SocketAddr,
        /// What happened.
        source: ConnectionError,
    },
    /// The server has as many connections as it takes, in all or of this peer. Dialling goes on, with growing pauses.
    TooManyConnections {
        /// Whom we dialled.
        address: SocketAddr,
        /// How the server closed the connection; says which of its bounds was reached.
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
    /// None of several addresses answered within the time allowed, or each has refused.
    NoAnswer {
        /// Whom we asked.
        addresses: String,
        /// How long we waited.
        after: std::time::Duration,
        /// The failure of each.
        failure: String,
    },
    /// The connector has been closed.
    Closed,
    /// Nothing came back within the time allowed.
    TimedOut {
        /// Whom we dialled.
        address: SocketAddr,
        /// How long we waited.
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
            Self::NoAnswer { addresses, after, failure } => {
                write!(f, "no answer from {addresses} after {after:?}: {failure}")
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
            Self::Address(error) => error.source(),
            Self::Config(error) => error.source(),
            Self::Handshake { source, .. } | Self::TooManyConnections { source, .. } => source.source(),
            Self::NoRuntime
            | Self::Unreachable { .. }
            | Self::Closed
            | Self::NoAnswer { .. }
            | Self::TimedOut { .. } => None,
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

impl ConnectError {
    /// A connection that was refused, or ended as soon as it stood.
    pub(crate) fn of(address: SocketAddr, source: ConnectionError) -> Self {
        match source {
            ConnectionError::Closed { code: close::TOO_MANY_CONNECTIONS, .. } => {
                Self::TooManyConnections { address, source }
            }
            source => Self::Handshake { address, source },
        }
    }

    /// Returns whether a certificate was refused, by this side or by the server: another attempt is of no use before certificates are
    /// changed. Of several addresses one such is enough.
    pub fn is_certificate(&self) -> bool {
        match self {
            Self::Handshake { source, .. } => source.is_certificate(),
            Self::Unreachable { failures, .. } => failures.iter().any(Self::is_certificate),
            _ => false,
        }
    }

    /// Returns whether no packet came back from any address that was dialled.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Handshake { source: ConnectionError::TimedOut, .. } => true,
            Self::Unreachable { failures, .. } => {
                !failures.is_empty() && failures.iter().all(Self::is_unanswered)
            }
            _ => false,
        }
    }

    /// As a status of a call that was never sent: `Unauthenticated` where certificates were refused, else
    /// `Unavailable`. The message holds the whole chain.
    pub(crate) fn into_status(self: std::sync::Arc<Self>) -> Status {
        let code = if self.is_certificate() { Code::Unauthenticated } else { Code::Unavailable };
        Status::new(code, chain(&*self))
            .with_source(self as std::sync::Arc<dyn Error + Send + Sync>)
            .not_executed()
    }
}

/// The failures on one line: the first few, and how many there are beside them.
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
