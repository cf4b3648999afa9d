//! Keys with which a restarted process recognises the connections of its former life.
//!
//! A packet of a connection that an endpoint does not know is answered with a stateless reset (RFC 9000, section 10.3), by
//! which the peer knows at once that the connection is gone. Its token is computed of the connection's id, with a key that
//! the former process must have had too; and so is a part of the id, by which quinn tells ids that it has made. So both keys
//! are derived from the private key of the certificate, and from the address that was bound: another socket must not give
//! tokens of this one's connections away (section 21.11).

use std::{net::SocketAddr, sync::Arc};

use quinn::{
    EndpointConfig,
    crypto::{CryptoError, HmacKey},
};
use quinn_proto::HashedConnectionIdGenerator;

use crate::tls::{Secret, Tls};

const TOKEN: usize = 32;

struct ResetKey {
    secret: Secret,
    addr: String,
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        self.secret.derive(&[b"stateless reset ", self.addr.as_bytes(), b" ", data], signature);
    }

    fn signature_len(&self) -> usize {
        TOKEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let mut expected = [0; TOKEN];
        self.sign(data, &mut expected);
        if signature == expected { Ok(()) } else { Err(CryptoError) }
    }
}

/// An endpoint's configuration. At a port that the system has chosen there is no former life, and all keys are random.
pub(super) fn config(addr: SocketAddr, tls: &Tls) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if addr.port() != 0
        && let Some(secret) = tls.secret().cloned()
    {
        let addr = addr.to_string();
        let mut ids = [0; 8];
        secret.derive(&[b"connection ids ", addr.as_bytes()], &mut ids);
        let ids = u64::from_be_bytes(ids);
        config
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
            .reset_key(Arc::new(ResetKey { secret, addr }));
    }
    config
}
