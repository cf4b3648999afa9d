//! The two verifiers, each against the trust that is in force at the time of the handshake.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
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

use super::{PeerIdentity, Tls};

/// Why a certificate with a good chain was refused all the same.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the certificate can't be parsed: {0}")]
    Unreadable(String),
    #[error("the certificate is of cluster {theirs:?}, we are of {ours:?}")]
    Cluster { theirs: String, ours: String },
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// Whether the name in the certificate settles who this is: `false` where there is none to compare.
fn check_cluster(tls: &Tls, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
    let identity = PeerIdentity::from_der(certificate).map_err(Refused::Unreadable)?;
    match (identity.spiffe_id(), tls.cluster()) {
        (Some(id), Some(ours)) if id.cluster() == ours => Ok(true),
        (Some(id), Some(ours)) => Err(Refused::Cluster { theirs: id.cluster().to_owned(), ours }.into()),
        _ => Ok(false),
    }
}

/// Checks servers that we dial.
#[derive(Debug)]
pub(super) struct ServerVerifier(Arc<Tls>);

impl ServerVerifier {
    pub(super) fn new(tls: Arc<Tls>) -> Self {
        Self(tls)
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
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.0.trust.load().roots,
            intermediates,
            now,
            self.0.provider.signature_verification_algorithms.all,
        )?;
        if !check_cluster(&self.0, certificate)? {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
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
        let algorithms = &self.0.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks clients that dial us: none is let in without a certificate.
#[derive(Debug)]
pub(super) struct ClientVerifier(Arc<Tls>);

impl ClientVerifier {
    pub(super) fn new(tls: Arc<Tls>) -> Self {
        Self(tls)
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
        let trust = self.0.trust.load();
        let Some(clients) = &trust.clients else { return Err(CertificateError::UnknownIssuer.into()) };
        let verified = clients.verify_client_cert(certificate, intermediates, now)?;
        check_cluster(&self.0, certificate)?;
        Ok(verified)
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
        let algorithms = &self.0.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.provider.signature_verification_algorithms.supported_schemes()
    }
}
