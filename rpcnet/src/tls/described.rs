//! Descriptions of certificates for messages. They are bounded and have no control characters, as a peer chose the
//! contents.

use std::fmt::{self, Write};

use rustls::RootCertStore;
use rustls_pki_types::UnixTime;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{ASN1Time, FromDer},
    x509::X509Name,
};

/// The bound in bytes on one name.
const LONGEST_NAME: usize = 96;
/// The number of names that are listed; further ones are only counted.
const MOST_NAMES: usize = 4;

/// Describes a certificate, for example `CN=worker-1 (issued by CN=CA; for worker-1.example, 10.0.0.1)`.
pub(super) fn certificate(der: &[u8]) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return "that can't be parsed".to_owned();
    };
    let subject = named(certificate.subject());
    let issuer = if certificate.issuer() == certificate.subject() {
        "self-signed".to_owned()
    } else {
        format!("issued by {}", named(certificate.issuer()))
    };
    let names = match certificate.subject_alternative_name() {
        Ok(Some(names)) => list(names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) => Some(clean(name)),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })),
        _ => String::new(),
    };
    let names = if names.is_empty() { "no names".to_owned() } else { names };
    format!("{subject} ({issuer}; for {names})")
}

/// Returns the start and the end of a certificate's validity, in seconds since 1970.
pub(super) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Lists the subjects of the trusted CAs.
pub(super) fn authorities(roots: &RootCertStore) -> String {
    list(roots.subjects().iter().map(|subject| match X509Name::from_der(subject.as_ref()) {
        Ok((_, name)) => named(&name),
        Err(_) => "?".to_owned(),
    }))
}

/// Returns true if a trusted CA has the name of this certificate's issuer.
pub(super) fn knows_issuer(roots: &RootCertStore, der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    roots.subjects().iter().any(|subject| subject.as_ref() == certificate.issuer().as_raw())
}

/// Formats a time as `2026-01-31T12:00:00Z` (RFC 3339).
pub(crate) fn time(seconds: i64) -> String {
    let Ok(time) = ASN1Time::from_timestamp(seconds) else { return format!("{seconds} s after 1970") };
    let time = time.to_datetime();
    let (month, (hour, minute, second)) = (u8::from(time.month()), time.to_hms());
    format!("{:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", time.year(), time.day())
}

pub(super) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn named(name: &X509Name<'_>) -> String {
    let name = clean(&name.to_string());
    if name.is_empty() { "a certificate without a subject".to_owned() } else { name }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or_else(|_| v6()).ok()
}

fn list(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    let listed = all[..all.len().min(MOST_NAMES)].join(", ");
    match all.len().saturating_sub(MOST_NAMES) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

fn clean(text: &str) -> String {
    printable(text, LONGEST_NAME)
}

/// Makes a peer's text printable: cut after about `longest` bytes, and with control characters escaped.
pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut clean = String::new();
    for char in text.chars() {
        if clean.len() >= longest {
            clean.push('…');
            break;
        }
        let written: fmt::Result = if char.is_control() {
            write!(clean, "{}", char.escape_default())
        } else {
            write!(clean, "{char}")
        };
        // Writing to a string does not fail.
        let _ = written;
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_577_966_645), "2020-01-02T12:04:05Z");
        assert_eq!(time(i64::MAX), format!("{} s after 1970", i64::MAX));
    }

    #[test]
    fn lists_and_names_are_cut() {
        let names = (0..6).map(|number| number.to_string());
        assert_eq!(list(names), "0, 1, 2, 3 and 2 more");
        assert_eq!(clean(&"a".repeat(1000)).chars().count(), LONGEST_NAME + 1);
        assert_eq!(clean("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = (certificate(&bytes), validity(&bytes));
        }
    }
}
