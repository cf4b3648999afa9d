//! The identity of a process, and the CA that it trusts.

use rpcnet::dev::{DevCa, DevCaError, DevCert};
use serde::{Deserialize, Serialize};

/// A certificate, its key and the CA of the other processes, all as PEM text.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The CA.
    pub ca: String,
    /// The certificate.
    pub cert: String,
    /// The certificate's key.
    pub key: String,
}

impl Credentials {
    /// Issues a certificate for this name.
    ///
    /// # Errors
    ///
    /// [`DevCaError`] if the certificate can't be made.
    pub fn issue(ca: &DevCa, name: &str) -> Result<Self, DevCaError> {
        let DevCert { cert, key } = ca.issue(name)?;
        Ok(Self { ca: ca.ca_pem().to_owned(), cert, key })
    }
}

impl std::fmt::Debug for Credentials {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("cert", &self.cert).finish_non_exhaustive()
    }
}
