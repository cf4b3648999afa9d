//! The error types of the public API: one narrow enum an operation.

use std::{convert::Infallible, error::Error, io, net::SocketAddr};

use crate::{Code, Status, proto::close, resolve::AddressError, transport::ConnectionError};

/// How a call failed: with the error that its method declares, or with a [`Status`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError<E = Infallible> {
    /// The handler ran and returned this error.
    #[error("application error: {0}")]
    Application(E),
    /// The call did not get as far as the handler's answer, or the handler answered with a status.
    #[error(transparent)]
    Status(#[from] Status),
}

impl<E> CallError<E> {
    /// The code; that of an application error is [`Code::Unknown`].
    pub fn code(&self) -> Code {
        match self {
            Self::Application(_) => Code::Unknown,
            Self::Status(status) => status.code(),
        }
    }

    /// The status, unless it is an application error.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Application(_) => None,
            Self::Status(status) => Some(status),
        }
    }

    /// Whether the handler may have run, so that repeating the call could do its work twice.
    pub fn maybe_executed(&self) -> bool {
        match self {
            Self::Application(_) => true,
            Self::Status(status) => status.maybe_executed(),
        }
    }
}

impl From<CallError<Infallible>> for Status {
    fn from(error: CallError<Infallible>) -> Self {
        match error {
            CallError::Application(never) => match never {},
            CallError::Status(status) => status,
        }
    }
}

/// Why a configuration was refused. Nothing was bound or dialled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The PEM text of the named item could not be read.
    #[error("the {item} is not valid PEM: {message}")]
    Pem {
        /// `certificate`, `private key` or `CA certificate`.
        item: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The PEM text held nothing of the kind that was asked for.
    #[error("the PEM text given as {item} holds none")]
    Empty {
        /// `certificate`, `private key` or `CA certificate`.
        item: &'static str,
    },
    /// A certificate or key that TLS can't use.
    #[error("TLS refused the {item}")]
    Tls {
        /// What was refused.
        item: &'static str,
        /// Why.
        source: rustls::Error,
    },
    /// A certificate whose contents could not be understood.
    #[error("the certificate can't be parsed: {0}")]
    Certificate(String),
    /// Something without which there is nothing to build.
    #[error("{0} is missing: call {1}")]
    Missing(&'static str, &'static str),
    /// A value out of its range.
    #[error("{name} is {value}: {expected}")]
    Range {
        /// The setting.
        name: &'static str,
        /// The value that was given.
        value: u64,
        /// What would be right.
        expected: &'static str,
    },
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not `host:port`.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The name did not resolve.
    #[error("{name:?} does not resolve")]
    Resolve {
        /// The name that was looked up.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The configuration is not complete.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no tokio runtime: none on this thread, or the one on which the socket was opened is shut down.
    #[error("there is no tokio runtime here: call it within #[tokio::main], or after Runtime::enter")]
    NoRuntime,
    /// No socket could be opened to dial from.
    #[error("no UDP socket could be opened")]
    Bind(#[source] io::Error),
    /// The handshake failed, was refused, or was not answered.
    #[error("no connection to {address}")]
    Handshake {
        /// Whom we dialled.
        address: SocketAddr,
        /// What happened.
        source: ConnectionError,
    },
    /// The server has as many connections as it takes, in all or of this peer. Dialling goes on, with growing pauses.
    #[error("{address} takes no further connection")]
    TooManyConnections {
        /// Whom we dialled.
        address: SocketAddr,
        /// How the server closed the connection; says which of its bounds was reached.
        source: ConnectionError,
    },
    /// The name has several addresses, and none of them could be connected to.
    #[error("none of the {addresses} addresses of {name} could be connected to: {}", listed(failures))]
    Unreachable {
        /// The name.
        name: String,
        /// How many addresses it has.
        addresses: usize,
        /// What those came to that were dialled within the time allowed, in the order in which they failed.
        failures: Vec<ConnectError>,
    },
    /// None of several addresses answered within the time allowed, or each has refused.
    #[error("no answer from {addresses} after {after:?}: {failure}")]
    NoAnswer {
        /// Whom we asked.
        addresses: String,
        /// How long we waited.
        after: std::time::Duration,
        /// What each of them came to.
        failure: String,
    },
    /// The connector has been closed.
    #[error("the connector has been closed: build another one to dial from")]
    Closed,
    /// Nothing came back within the time allowed.
    #[error("{address} did not answer within {after:?}")]
    TimedOut {
        /// Whom we dialled.
        address: SocketAddr,
        /// How long we waited.
        after: std::time::Duration,
    },
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

    /// Whether a certificate was refused, by this side or by the server: another attempt is of no use before certificates are
    /// changed. Of several addresses one such is enough.
    pub fn is_certificate(&self) -> bool {
        match self {
            Self::Handshake { source, .. } => source.is_certificate(),
            Self::Unreachable { failures, .. } => failures.iter().any(Self::is_certificate),
            _ => false,
        }
    }

    /// Whether no packet came back from any address that was dialled.
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

/// Why a service could not be registered. Nothing was registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A service of this name is registered.
    #[error("the service {0:?} is registered already")]
    Service(&'static str),
    /// Two methods share an id (a collision of their 64-bit hashes): rename one.
    #[error("{0} and {1} have the same method id: rename one of them")]
    Collision(String, String),
}

/// Why a server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address can't be bound.
    #[error("can't bind {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no tokio runtime on this thread.
    #[error("there is no tokio runtime here: call it within #[tokio::main], or after Runtime::enter")]
    NoRuntime,
    /// A configuration that came later (a reload) was refused; the one before stays in force.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The protocol has a handler already.
    #[error("the protocol {0:?} has a handler already")]
    Protocol(String),
    /// `run` was called on a server that has been shut down.
    #[error("the server has been shut down")]
    Closed,
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

/// An error and its sources on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let message = source.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = source.source();
    }
    text
}
