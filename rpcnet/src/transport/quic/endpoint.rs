//! A UDP socket that listens and dials.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Once},
};

use arc_swap::ArcSwapOption;
use quinn::{
    EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt, crypto::rustls::HandshakeData,
};
use rustls_pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;

use super::{
    super::{ConnectionError, DialOptions, ListenOptions, Room, Side, connection, window::First},
    handshake::{ClientSide, ServerSide},
    reset,
    runtime::QuinnRuntime,
};
use crate::{ConfigError, PeerIdentity, tls::Tls};

/// The socket buffer in bytes that is requested from the kernel for each direction. With Linux' default (208 KiB), bulk
/// transfers lose packets.
const SOCKET_BUFFER: usize = 4 << 20;
/// The number of unidirectional streams that a peer may have open: the control stream, large replies of the lane's
/// calls, and bulk gossip. Together with the bidirectional streams of a new connection (6, and quinn's eighth) they are
/// 14. For a fifteenth, quinn's table would take twice the memory.
const UNI_STREAMS: u32 = 7;
/// The bound in bytes of the search for larger packets, for paths that take them: loopback, and Ethernet with jumbo
/// frames. A packet costs both sides about the same, whatever its size. Ten of these fit into the 64 KiB that the
/// kernel takes at once (GSO).
const LARGEST_PACKET: u16 = 6400;
/// The packet size in bytes that every path takes (RFC 9000, section 14).
const SMALLEST_PACKET: u16 = 1200;
/// The bytes of datagrams that may wait in each direction.
const DATAGRAM_BUFFER: usize = 1 << 20;
/// The bytes that may wait for a handshake that was not accepted yet, beside its first packet. That is the rest of a
/// first flight, which the post-quantum key exchange makes two packets, and a few repetitions.
const INCOMING_BUFFER: u64 = 16 << 10;

#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    inner: Arc<quinn::Endpoint>,
    local_addr: SocketAddr,
    tls: Arc<Tls>,
    listening: Arc<ArcSwapOption<Listening>>,
}

/// The configuration with which connections are accepted.
#[derive(Debug)]
struct Listening {
    /// For peers on this host.
    near: Arc<quinn::ServerConfig>,
    far: Arc<quinn::ServerConfig>,
    window: u32,
}

#[derive(Debug)]
pub(crate) struct Incoming {
    inner: quinn::Incoming,
    endpoint: Arc<quinn::Endpoint>,
    listening: Arc<Listening>,
}

impl Endpoint {
    pub(in crate::transport) fn bind(addr: SocketAddr, tls: Arc<Tls>) -> io::Result<Self> {
        let runtime = QuinnRuntime::current()
            .ok_or_else(|| io::Error::other("no tokio runtime: servers and channels are made inside one"))?;
        let inner = Arc::new(open(addr, reset::config(addr, &tls), runtime.clone())?);
        runtime.serves(&inner);
        let local_addr = inner.local_addr()?;
        Ok(Self { inner, local_addr, tls, listening: Arc::default() })
    }

    pub(in crate::transport) fn listen(
        &self,
        protocols: Vec<Vec<u8>>,
        options: ListenOptions,
    ) -> Result<(), ConfigError> {
        let crypto = ServerSide::new(self.tls.clone(), protocols)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let accepted = DialOptions::default().with_keep_alive(None);
        config
            .transport_config(Arc::new(transport(&accepted, options.room, Proximity::Far)))
            // As many handshakes may wait as may run. Further ones are refused.
            .max_incoming(options.handshakes)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFER.saturating_mul(options.handshakes as u64));
        let mut near = config.clone();
        near.transport_config(Arc::new(transport(&accepted, options.room, Proximity::Near)));
        let (near, far) = (Arc::new(near), Arc::new(config.clone()));
        // Stored before the first connection can be accepted.
        self.listening.store(Some(Arc::new(Listening { near, far, window: options.room.window })));
        self.inner.set_server_config(Some(config));
        Ok(())
    }

    pub(in crate::transport) async fn dial(
        &self,
        addr: SocketAddr,
        name: &str,
        protocol: &[u8],
        options: &DialOptions,
        room: Room,
    ) -> Result<connection::Connection, ConnectionError> {
        let failed = |error: &dyn std::error::Error| ConnectionError::Transport(error.to_string());
        let crypto = ClientSide::new(&self.tls, protocol).map_err(|error| failed(&error))?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport(options, room, Proximity::to(addr))));
        let connecting = self.inner.connect_with(config, addr, name).map_err(|error| failed(&error))?;
        wrap(connecting.await?, self.inner.clone(), Side::Client, room.window)
    }

    pub(in crate::transport) async fn accept(&self) -> Option<Incoming> {
        let inner = self.inner.accept().await?;
        let listening = self.listening.load_full().expect("`listen` stores this before it accepts");
        Some(Incoming { inner, endpoint: self.inner.clone(), listening })
    }

    pub(in crate::transport) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(in crate::transport) fn rebind(&self) -> io::Result<()> {
        self.inner.rebind(socket(SocketAddr::new(self.local_addr.ip(), 0))?)
    }

    pub(in crate::transport) fn close(&self, code: u32, reason: &str) {
        self.inner.close(VarInt::from_u32(code), reason.as_bytes());
    }

    pub(in crate::transport) async fn wait_idle(&self) {
        self.inner.wait_idle().await;
    }
}

