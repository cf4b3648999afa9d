//! This node's certificate and the CAs that it trusts. Both can be replaced while connections are open.
//!
//! A peer's certificate is checked for its chain, its validity and its extended key usage, and then for its name:
//!
//! - The URI SAN `spiffe://<cluster>/node/<name>` (<https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md>)
//!   must name this side's cluster.
//! - If one side's certificate names no cluster, a server's SAN must contain the address that was dialled.
//!
//! Sessions are never resumed: a resumed session would skip the check of a client's certificate.

mod checks;
mod described;
mod identity;
mod pem;
mod refused;
mod secret;
mod verify;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore,
    client::{ClientConfig, ResolvesClientCert, Resumption},
    crypto::CryptoProvider,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::UnixTime;

pub(crate) use self::{
    described::{printable, time as date},
    refused::{NONE_SHOWN, RefusalNote, RefusingSide, beginning},
    secret::Secret,
};
pub use self::{
    identity::{PeerIdentity, SpiffeId, SpiffeIdError},
    pem::PemError,
};
use self::{
    pem::{certificates, private_key},
    verify::{ClientVerifier, ServerVerifier},
};
use crate::ConfigError;

/// Returns the TLS provider of this build. It is named everywhere, as rustls can't choose if two are compiled in.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    compile_error!("rpcnet needs a TLS provider: enable the feature `ring` or `aws-lc-rs`");
}

/// A node's certificate and trusted CAs. Shared by all endpoints with which a node listens and dials, so that one
/// reload reaches all of them. Each new handshake uses the current ones.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    own: ArcSwap<OwnIdentity>,
    /// Derived from the first private key.
    secret: Option<Secret>,
    trust: ArcSwap<Trust>,
}

/// This side's certificate. A client may have none.
#[derive(Debug)]
struct OwnIdentity {
    key: Option<Arc<CertifiedKey>>,
    cluster: Option<String>,
}

/// The trusted CAs, in the two forms that rustls needs.
#[derive(Debug)]
struct Trust {
    roots: Arc<RootCertStore>,
    /// `None` if no CA is trusted: rustls builds no verifier without CAs.
    clients: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
}

/// A certificate and its key from PEM text, parsed and checked.
#[derive(Debug, Clone)]
pub(crate) struct OwnCertificate(Arc<CertifiedKey>, Option<Secret>);

/// CA certificates from PEM text, parsed.
#[derive(Debug, Clone)]
pub(crate) struct CaCertificates(Arc<RootCertStore>);

impl OwnCertificate {
    pub(crate) fn from_pem(cert: &[u8], key: &[u8]) -> Result<Self, ConfigError> {
        let chain = certificates(cert, "certificate")?;
        let key = private_key(key)?;
        let secret = Secret::of(key.secret_der());
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|source| ConfigError::Tls { item: "private key", source })?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match()
            .map_err(|source| ConfigError::Tls { item: "pair of certificate and private key", source })?;
        Ok(Self(Arc::new(key), secret))
    }

    fn identity(&self) -> Result<PeerIdentity, ConfigError> {
        let leaf = self.0.cert.first().ok_or(ConfigError::Empty { item: "certificate" })?;
        PeerIdentity::from_der(leaf).map_err(ConfigError::Certificate)
    }
}

impl CaCertificates {
    /// Trusts no CA, for networks without TLS.
    pub(crate) fn none() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        let all = certificates(pem, "CA certificate")?;
        let of = all.len();
        for (index, certificate) in all.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| {
                let (kind, position, cause) = ("certificate", index + 1, error.into());
                let source = PemError::Section { kind, position, of, cause };
                ConfigError::Pem { item: "CA certificate", source }
            })?;
        }
        Ok(Self(Arc::new(roots)))
    }
}

