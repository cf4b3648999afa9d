//! quinn's errors in our terms.

use quinn::VarInt;

use super::super::{ConnectionError, ReadError, WriteError};

/// Codes of our protocol are 32 bits; a peer that sends a larger one gets the largest.
pub(super) fn code(code: VarInt) -> u32 {
    u32::try_from(code.into_inner()).unwrap_or(u32::MAX)
}

/// TLS alerts travel as these transport error codes (RFC 9001, section 4.8).
const CRYPTO: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;

/// `bad_certificate` to `unknown_ca`, `access_denied`, `decrypt_error`, `certificate_required` (RFC 8446, section 6).
/// The last but one is what a certificate gets whose CA has the name of a trusted one, but another key.
const CERTIFICATE_ALERTS: [u64; 9] = [42, 43, 44, 45, 46, 48, 49, 51, 116];

fn crypto(code: u64, message: &str) -> ConnectionError {
    let alert = code - CRYPTO.start();
    if CERTIFICATE_ALERTS.contains(&alert) {
        let what = match alert {
            45 => "it has expired",
            48 => "its CA is not trusted",
            51 => "its signature does not verify",
            116 => "none was shown",
            _ => "it is not accepted",
        };
        let message = if message.is_empty() { what.to_owned() } else { format!("{what} ({message})") };
        ConnectionError::Certificate { message }
    } else if alert == 120 {
        ConnectionError::Transport("the peer does not speak this protocol (ALPN)".into())
    } else {
        ConnectionError::Transport(format!("TLS alert {alert}: {message}"))
    }
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
                    crypto(number, &String::from_utf8_lossy(&close.reason))
                } else {
                    Self::Transport(close.to_string())
                }
            }
            E::TransportError(error) => {
                let number = u64::from(error.code);
                if CRYPTO.contains(&number) {
                    crypto(number, &error.reason)
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
