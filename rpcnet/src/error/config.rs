//! Errors of configurations.

use std::{
    error::Error,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{PemError, tls};

/// The reason why a configuration was refused. Nothing was bound or dialled. After a failed reload, the earlier
/// configuration stays in force.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text given as the named item is not usable.
    Pem {
        /// `certificate`, `private key` or `CA certificate`.
        item: &'static str,
        /// The reason why the text is not usable.
        source: PemError,
    },
    /// The text given as the named item is empty.
    Empty {
        /// `certificate`, `private key` or `CA certificate`.
        item: &'static str,
    },
    /// A certificate or key that TLS can't use.
    Tls {
        /// The item that was refused, such as `private key`.
        item: &'static str,
        /// The reason.
        source: rustls::Error,
    },
    /// A certificate that can't be parsed.
    Certificate(String),
    /// A certificate that was to be loaded has expired.
    Expired {
        /// The certificate, in words.
        certificate: String,
        /// The end of its validity.
        not_after: SystemTime,
        /// This host's clock.
        now: SystemTime,
    },
    /// A certificate that was to be loaded is not valid yet.
    NotYetValid {
        /// The certificate, in words.
        certificate: String,
        /// The start of its validity.
        not_before: SystemTime,
        /// This host's clock.
        now: SystemTime,
    },
    /// The CA of a certificate that was to be loaded is not trusted here, so peers with the same CAs would refuse it.
    Untrusted {
        /// The certificate, in words.
        certificate: String,
        /// The CAs that are trusted.
        trusted: String,
        /// The reason why TLS refuses the chain.
        source: rustls::Error,
    },
    /// A required setting is missing: the setting, and the call that sets it.
    Missing(&'static str, &'static str),
    /// A value out of its range.
    Range {
        /// The setting.
        name: &'static str,
        /// The value that was given.
        value: u64,
        /// The accepted range.
        expected: &'static str,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use rustls::{CertificateError as E, Error, InconsistentKeys};
        match self {
            Self::Pem { item, source } => write!(f, "the text given as {item} {source}"),
            Self::Empty { item } => {
                write!(
                    f,
                    "the text given as {item} is empty: check that the right file was read, and all of it"
                )
            }
            Self::Tls { item, source: Error::InconsistentKeys(InconsistentKeys::KeyMismatch) } => write!(
                f,
                "the {item} does not match: give the key that the first certificate of the text was made for"
            ),
            Self::Tls { item, source } => write!(f, "TLS refused the {item}: {source}"),
            Self::Certificate(reason) => {
                write!(f, "the certificate can't be parsed ({reason}): issue another one")
            }
            Self::Expired { certificate, not_after, now } => write!(
                f,
                "the certificate {certificate} was not loaded: it has expired ({}, and this host's clock says {}); the \
                 one before stays in force: issue a new one, or set the clock",
                date(*not_after),
                date(*now)
            ),
            Self::NotYetValid { certificate, not_before, now } => write!(
                f,
                "the certificate {certificate} was not loaded: it is not valid yet ({}, and this host's clock says {}); \
                 the one before stays in force: load it later, or set the clock",
                date(*not_before),
                date(*now)
            ),
            Self::Untrusted { certificate, trusted, source } => {
                write!(f, "the certificate {certificate} was not loaded: ")?;
                match source {
                    Error::InvalidCertificate(E::UnknownIssuer | E::BadSignature) => {
                        write!(f, "its CA is not trusted here (trusted: {trusted})")?;
                    }
                    source => write!(f, "{source}")?,
                }
                write!(
                    f,
                    "; the one before stays in force: give the certificate with its whole chain, or load its CA first, \
                     beside the others (reload_ca_cert)"
                )
            }
            Self::Missing(item, call) => write!(f, "{item} is missing: call {call}"),
            Self::Range { name, value, expected } => write!(f, "{name} is {value}, and must be {expected}"),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pem { source, .. } => source.source(),
            Self::Tls { source, .. } | Self::Untrusted { source, .. } => source.source(),
            Self::Empty { .. }
            | Self::Certificate(_)
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::Missing(..)
            | Self::Range { .. } => None,
        }
    }
}

/// Formats a time as `2026-01-31T12:00:00Z`.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    tls::date(i64::try_from(seconds).unwrap_or(i64::MAX))
}
