//! Keys with which a restarted process recognises the connections of the process before it.
//!
//! An endpoint answers a packet of an unknown connection with a stateless reset (RFC 9000, section 10.3), so that the
//! peer knows at once that the connection is gone. The reset's token is computed from the connection ID with a key that
//! the earlier process must have had too. The same holds for the part of the connection ID by which quinn recognises
//! its own IDs.
//!
//! So both keys are derived from two things:
//!
//! - the private key of the certificate;
//! - the address that was bound, as another socket must not reveal tokens of this socket's connections (section 21.11).
//!
//! Replicas on several hosts may share a private key and bind the same unspecified address. So the host becomes a part
//! of such an address. Where the host can't be identified, the keys are random.

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

/// Returns an endpoint's configuration. If the system chooses the port, no earlier process had it, and all keys are
/// random.
pub(super) fn config(addr: SocketAddr, tls: &Tls) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if addr.port() != 0
        && let Some(secret) = tls.secret().cloned()
        && let Some(addr) = place(addr)
    {
        let mut ids = [0; 8];
        secret.derive(&[b"connection ids ", addr.as_bytes()], &mut ids);
        let ids = u64::from_be_bytes(ids);
        config
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
            .reset_key(Arc::new(ResetKey { secret, addr }));
    }
    config
}

/// Returns a text that identifies the socket's place. The next process at this address has the same one, and no other
/// socket has it at the same time.
fn place(addr: SocketAddr) -> Option<String> {
    if !addr.ip().is_unspecified() {
        return Some(addr.to_string());
    }
    // The boot id of this host, and the name of this host or container. Only Linux has both.
    let [boot, name] = ["/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/hostname"]
        .map(|path| std::fs::read_to_string(path).ok());
    Some(format!("{addr} {} {}", boot?.trim(), name?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_same_again_and_another_for_another_address() {
        let places = ["0.0.0.0:1", "0.0.0.0:2", "[::]:1", "127.0.0.1:1", "127.0.0.1:2"]
            .map(|addr| addr.parse().expect("an address"))
            .map(|addr| (place(addr), place(addr)));
        assert!(places.iter().all(|(first, again)| first == again));
        for (index, (place, _)) in places.iter().enumerate() {
            assert!(place.is_none() || places[..index].iter().all(|(other, _)| other != place));
        }
        assert!(places[3].0.is_some());
    }
}
