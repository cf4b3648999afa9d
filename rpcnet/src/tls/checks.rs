//! Checks of this side's own certificate: would peers accept it? A reload fails if not, as every new connection would
//! fail after it.
//!
//! At the start a node accepts any certificate, and a warning says what is wrong with it: the certificate may be
//! replaced while the node runs, and the clock may be set.

use std::time::{Duration, SystemTime};

use rustls::{
    CertificateError, Error, client::verify_server_cert_signed_by_trust_anchor, server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tracing::warn;

use super::{Tls, described};
use crate::ConfigError;

impl Tls {
    /// Refuses a certificate that is not valid at this time, or whose CA is not trusted here.
    ///
    /// There is one exception: if the current certificate's CA is not trusted here either, another such certificate is
    /// accepted with a warning. The peers of such a side trust other CAs, which it does not know.
    pub(super) fn check_replacement(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ConfigError> {
        let Some(leaf) = chain.first() else { return Err(ConfigError::Empty { item: "certificate" }) };
        check_validity(leaf, now)?;
        match self.check_chain(chain, now) {
            Ok(()) => Ok(()),
            Err(source) if is_unknown_ca(&source) && self.shows_a_foreign_one(now) => {
                warn!(
                    certificate = described::certificate(leaf),
                    "neither the new certificate's CA nor the current one's is trusted here"
                );
                Ok(())
            }
            Err(source) => Err(ConfigError::Untrusted {
                certificate: described::certificate(leaf),
                trusted: described::authorities(&self.trust.load().roots),
                source,
            }),
        }
    }

    /// Warns if this side's certificate has expired, is not valid yet, or has an untrusted CA.
    pub(super) fn warn_of_own(&self, now: UnixTime) {
        let own = self.own.load();
        let Some(key) = &own.key else { return };
        let Some(leaf) = key.cert.first() else { return };
        let certificate = || described::certificate(leaf);
        match check_validity(leaf, now) {
            Err(ConfigError::Expired { .. }) => {
                let expired = described::validity(leaf).map(|(_, end)| described::time(end));
                warn!(
                    certificate = certificate(),
                    expired,
                    "this side's certificate has expired, peers will refuse it: load a new one (reload_certificate)"
                );
            }
            Err(_) => {
                let valid_from = described::validity(leaf).map(|(start, _)| described::time(start));
                warn!(
                    certificate = certificate(),
                    valid_from,
                    "this side's certificate is not valid yet, peers will refuse it: check this host's clock"
                );
            }
            Ok(()) => {
                if self.check_chain(&key.cert, now).is_err_and(|error| is_unknown_ca(&error)) {
                    warn!(
                        certificate = certificate(),
                        trusted = described::authorities(&self.trust.load().roots),
                        "this side's certificate is of a CA that it does not trust itself: peers with the same CAs will \
                         refuse it"
                    );
                }
            }
        }
    }

    /// Returns true if the CA of the current certificate is not trusted here.
    fn shows_a_foreign_one(&self, now: UnixTime) -> bool {
        let own = self.own.load();
        own.key
            .as_ref()
            .is_some_and(|key| self.check_chain(&key.cert, now).is_err_and(|error| is_unknown_ca(&error)))
    }

    /// Checks the chain as a peer with the same CAs would, for use as a server or as a client.
    fn check_chain(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(CertificateError::BadEncoding.into());
        };
        let trust = self.trust.load();
        let Some(clients) = &trust.clients else { return Err(CertificateError::UnknownIssuer.into()) };
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&parsed, &trust.roots, intermediates, now, algorithms)
        {
            Err(Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            )) => clients.verify_client_cert(leaf, intermediates, now).map(drop),
            result => result,
        }
    }
}

fn is_unknown_ca(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)
    )
}

fn check_validity(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), ConfigError> {
    let Some((start, end)) = described::validity(leaf) else { return Ok(()) };
    let seconds = described::seconds(now);
    let certificate = || described::certificate(leaf);
    if seconds > end {
        return Err(ConfigError::Expired {
            certificate: certificate(),
            not_after: at(end),
            now: at(seconds),
        });
    }
    if seconds < start {
        return Err(ConfigError::NotYetValid {
            certificate: certificate(),
            not_before: at(start),
            now: at(seconds),
        });
    }
    Ok(())
}

/// Converts seconds since 1970. Earlier times become 1970, before which there were no certificates.
fn at(seconds: i64) -> SystemTime {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
