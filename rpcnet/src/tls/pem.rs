//! Reads certificates and keys from PEM text (RFC 7468), and explains unusable text.
//!
//! The text is split into sections first, so that an error can give a section's position.

use std::{error::Error, fmt};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::PeerIdentity;
use crate::ConfigError;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
const BOM: &str = "\u{feff}";

/// The length in bytes below which a text may be a path, given in place of a file's contents.
const LONGEST_PATH: usize = 1024;

/// The reason why a text holds no usable certificate or private key.
///
/// A byte order mark is no error: it is skipped.
#[derive(Debug)]
#[non_exhaustive]
pub enum PemError {
    /// A certificate, but in DER form.
    DerCertificate,
    /// A private key, but in DER form.
    DerKey,
    /// Bytes that are neither text nor a known form of DER, for example a PKCS #12 bundle.
    Binary,
    /// Text in UTF-16, as some Windows shells write it.
    Utf16,
    /// The path of a file.
    Path(String),
    /// Text without a line `-----BEGIN …-----`.
    NoSection,
    /// A private key that a passphrase protects.
    EncryptedKey,
    /// A private key where a certificate is wanted.
    KeyForCertificate,
    /// A certificate where a private key is wanted.
    CertificateForKey,
    /// A certificate request (CSR), which no CA has signed.
    Request,
    /// Only sections of another kind, the first one with this label.
    Other(String),
    /// A section that can't be read.
    Section {
        /// `certificate` or `private key`.
        kind: &'static str,
        /// Its position among the sections of its kind; the first is 1.
        position: usize,
        /// The number of sections of its kind.
        of: usize,
        /// The reason why it can't be read.
        cause: Box<dyn Error + Send + Sync>,
    },
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DerCertificate => f.write_str(
                "is a certificate in DER form, not PEM text: convert it with `openssl x509 -inform der -in cert.der \
                 -out cert.pem`",
            ),
            Self::DerKey => f.write_str(
                "is a private key in DER form, not PEM text: convert it with `openssl pkey -inform der -in key.der \
                 -out key.pem`",
            ),
            Self::Binary => f.write_str(
                "is binary, not PEM text: a PKCS #12 bundle is converted with `openssl pkcs12 -in bundle.p12 -nodes \
                 -out bundle.pem`",
            ),
            Self::Utf16 => f.write_str("is text in UTF-16: save the file as UTF-8"),
            Self::Path(path) => write!(f, "is a path, {path:?}: give the contents of the file"),
            Self::NoSection => f.write_str(
                "is not PEM: it has no line that begins with `-----BEGIN `; check that the right file was read, and \
                 all of it",
            ),
            Self::EncryptedKey => f.write_str(
                "is encrypted with a passphrase: decrypt it with `openssl pkcs8 -in key.pem -out plain.pem`, and let \
                 nobody but the node's user read the result",
            ),
            Self::KeyForCertificate => f.write_str(
                "is a private key, not a certificate: check whether the two files are swapped (the certificate comes \
                 first, then its key)",
            ),
            Self::CertificateForKey => f.write_str(
                "is a certificate, not a private key: check whether the two files are swapped (the certificate comes \
                 first, then its key)",
            ),
            Self::Request => f.write_str(
                "is a certificate request (CSR): have a CA sign it, and give the certificate that it returns",
            ),
            Self::Other(label) => write!(f, "holds a section {label:?}, which is of no use here: give another file"),
            Self::Section { kind, position, of, cause } => {
                write!(f, "can't be read: {kind} {position} of {of} is damaged ({cause}); replace or remove it")
            }
        }
    }
}

impl Error for PemError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Section { cause, .. } => cause.source(),
            _ => None,
        }
    }
}

/// A section of PEM text.
struct Section<'a> {
    label: &'a str,
    /// The text from the first line to the last; `None` if the last line is missing.
    text: Option<&'a str>,
}

impl Section<'_> {
    fn is_key(&self) -> bool {
        matches!(self.label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY")
    }

    fn is_encrypted(&self) -> bool {
        // PKCS #8, and the older form with a header for it (RFC 1421, section 4.6.1.1).
        self.label == "ENCRYPTED PRIVATE KEY"
            || self.is_key() && self.text.is_some_and(|text| text.contains("Proc-Type: 4,ENCRYPTED"))
    }

    fn is_certificate(&self) -> bool {
        self.label == "CERTIFICATE"
    }

    fn read<T: PemObject>(&self) -> Result<T, Box<dyn Error + Send + Sync>> {
        let text = self.text.ok_or_else(|| format!("its line `-----END {}-----` is missing", self.label))?;
        Ok(T::from_pem_slice(text.as_bytes())?)
    }
}