impl Incoming {
    pub(in crate::transport) fn remote_addr(&self) -> SocketAddr {
        canonical(self.inner.remote_address())
    }

    pub(in crate::transport) fn is_validated(&self) -> bool {
        !self.inner.may_retry()
    }

    pub(in crate::transport) fn retry(self) {
        // Fails only for a peer that was sent a retry before. Callers check `is_validated` first.
        let _ = self.inner.retry();
    }

    pub(in crate::transport) async fn handshake(self) -> Result<connection::Connection, ConnectionError> {
        let config = match Proximity::to(self.inner.remote_address()) {
            Proximity::Near => &self.listening.near,
            Proximity::Far => &self.listening.far,
        };
        let connecting = self.inner.accept_with(config.clone())?;
        wrap(connecting.await?, self.endpoint, Side::Server, self.listening.window)
    }
}

fn wrap(
    inner: quinn::Connection,
    endpoint: Arc<quinn::Endpoint>,
    side: Side,
    window: u32,
) -> Result<connection::Connection, ConnectionError> {
    let protocol = inner
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .unwrap_or_default();
    let chain =
        inner.peer_identity().and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let leaf = chain.as_ref().and_then(|chain| chain.first());
    // Both verifiers demand a certificate and have parsed it. This guards against a verifier that does not.
    let peer = match leaf {
        Some(leaf) => PeerIdentity::from_der(leaf).map_err(|error| ConnectionError::Certificate {
            message: format!("the peer's certificate can't be parsed: {error}"),
        })?,
        None => {
            return Err(ConnectionError::Certificate { message: "the peer showed no certificate".into() });
        }
    };
    Ok(connection::Connection::quic(super::Connection::new(inner, endpoint, window), peer, protocol, side))
}

/// Returns the IPv4 address of a peer that a dual-stack socket shows as an IPv4-mapped IPv6 address.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, addr.port()),
        _ => addr,
    }
}

/// Returns a limit with which at least `streams` streams can always be opened. quinn announces that streams have become
/// free only once they are more than an eighth of all, so that eighth is added.
pub(super) fn with_eighth(streams: u32) -> u32 {
    u32::try_from((u64::from(streams) * 8).div_ceil(7)).unwrap_or(u32::MAX)
}

/// The place of a peer: on this host, or elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proximity {
    Near,
    Far,
}

impl Proximity {
    fn to(addr: SocketAddr) -> Self {
        if addr.ip().to_canonical().is_loopback() { Self::Near } else { Self::Far }
    }
}

pub(super) fn transport(options: &DialOptions, room: Room, path: Proximity) -> TransportConfig {
    let mut probing = MtuDiscoveryConfig::default();
    probing.upper_bound(LARGEST_PACKET);
    if let Proximity::Near = path {
        // On loopback the largest packet fits, so two probes find it: half-way, then the bound. Smaller steps would
        // send padding for nothing.
        probing.minimum_change((LARGEST_PACKET - SMALLEST_PACKET) / 2);
    }
    let windows = First::within(room.window);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(with_eighth(room.streams)))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .mtu_discovery_config(options.larger_packets().then_some(probing))
        .stream_receive_window(VarInt::from_u32(windows.stream))
        .receive_window(VarInt::from_u32(windows.receive))
        .send_window(u64::from(windows.send))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .initial_rtt(options.initial_rtt())
        .keep_alive_interval(options.keep_alive())
        .max_idle_timeout(IdleTimeout::try_from(options.idle_timeout()).ok());
    config
}

pub(super) fn open(
    addr: SocketAddr,
    mut config: EndpointConfig,
    runtime: Arc<dyn quinn::Runtime>,
) -> io::Result<quinn::Endpoint> {
    config.max_udp_payload_size(LARGEST_PACKET).map_err(io::Error::other)?;
    quinn::Endpoint::new(config, None, socket(addr)?, runtime)
}

fn socket(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    static WARNED: Once = Once::new();

    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel may silently grant less. Only a query shows the granted size.
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    let granted = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    if granted < SOCKET_BUFFER {
        WARNED.call_once(|| {
            warn!(
                granted,
                wanted = SOCKET_BUFFER,
                "small socket buffers slow large messages down: raise net.core.rmem_max and net.core.wmem_max"
            );
        });
    }
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // The default differs between operating systems.
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
