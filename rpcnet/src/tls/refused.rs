//! The reason why a certificate was refused, in one sentence that is the same on both sides.
//!
//! TLS has only a number for it, the alert. QUIC adds a reason in words (RFC 9000, section 19.19), which carries the
//! sentence to the peer. The peer learns which certificate was refused, and by which criteria. The sentence reveals
//! nothing new to the peer: it holds the peer's own certificate, and the CA and cluster that this side's certificate
//! names.

use std::sync::{Arc, OnceLock};

use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::described;

/// The side that refused a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusingSide {
    Client,
    Server,
}

impl RefusingSide {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// The beginning of a sentence: which side refused whose certificate.
pub(crate) fn beginning(by: RefusingSide) -> String {
    format!("the {} refused the {}'s certificate", by.as_str(), by.other().as_str())
}

/// The sentence for a client without a certificate. rustls refuses such a client itself, without asking the verifier.
pub(crate) const NONE_SHOWN: &str = "the server demands a certificate of the client, and none was shown: give the \
                                     client one of a CA that the server trusts (with_cert_and_key)";

/// The reason why a verifier refuses a certificate.
#[derive(Debug)]
pub(super) enum CertificateRefusal {
    /// The certificate can't be parsed.
    Unreadable(String),
    /// rustls refused its chain. `trusted` lists the trusted CAs. `same_name` is true if one of them has the name of
    /// the certificate's issuer.
    Chain { error: Error, trusted: String, same_name: bool },
    /// The certificate is of another cluster.
    Cluster { theirs: String, ours: String },
    /// The certificate is not for the host that was dialled. `bare` is true if this side has no certificate that would
    /// name its cluster.
    Name { dialled: String, bare: bool },
}

impl CertificateRefusal {
    pub(super) fn of_chain(error: Error, certificate: &CertificateDer<'_>, roots: &RootCertStore) -> Self {
        let trusted = described::authorities(roots);
        Self::Chain { error, trusted, same_name: described::knows_issuer(roots, certificate) }
    }

    /// Returns the error that determines TLS' alert.
    fn error(&self) -> Error {
        match self {
            Self::Unreadable(_) => CertificateError::BadEncoding.into(),
            // A CA with the name of a trusted one, but another key, is an unknown CA.
            Self::Chain {
                error: Error::InvalidCertificate(CertificateError::BadSignature),
                same_name: true,
                ..
            } => CertificateError::UnknownIssuer.into(),
            Self::Chain { error, .. } => error.clone(),
            Self::Cluster { .. } => CertificateError::ApplicationVerificationFailure.into(),
            Self::Name { .. } => CertificateError::NotValidForName.into(),
        }
    }

    /// Returns the sentence, which ends with the next step.
    fn sentence(&self, by: RefusingSide, certificate: &CertificateDer<'_>, now: UnixTime) -> String {
        let shown = described::certificate(certificate);
        format!("{} {shown}: {}", beginning(by), self.reason(by, certificate, now))
    }

    fn reason(&self, by: RefusingSide, certificate: &CertificateDer<'_>, now: UnixTime) -> String {
        use CertificateError as E;
        let (verifier, shower) = (by.as_str(), by.other().as_str());
        let of_its_ca = format!(
            "give the {shower} a certificate of a CA that the {verifier} trusts, with its whole chain \
             (with_cert_and_key), or give the {verifier} the CA of this one (with_ca_cert)"
        );
        match self {
            Self::Unreadable(reason) => format!("it can't be parsed ({reason}): issue another one"),
            Self::Cluster { theirs, ours } => format!(
                "it is of cluster {:?}, and the {verifier} is of cluster {ours:?}; check the address that was dialled, or \
                 issue both certificates for one cluster",
                described::printable(theirs, 64),
            ),
            Self::Name { dialled, bare: true } => format!(
                "the client has no certificate, so its cluster is not known, and {dialled:?}, which was dialled, is not a \
                 name of this one; give the client a certificate of the server's cluster (with_cert_and_key)"
            ),
            Self::Name { dialled, bare: false } => format!(
                "{dialled:?}, which was dialled, is not among its names; dial one of them, or issue a certificate for \
                 this host or with the client's cluster (spiffe://<cluster>/node/<name>)"
            ),
            Self::Chain { error: Error::InvalidCertificate(error), trusted, same_name } => match error {
                E::UnknownIssuer | E::BadSignature if *same_name => format!(
                    "its CA is not trusted: it has the name of one that the {verifier} trusts, but another key; \
                     {of_its_ca}"
                ),
                E::UnknownIssuer if trusted.is_empty() => {
                    format!("its CA is not trusted: the {verifier} trusts none; {of_its_ca}")
                }
                E::UnknownIssuer | E::BadSignature => {
                    format!("its CA is not trusted: the {verifier} trusts {trusted}; {of_its_ca}")
                }
                E::Expired | E::ExpiredContext { .. } => format!(
                    "it has expired{}; renew it (reload_certificate), or set the clock of the {verifier}'s host",
                    when(certificate, now, |(_, end)| end),
                ),
                E::NotValidYet | E::NotValidYetContext { .. } => format!(
                    "it is not valid yet{}; set the clocks of both hosts, or wait until then",
                    when(certificate, now, |(start, _)| start),
                ),
                E::InvalidPurpose | E::InvalidPurposeContext { .. } => format!(
                    "its extended key usage does not allow it to be a {shower}'s; issue one with {shower}Auth"
                ),
                error => format!("{error}; issue another one"),
            },
            Self::Chain { error, .. } => format!("{error}; issue another one"),
        }
    }
}

/// Describes a bound of the certificate's validity and the verifier's clock. The clock is cut to the minute, so that a
/// peer that retries soon gets the same text.
fn when(certificate: &CertificateDer<'_>, now: UnixTime, bound: impl Fn((i64, i64)) -> i64) -> String {
    let clock = described::time(described::seconds(now) / 60 * 60);
    match described::validity(certificate).map(bound) {
        Some(bound) => format!(" ({}, and the clock says {clock})", described::time(bound)),
        None => format!(" (the clock says {clock})"),
    }
}

/// A slot for the sentence about the certificate that one handshake refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefusalNote(Arc<OnceLock<String>>);

impl RefusalNote {
    /// Records why a certificate was refused. Returns the error for TLS.
    pub(super) fn note(
        &self,
        by: RefusingSide,
        refusal: CertificateRefusal,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Error {
        // Only the first refusal is kept: it ends the handshake.
        let _ = self.0.set(refusal.sentence(by, certificate, now));
        refusal.error()
    }

    pub(crate) fn sentence(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
