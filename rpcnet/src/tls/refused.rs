//! Why a certificate was refused, in one sentence that reads the same at both ends.
//!
//! TLS has but a number for it, the alert. QUIC carries a reason in words beside it (RFC 9000, section 19.19): there the
//! sentence goes to the peer, which so learns of which certificate the alert speaks, and of what it was measured by. What
//! stands in it the peer knows anyhow: its own certificate, and the CA and cluster that ours names.

use std::sync::{Arc, OnceLock};

use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::described;

/// The side that refused.
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

/// What a sentence begins with: who refused whose certificate.
pub(crate) fn beginning(by: RefusingSide) -> String {
    format!("the {} refused the {}'s certificate", by.as_str(), by.other().as_str())
}

/// A client that shows no certificate gets no further than to the server's verdict, in which rustls does not ask the
/// verifier.
pub(crate) const NONE_SHOWN: &str = "the server demands a certificate of the client, and none was shown: give the \
                                     client one of a CA that the server trusts (with_cert_and_key)";

/// Why a verifier refuses a certificate.
#[derive(Debug)]
pub(super) enum CertificateRefusal {
    /// It can't be parsed.
    Unreadable(String),
    /// rustls refused its chain. `trusted` lists the CAs that are; `same_name` is set where one of them has the name of
    /// the certificate's issuer.
    Chain { error: Error, trusted: String, same_name: bool },
    /// It is of another cluster.
    Cluster { theirs: String, ours: String },
    /// It is not for the host that was dialled. `bare` is set where this side has no certificate that would name its
    /// cluster.
    Name { dialled: String, bare: bool },
}

impl CertificateRefusal {
    pub(super) fn of_chain(error: Error, certificate: &CertificateDer<'_>, roots: &RootCertStore) -> Self {
        let trusted = described::authorities(roots);
        Self::Chain { error, trusted, same_name: described::knows_issuer(roots, certificate) }
    }

    /// The error whose alert TLS sends.
    fn error(&self) -> Error {
        match self {
            Self::Unreadable(_) => CertificateError::BadEncoding.into(),
            // A CA of a trusted one's name, but with another key, is an unknown CA.
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

    /// The sentence, with the next step.
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

/// A bound of the certificate's validity, and the verifier's clock: to the minute, so that a peer which comes again soon is
/// told the same.
fn when(certificate: &CertificateDer<'_>, now: UnixTime, bound: impl Fn((i64, i64)) -> i64) -> String {
    let clock = described::time(described::seconds(now) / 60 * 60);
    match described::validity(certificate).map(bound) {
        Some(bound) => format!(" ({}, and the clock says {clock})", described::time(bound)),
        None => format!(" (the clock says {clock})"),
    }
}

/// The sentence about the certificate that one handshake refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefusalNote(Arc<OnceLock<String>>);

impl RefusalNote {
    /// Notes why a certificate was refused; gives the error for TLS.
    pub(super) fn note(
        &self,
        by: RefusingSide,
        refusal: CertificateRefusal,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Error {
        // The first refusal ends the handshake.
        let _ = self.0.set(refusal.sentence(by, certificate, now));
        refusal.error()
    }

    pub(crate) fn sentence(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
