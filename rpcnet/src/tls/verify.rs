//! The verifiers of servers' and clients' certificates. Each uses the CAs that are current at the time of the
//! handshake.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{
    PeerIdentity, Tls,
    refused::{CertificateRefusal, RefusalNote, RefusingSide},
};

/// Compares the cluster in the certificate with this side's. Returns false if one of the two names none.
fn check_cluster(tls: &Tls, certificate: &CertificateDer<'_>) -> Result<bool, CertificateRefusal> {
    let identity = PeerIdentity::from_der(certificate).map_err(CertificateRefusal::Unreadable)?;
    match (identity.spiffe_id(), tls.cluster()) {
        (Some(id), Some(ours)) if id.cluster() == ours => Ok(true),
        (Some(id), Some(ours)) => Err(CertificateRefusal::Cluster { theirs: id.cluster().to_owned(), ours }),
        _ => Ok(false),
    }
}

/// Verifies the server that this side dials, in one handshake.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    tls: Arc<Tls>,
    refusals: RefusalNote,
}

impl ServerVerifier {
    pub(super) fn new(tls: Arc<Tls>, refusals: RefusalNote) -> Self {
        Self { tls, refusals }
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateRefusal> {
        let trust = self.tls.trust.load();
        let chain = |error| CertificateRefusal::of_chain(error, certificate, &trust.roots);
        let parsed = ParsedCertificate::try_from(certificate).map_err(chain)?;
        let algorithms = self.tls.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &trust.roots, intermediates, now, algorithms)
            .map_err(chain)?;
        if check_cluster(&self.tls, certificate)? {
            return Ok(());
        }
        verify_server_name(&parsed, name).map_err(|error| match error {
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => CertificateRefusal::Name { dialled: name.to_str().into_owned(), bare: self.tls.is_bare() },
            error => chain(error),
        })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check(certificate, intermediates, name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(refusal) => Err(self.refusals.note(RefusingSide::Client, refusal, certificate, now)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has no TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.tls.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.tls.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies a client that dials this side, in one handshake. A client without a certificate is refused.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    tls: Arc<Tls>,
    refusals: RefusalNote,
}

impl ClientVerifier {
    pub(super) fn new(tls: Arc<Tls>, refusals: RefusalNote) -> Self {
        Self { tls, refusals }
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, CertificateRefusal> {
        let trust = self.tls.trust.load();
        let chain = |error| CertificateRefusal::of_chain(error, certificate, &trust.roots);
        let Some(clients) = &trust.clients else { return Err(chain(CertificateError::UnknownIssuer.into())) };
        let verified = clients.verify_client_cert(certificate, intermediates, now).map_err(chain)?;
        check_cluster(&self.tls, certificate)?;
        Ok(verified)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let checked = self.check(certificate, intermediates, now);
        checked.map_err(|refusal| self.refusals.note(RefusingSide::Server, refusal, certificate, now))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has no TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.tls.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.tls.provider.signature_verification_algorithms.supported_schemes()
    }
}
