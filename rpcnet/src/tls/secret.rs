//! A secret that survives a restart, as it is derived from the private key.

use std::{fmt, sync::Arc};

use rustls::crypto::tls13::HkdfExpander;

use super::provider;

/// The salt, which separates this use of the private key from others.
const SALT: &[u8] = b"rpcnet: keys of an endpoint, from its private key";

/// A secret derived from a private key (HKDF, RFC 5869). It reveals nothing about the key. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Secret(Arc<dyn HkdfExpander>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Returns `None` if the TLS provider has no TLS 1.3.
    pub(super) fn of(private_key: &[u8]) -> Option<Self> {
        let suite = provider().cipher_suites.iter().find_map(|suite| suite.tls13())?;
        Some(Self(suite.hkdf_provider.extract_from_secret(Some(SALT), private_key).into()))
    }

    /// Derives the key for this purpose and fills `key` with it, at most 32 bytes.
    pub(crate) fn derive(&self, purpose: &[&[u8]], key: &mut [u8]) {
        let block = self.0.expand_block(purpose);
        let length = key.len();
        key.copy_from_slice(&block.as_ref()[..length]);
    }
}
