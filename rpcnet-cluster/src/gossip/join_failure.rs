//! The reasons for which joining through a seed failed, as labels of metrics and as text.

use rpcnet::{
    ConnectError,
    transport::{ConnectionError, ReadError, WriteError},
};

use super::{close, handshake::LinkError, hello::HelloError, join_schedule::JoinFailure};
use crate::error::chain;

/// Returns the reason for which a seed's name has no address.
pub(super) fn unresolved(error: &ConnectError) -> JoinFailure {
    JoinFailure { reason: "unresolvable", text: chain(error) }
}

/// Returns the reason for which there is no link to an address.
pub(super) fn no_link(error: &LinkError) -> JoinFailure {
    JoinFailure { reason: reason(error), text: chain(error) }
}

fn reason(error: &LinkError) -> &'static str {
    match error {
        LinkError::Connect(error) => match error {
            ConnectError::Handshake { source, .. } => connection(source),
            ConnectError::TooManyConnections { .. } => "refused",
            ConnectError::TimedOut { .. } => "unreachable",
            ConnectError::Resolve { .. } => "unresolvable",
            _ => "other",
        },
        LinkError::Hello(error) => match error {
            HelloError::Cluster { .. } => "cluster",
            HelloError::Protocol { .. } => "version",
            HelloError::Connection(error)
            | HelloError::Read(ReadError::Connection(error))
            | HelloError::Write(WriteError::Connection(error)) => connection(error),
            _ => "other",
        },
        LinkError::Certificate { .. } => "certificate",
        LinkError::TimedOut => "unreachable",
        LinkError::Ourselves | LinkError::Rival(_) | LinkError::Moved => "other",
    }
}

fn connection(error: &ConnectionError) -> &'static str {
    match error {
        error if error.is_certificate() => "certificate",
        ConnectionError::Closed { code: close::REFUSED, .. } => "refused",
        ConnectionError::TimedOut | ConnectionError::Reset => "unreachable",
        _ => "other",
    }
}
