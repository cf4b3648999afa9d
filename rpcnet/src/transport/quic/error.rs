//! Converts quinn's errors.

use quinn::VarInt;

use super::super::{ConnectionError, ReadError, WriteError};
use crate::tls::{NONE_SHOWN, RefusingSide, beginning, printable};

/// Converts an error code. Codes of our protocol have 32 bits; a larger one becomes the largest.
pub(super) fn code(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}

/// The transport error codes that carry TLS alerts (RFC 9001, section 4.8).
const CRYPTO: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;

/// The TLS alerts about certificates: `bad_certificate` to `certificate_unknown`, `unknown_ca`, `access_denied`,
/// `decrypt_error`, `certificate_required` (RFC 8446, section 6).
const CERTIFICATE_ALERTS: [u64; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 116];

/// The TLS alert `no_application_protocol` (RFC 7301).
const NO_PROTOCOL: u64 = 120;

/// The bound in bytes on a peer's reason text.
const LONGEST_REASON: usize = 1024;

/// The side that ended a handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ender {
    Here,
    ByPeer,
}

fn crypto(ended: Ender, code: u64, reason: &str) -> ConnectionError {
    let alert = code - CRYPTO.start();
    let reason = printable(reason, LONGEST_REASON);
    if CERTIFICATE_ALERTS.contains(&alert) {
        return ConnectionError::Certificate { message: certificate(ended, alert, reason) };
    }
    let by = match ended {
        Ender::Here => "this side",
        Ender::ByPeer => "the peer",
    };
    ConnectionError::Transport(if alert == NO_PROTOCOL {
        let mended = "dial a server that serves it";
        format!("the server does not speak this protocol (ALPN), {by} ended the handshake: {mended}")
    } else {
        format!("{by} ended the handshake with TLS alert {alert}: {reason}")
    })
}

/// Returns the message for a refused certificate. A sentence of our own verifiers is complete. Another implementation
/// sends only the alert's number.
fn certificate(ended: Ender, alert: u64, reason: String) -> String {
    let ours = [beginning(RefusingSide::Client), beginning(RefusingSide::Server), NONE_SHOWN.to_owned()];
    if ours.iter().any(|sentence| reason.starts_with(sentence)) {
        return reason;
    }
    let why = match alert {
        43 => "it is not of a supported kind",
        44 => "it has been revoked",
        45 => "it has expired or is not valid yet",
        48 => "its CA is not trusted",
        49 => "access is denied",
        51 => "its signature does not verify",
        116 => "none was shown",
        _ => "it is not accepted",
    };
    let whose = match ended {
        Ender::Here => "this side refused the peer's certificate",
        Ender::ByPeer => "the peer refused this side's certificate",
    };
    if reason.is_empty() { format!("{whose}: {why}") } else { format!("{whose}: {why} ({reason})") }
}

impl From<quinn::ConnectionError> for ConnectionError {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        match error {
            E::ApplicationClosed(close) => Self::Closed {
                code: code(close.error_code),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            E::LocallyClosed => Self::LocallyClosed,
            E::TimedOut => Self::TimedOut,
            E::Reset => Self::Reset,
            E::ConnectionClosed(close) => {
                let number = u64::from(close.error_code);
                if CRYPTO.contains(&number) {
                    crypto(Ender::ByPeer, number, &String::from_utf8_lossy(&close.reason))
                } else {
                    Self::Transport(close.to_string())
                }
            }
            E::TransportError(error) => {
                let number = u64::from(error.code);
                if CRYPTO.contains(&number) {
                    crypto(Ender::Here, number, &error.reason)
                } else {
                    Self::Transport(error.to_string())
                }
            }
            error @ (E::VersionMismatch | E::CidsExhausted) => Self::Transport(error.to_string()),
        }
    }
}

impl From<quinn::ReadError> for ReadError {
    fn from(error: quinn::ReadError) -> Self {
        use quinn::ReadError as E;
        match error {
            E::Reset(number) => Self::Reset(code(number)),
            E::ConnectionLost(error) => Self::Connection(error.into()),
            E::ClosedStream => Self::Closed,
            error @ (E::IllegalOrderedRead | E::ZeroRttRejected) => {
                Self::Connection(ConnectionError::Transport(error.to_string()))
            }
        }
    }
}

impl From<quinn::WriteError> for WriteError {
    fn from(error: quinn::WriteError) -> Self {
        use quinn::WriteError as E;
        match error {
            E::Stopped(number) => Self::Stopped(code(number)),
            E::ConnectionLost(error) => Self::Connection(error.into()),
            E::ClosedStream => Self::Closed,
            error @ E::ZeroRttRejected => Self::Connection(ConnectionError::Transport(error.to_string())),
        }
    }
}
