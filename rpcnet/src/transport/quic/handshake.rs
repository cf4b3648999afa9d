//! quinn's TLS sessions, extended with the reason in words why a certificate was refused.
//!
//! rustls gives the peer only an alert's number, and this side an error that does not name the certificate. Here, each
//! session has its own verifiers, which write a sentence into a [`RefusalNote`]. The sentence becomes the reason of the
//! QUIC error, where both sides find it. After the handshake, only an empty pointer is left of this.

use std::{any::Any, sync::Arc};

use quinn::{
    ConnectError, Side,
    crypto::{
        self, ExportKeyingMaterialError, KeyPair, Keys, UnsupportedVersion,
        rustls::{QuicClientConfig, QuicServerConfig},
    },
};
use quinn_proto::{ConnectionId, TransportError, transport_parameters::TransportParameters};

use crate::{
    ConfigError,
    tls::{NONE_SHOWN, RefusalNote, Tls},
};

/// The TLS alert `certificate_required` (RFC 8446, section 6) as a QUIC error.
const CERTIFICATE_REQUIRED: u64 = 0x100 + 116;

/// Starts a session for each peer that dials.
pub(super) struct ServerSide {
    tls: Arc<Tls>,
    protocols: Vec<Vec<u8>>,
    /// Serves all calls that do not depend on a session.
    base: Arc<QuicServerConfig>,
}

impl ServerSide {
    pub(super) fn new(tls: Arc<Tls>, protocols: Vec<Vec<u8>>) -> Result<Self, ConfigError> {
        let base = Arc::new(server(&tls, &protocols, &RefusalNote::default())?);
        Ok(Self { tls, protocols, base })
    }
}

fn server(
    tls: &Arc<Tls>,
    protocols: &[Vec<u8>],
    refusals: &RefusalNote,
) -> Result<QuicServerConfig, ConfigError> {
    let config = tls.server_config(protocols.to_vec(), refusals)?;
    QuicServerConfig::try_from(config).map_err(|_| no_cipher_suite())
}

fn no_cipher_suite() -> ConfigError {
    let source = rustls::Error::General("QUIC needs TLS13_AES_128_GCM_SHA256".into());
    ConfigError::Tls { item: "cipher suites", source }
}

impl crypto::ServerConfig for ServerSide {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        crypto::ServerConfig::initial_keys(&*self.base, version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        crypto::ServerConfig::retry_tag(&*self.base, version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let refusals = RefusalNote::default();
        // This configuration was made before, so it can be made again. If it fails nevertheless, the session goes
        // without words.
        let config =
            server(&self.tls, &self.protocols, &refusals).map_or_else(|_| self.base.clone(), Arc::new);
        Box::new(RecordingSession { inner: config.start_session(version, params), refusals: Some(refusals) })
    }
}

/// Starts the session of one connection that is dialled.
pub(super) struct ClientSide {
    inner: Arc<QuicClientConfig>,
    refusals: RefusalNote,
}

impl ClientSide {
    pub(super) fn new(tls: &Arc<Tls>, protocol: &[u8]) -> Result<Self, ConfigError> {
        let refusals = RefusalNote::default();
        let config = tls.client_config(protocol, &refusals)?;
        let inner = Arc::new(QuicClientConfig::try_from(config).map_err(|_| no_cipher_suite())?);
        Ok(Self { inner, refusals })
    }
}

impl crypto::ClientConfig for ClientSide {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        let inner = self.inner.clone().start_session(version, server_name, params)?;
        Ok(Box::new(RecordingSession { inner, refusals: Some(self.refusals.clone()) }))
    }
}

struct RecordingSession {
    inner: Box<dyn crypto::Session>,
    /// `None` after the handshake.
    refusals: Option<RefusalNote>,
}

impl RecordingSession {
    fn explained(&self, error: TransportError) -> TransportError {
        let sentence = match self.refusals.as_ref().and_then(RefusalNote::sentence) {
            Some(sentence) => sentence,
            None if u64::from(error.code) == CERTIFICATE_REQUIRED => NONE_SHOWN,
            None => return error,
        };
        TransportError { reason: sentence.to_owned(), ..error }
    }
}

impl crypto::Session for RecordingSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn crypto::HeaderKey>, Box<dyn crypto::PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        let read = self.inner.read_handshake(buf).map_err(|error| self.explained(error))?;
        if !self.inner.is_handshaking() {
            self.refusals = None;
        }
        Ok(read)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn crypto::PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}