/// Reads all certificates of a text; at least one.
pub(super) fn certificates(
    bytes: &[u8],
    item: &'static str,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let refused = |source| ConfigError::Pem { item, source };
    let text = text(bytes, item)?;
    let sections = sections(&text);
    let found: Vec<_> = sections.iter().filter(|section| section.is_certificate()).collect();
    if found.is_empty() {
        return Err(refused(match sections.first() {
            None => no_section(&text),
            Some(first) if first.is_key() || first.is_encrypted() => PemError::KeyForCertificate,
            Some(first) if first.label.ends_with("CERTIFICATE REQUEST") => PemError::Request,
            Some(first) => PemError::Other(first.label.to_owned()),
        }));
    }
    let read = |(index, section): (usize, &&Section<'_>)| {
        let certificate = section.read::<CertificateDer<'static>>().and_then(|certificate| {
            PeerIdentity::from_der(&certificate).map_err(|_| "it is no X.509 certificate")?;
            Ok(certificate)
        });
        let (position, of) = (index + 1, found.len());
        certificate.map_err(|cause| refused(PemError::Section { kind: "certificate", position, of, cause }))
    };
    found.iter().enumerate().map(read).collect()
}

/// Reads the first private key of a text.
pub(super) fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    const ITEM: &str = "private key";
    let refused = |source| ConfigError::Pem { item: ITEM, source };
    let text = text(bytes, ITEM)?;
    let sections = sections(&text);
    let of = sections.iter().filter(|section| section.is_key()).count();
    if let Some(section) = sections.iter().find(|section| section.is_key() || section.is_encrypted()) {
        if section.is_encrypted() {
            return Err(refused(PemError::EncryptedKey));
        }
        let read = section.read::<PrivateKeyDer<'static>>();
        return read.map_err(|cause| refused(PemError::Section { kind: ITEM, position: 1, of, cause }));
    }
    Err(refused(match sections.first() {
        None => no_section(&text),
        Some(first) if first.is_certificate() => PemError::CertificateForKey,
        Some(first) => PemError::Other(first.label.to_owned()),
    }))
}

/// Decodes the bytes. Removes byte order marks, also those between concatenated files.
fn text(bytes: &[u8], item: &'static str) -> Result<String, ConfigError> {
    if bytes.trim_ascii().is_empty() {
        return Err(ConfigError::Empty { item });
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(BOM, ""),
        Err(_) if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) => {
            return Err(ConfigError::Pem { item, source: PemError::Utf16 });
        }
        Err(_) => return Err(ConfigError::Pem { item, source: binary(bytes) }),
    };
    if text.trim_ascii().is_empty() { Err(ConfigError::Empty { item }) } else { Ok(text) }
}

fn binary(bytes: &[u8]) -> PemError {
    if PeerIdentity::from_der(bytes).is_ok() {
        PemError::DerCertificate
    } else if PrivateKeyDer::try_from(bytes).is_ok() {
        PemError::DerKey
    } else {
        PemError::Binary
    }
}

/// The message quotes a path. It never quotes a key whose first line is missing, as base64 has no dots.
fn no_section(text: &str) -> PemError {
    let line = text.trim();
    let is_path = line.len() < LONGEST_PATH
        && !line.contains(char::is_whitespace)
        && [".pem", ".crt", ".cer", ".key"].iter().any(|ending| line.ends_with(ending));
    if is_path { PemError::Path(line.to_owned()) } else { PemError::NoSection }
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        rest = &rest[start..];
        let Some(label) =
            rest[BEGIN.len()..].lines().next().and_then(|line| line.trim().strip_suffix(DASHES))
        else {
            rest = &rest[BEGIN.len()..];
            continue;
        };
        let end = format!("-----END {label}-----");
        // A section without an end must not swallow the next one.
        let next = rest[BEGIN.len()..].find(BEGIN).map_or(rest.len(), |next| next + BEGIN.len());
        let text = rest[..next].find(&end).map(|at| &rest[..at + end.len()]);
        sections.push(Section { label, text });
        rest = &rest[next..];
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_apart() {
        let text = "a comment\n-----BEGIN A-----\nAAAA\n-----END A-----\n-----BEGIN B B-----\r\nBBBB\n\
                    -----BEGIN C-----\nCCCC\n-----END C-----\n-----BEGIN";
        let found: Vec<_> =
            sections(text).into_iter().map(|section| (section.label, section.text.is_some())).collect();
        assert_eq!(found, [("A", true), ("B B", false), ("C", true)]);
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = certificates(&bytes, "certificate");
            let _ = private_key(&bytes);
        }

        #[test]
        fn random_sections_do_not_panic(parts in proptest::collection::vec(0usize..8, 0..12)) {
            let words =
                [BEGIN, DASHES, "-----END ", "CERTIFICATE", "PRIVATE KEY", "\n", "AAAA", BOM];
            let text: String = parts.into_iter().map(|part| words[part]).collect();
            let _ = certificates(text.as_bytes(), "certificate");
            let _ = private_key(text.as_bytes());
        }
    }
}
