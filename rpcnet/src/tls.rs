//! Who we are and whom we trust, both exchangeable while connections stand.
//!
//! A peer's certificate is checked for its chain, its validity and its extended key usage; then for its name: the
//! URI SAN `spiffe://<cluster>/node/<name>` (<https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md>)
//! must be of our own cluster, or, where a server's certificate has none, the address that was dialled must stand
//! in its SAN. Sessions are never resumed: a resumed session would skip the check of a client's certificate.

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
    identity::{PeerIdentity, SpiffeId},
    pem::PemError,
};
use self::{
    pem::{certificates, private_key},
    verify::{ClientVerifier, ServerVerifier},
};
use crate::ConfigError;

/// The TLS provider of this build. Named everywhere, because with two compiled in rustls can't choose.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    compile_error!("rpcnet needs a TLS provider: enable the feature `ring` or `aws-lc-rs`");
}

/// Our certificate and the CAs that we trust. Shared by all that a node listens and dials with, so that one reload
/// reaches all; each new handshake takes what is in force then.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    own: ArcSwap<OwnIdentity>,
    /// Of the first private key.
    secret: Option<Secret>,
    trust: ArcSwap<Trust>,
}

/// Our own certificate; a client may be without.
#[derive(Debug)]
struct OwnIdentity {
    key: Option<Arc<CertifiedKey>>,
    cluster: Option<String>,
}

/// The CAs that we trust, in the two forms that rustls wants.
#[derive(Debug)]
struct Trust {
    roots: Arc<RootCertStore>,
    /// `None` where no CA is trusted at all (rustls makes no verifier of nothing).
    clients: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
}

/// PEM text of a certificate and its key, parsed and checked.
#[derive(Debug, Clone)]
pub(crate) struct OwnCertificate(Arc<CertifiedKey>, Option<Secret>);

/// PEM text of CA certificates, parsed.
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
    /// Trusts nobody: for networks without TLS.
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

    /// New handshakes show this certificate; connections that stand go on.
    pub(crate) fn replace_own(&self, certificate: &OwnCertificate, now: UnixTime) -> Result<(), ConfigError> {
        let own = OwnIdentity::new(certificate)?;
        self.check_replacement(&certificate.0.cert, now)?;
        self.own.store(Arc::new(own));
        Ok(())
    }

    /// New handshakes are checked against these CAs; connections that stand go on.
    pub(crate) fn replace_trust(&self, ca: &CaCertificates, now: UnixTime) -> Result<(), ConfigError> {
        self.trust.store(Arc::new(Trust::new(ca, &self.provider)?));
        self.warn_of_own(now);
        Ok(())
    }

    /// A secret that the next process with this side's first private key has as well.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// Whether this side has no certificate to show.
    fn is_bare(&self) -> bool {
        self.own.load().key.is_none()
    }

    /// Our own cluster, as our certificate names it.
    pub(crate) fn cluster(&self) -> Option<String> {
        self.own.load().cluster.clone()
    }

    /// The node name in our own certificate.
    pub(crate) fn own_identity(&self) -> Option<PeerIdentity> {
        let own = self.own.load();
        let leaf = own.key.as_ref()?.cert.first()?;
        PeerIdentity::from_der(leaf).ok()
    }

    /// For one handshake, whose refusal is noted.
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

    /// For one handshake, whose refusal is noted.
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

/// Shows the certificate that is in force at the time of the handshake.
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
