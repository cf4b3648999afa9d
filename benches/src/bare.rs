//! Bare quinn, and an echo on it: a stream for each call, a length before each message, a task for each stream.
//!
//! The echo is written as well as we can. Small messages leave in one write with their length. The server answers as
//! soon as it has the whole message, and then reads the end of the stream: a receiver that is dropped before sends a
//! frame that asks the peer to stop. rpcnet configures sockets and transport. TLS is as in `rpcnet/src/tls.rs`: mutual
//! TLS 1.3 with ring, without session resumption.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{
    Connection, Endpoint, RecvStream, SendStream,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rpcnet::{
    __measured::{bare_endpoint, bare_transport},
    transport::DialOptions,
};
use rustls::{
    RootCertStore,
    client::Resumption,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{Credentials, Failure};

const ALPN: &[u8] = b"bare-echo/1";
/// The bytes of the length before a message.
const PREFIX: usize = 4;
/// The longest message in bytes, which is rpcnet's limit too.
const MAX_MESSAGE: usize = 4 << 20;
/// The size in bytes up to which messages are copied behind their length, so that both leave in one write.
const INLINE: usize = 2 << 10;

/// Opens a socket on loopback that accepts connections.
///
/// # Errors
///
/// The socket can't be opened, or the credentials are not usable.
pub fn listen(credentials: &Credentials) -> Result<Endpoint, Failure> {
    let endpoint = bare_endpoint((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_server_config(Some(server_config(credentials)?));
    Ok(endpoint)
}

/// Answers each message with itself, until the endpoint is closed. Not cancel-safe: connections go on.
pub async fn serve(endpoint: Endpoint) {
    serve_streams(endpoint, answer).await;
}

/// Answers each stream of each connection in a task of its own, until the endpoint is closed. Not cancel-safe:
/// connections go on.
pub async fn serve_streams<A, F>(endpoint: Endpoint, answer: A)
where
    A: Fn(SendStream, RecvStream) -> F + Copy + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            loop {
                let (send, receive) = connection.accept_bi().await?;
                // The client reports a failed call.
                tokio::spawn(answer(send, receive));
            }
            #[expect(unreachable_code, reason = "the line gives the block its result type")]
            Ok::<(), quinn::ConnectionError>(())
        });
    }
}

async fn answer(mut send: SendStream, mut receive: RecvStream) -> Result<(), Failure> {
    let message = read_message(&mut receive).await?;
    write_message(&mut send, &message).await?;
    send.finish()?;
    receive.read_chunk(1, true).await?;
    Ok(())
}

/// Reads one message, of at most 4 MiB. Not cancel-safe.
///
/// # Errors
///
/// The stream ends before the message does, or the message is too large.
pub async fn read_message(receive: &mut RecvStream) -> Result<Bytes, Failure> {
    let mut read = next(receive).await?;
    if read.len() < PREFIX {
        let mut joined = BytesMut::from(read);
        while joined.len() < PREFIX {
            joined.extend_from_slice(&next(receive).await?);
        }
        read = joined.freeze();
    }
    let length = read.get_u32() as usize;
    if length > MAX_MESSAGE {
        return Err("the message is too large".into());
    }
    if read.len() >= length {
        return Ok(read.split_to(length));
    }
    let mut message = BytesMut::with_capacity(length);
    message.extend_from_slice(&read);
    while message.len() < length {
        message.extend_from_slice(&next(receive).await?);
    }
    Ok(message.freeze())
}

async fn next(receive: &mut RecvStream) -> Result<Bytes, Failure> {
    let chunk = receive.read_chunk(usize::MAX, true).await?.ok_or("the message broke off")?;
    Ok(chunk.bytes)
}

/// Writes a message behind its length. Not cancel-safe.
///
/// # Errors
///
/// The stream accepts no more bytes.
pub async fn write_message(send: &mut SendStream, message: &Bytes) -> Result<(), quinn::WriteError> {
    let inline = message.len() <= INLINE;
    let mut head = BytesMut::with_capacity(PREFIX + if inline { message.len() } else { 0 });
    head.put_u32(message.len() as u32);
    if inline {
        head.extend_from_slice(message);
        send.write_chunk(head.freeze()).await
    } else {
        send.write_all_chunks(&mut [head.freeze(), message.clone()]).await
    }
}

/// A socket for outgoing connections.
#[derive(Debug, Clone)]
pub struct Dialer {
    endpoint: Endpoint,
    config: quinn::ClientConfig,
}

impl Dialer {
    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// The socket can't be opened, or the credentials are not usable.
    pub fn new(credentials: &Credentials) -> Result<Self, Failure> {
        let endpoint = bare_endpoint((Ipv4Addr::UNSPECIFIED, 0).into())?;
        Ok(Self { endpoint, config: client_config(credentials)? })
    }

    /// Opens one connection. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The handshake fails.
    pub async fn dial(&self, address: SocketAddr) -> Result<Connection, Failure> {
        let name = address.ip().to_string();
        Ok(self.endpoint.connect_with(self.config.clone(), address, &name)?.await?)
    }
}

/// Calls on one connection.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
    /// Held because its drop would close the connection.
    _dialer: Dialer,
}

impl Client {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// The handshake fails.
    pub async fn connect(dialer: &Dialer, address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { connection: dialer.dial(address).await?, _dialer: dialer.clone() })
    }

    /// Sends a message and returns the reply. Not cancel-safe: the server answers all the same.
    ///
    /// # Errors
    ///
    /// Either stream breaks off.
    pub async fn echo(&self, payload: &Bytes) -> Result<Bytes, Failure> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        write_message(&mut send, payload).await?;
        send.finish()?;
        let mut reply = Bytes::from(receive.read_to_end(PREFIX + MAX_MESSAGE).await?);
        if reply.len() < PREFIX || reply.get_u32() as usize != reply.len() {
            return Err("the reply broke off".into());
        }
        Ok(reply)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn server_config(credentials: &Credentials) -> Result<quinn::ServerConfig, Failure> {
    let (roots, chain, key) = parse(credentials)?;
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    // As in rpcnet, each connection has a full handshake, in which the certificates are checked.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(bare_transport(&DialOptions::default().with_keep_alive(None))));
    Ok(config)
}

fn client_config(credentials: &Credentials) -> Result<quinn::ClientConfig, Failure> {
    let (roots, chain, key) = parse(credentials)?;
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    tls.resumption = Resumption::disabled();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(bare_transport(&DialOptions::default())));
    Ok(config)
}

type Parsed = (Arc<RootCertStore>, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn parse(credentials: &Credentials) -> Result<Parsed, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(credentials.ca.as_bytes())?)?;
    let chain = vec![CertificateDer::from_pem_slice(credentials.cert.as_bytes())?];
    Ok((Arc::new(roots), chain, PrivateKeyDer::from_pem_slice(credentials.key.as_bytes())?))
}
