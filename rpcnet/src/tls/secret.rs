//! A secret that a process has again after a restart, as it has its private key again.

use std::{fmt, sync::Arc};

use rustls::crypto::tls13::HkdfExpander;

use super::provider;

/// What the salt says of the secret's use.
const SALT: &[u8] = b"rpcnet: keys of an endpoint, from its private key";

/// Derived from a private key, of which it tells nothing (HKDF, RFC 5869). Cheap to clone.
#[derive(Clone)]
pub(crate) struct Secret(Arc<dyn HkdfExpander>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// `None` for a TLS provider without TLS 1.3.
    pub(super) fn of(private_key: &[u8]) -> Option<Self> {
        let suite = provider().cipher_suites.iter().find_map(|suite| suite.tls13())?;
        Some(Self(suite.hkdf_provider.extract_from_secret(Some(SALT), private_key).into()))
    }

    /// Fills `key`, of at most 32 bytes, with the key of this purpose.
    pub(crate) fn derive(&self, purpose: &[&[u8]], key: &mut [u8]) {
        let block = self.0.expand_block(purpose);
        let length = key.len();
        key.copy_from_slice(&block.as_ref()[..length]);
    }
}