impl Tls {
    pub(crate) fn new(own: Option<&OwnCertificate>, ca: &CaCertificates) -> Result<Arc<Self>, ConfigError> {
        let provider = provider();
        let secret = own.and_then(|own| own.1.clone());
        let own = match own {
            Some(certificate) => OwnIdentity::new(certificate)?,
            None => OwnIdentity { key: None, cluster: None },
        };
        let trust = Trust::new(ca, &provider)?;
        let (own, trust) = (ArcSwap::from_pointee(own), ArcSwap::from_pointee(trust));
        let tls = Self { provider, own, secret, trust };
        tls.warn_of_own(UnixTime::now());
        Ok(Arc::new(tls))
    }

    /// Shows this certificate in new handshakes. Open connections are not affected.
    pub(crate) fn replace_own(&self, certificate: &OwnCertificate, now: UnixTime) -> Result<(), ConfigError> {
        let own = OwnIdentity::new(certificate)?;
        self.check_replacement(&certificate.0.cert, now)?;
        self.own.store(Arc::new(own));
        Ok(())
    }

    /// Checks new handshakes against these CAs. Open connections are not affected.
    pub(crate) fn replace_trust(&self, ca: &CaCertificates, now: UnixTime) -> Result<(), ConfigError> {
        self.trust.store(Arc::new(Trust::new(ca, &self.provider)?));
        self.warn_of_own(now);
        Ok(())
    }

    /// Returns a secret that a later process has too if it starts with the same private key. A reload does not change
    /// it.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// Returns true if this side has no certificate.
    fn is_bare(&self) -> bool {
        self.own.load().key.is_none()
    }

    /// Returns the cluster that this side's certificate names.
    pub(crate) fn cluster(&self) -> Option<String> {
        self.own.load().cluster.clone()
    }

    /// Returns the identity in this side's certificate.
    pub(crate) fn own_identity(&self) -> Option<PeerIdentity> {
        let own = self.own.load();
        let leaf = own.key.as_ref()?.cert.first()?;
        PeerIdentity::from_der(leaf).ok()
    }

    /// Returns the configuration for one handshake, which writes a refusal into `refusals`.
    pub(crate) fn server_config(
        self: &Arc<Self>,
        alpn: Vec<Vec<u8>>,
        refusals: &RefusalNote,
    ) -> Result<ServerConfig, ConfigError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| ConfigError::Tls { item: "protocol version", source })?
            .with_client_cert_verifier(Arc::new(ClientVerifier::new(self.clone(), refusals.clone())))
            .with_cert_resolver(Arc::new(CertResolver(self.clone())));
        config.alpn_protocols = alpn;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Returns the configuration for one handshake, which writes a refusal into `refusals`.
    pub(crate) fn client_config(
        self: &Arc<Self>,
        alpn: &[u8],
        refusals: &RefusalNote,
    ) -> Result<ClientConfig, ConfigError> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| ConfigError::Tls { item: "protocol version", source })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(self.clone(), refusals.clone())))
            .with_client_cert_resolver(Arc::new(CertResolver(self.clone())));
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl OwnIdentity {
    fn new(certificate: &OwnCertificate) -> Result<Self, ConfigError> {
        let cluster = certificate.identity()?.spiffe_id().map(|id| id.cluster().to_owned());
        Ok(Self { key: Some(certificate.0.clone()), cluster })
    }
}

impl Trust {
    fn new(ca: &CaCertificates, provider: &Arc<CryptoProvider>) -> Result<Self, ConfigError> {
        if ca.0.is_empty() {
            return Ok(Self { roots: ca.0.clone(), clients: None });
        }
        let clients = WebPkiClientVerifier::builder_with_provider(ca.0.clone(), provider.clone())
            .build()
            .map_err(|error| ConfigError::Certificate(error.to_string()))?;
        Ok(Self { roots: ca.0.clone(), clients: Some(clients) })
    }
}

/// Shows the certificate that is current at the time of the handshake.
#[derive(Debug)]
struct CertResolver(Arc<Tls>);

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.own.load().key.clone()
    }
}

impl ResolvesClientCert for CertResolver {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.own.load().key.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.own.load().key.is_some()
    }
}
