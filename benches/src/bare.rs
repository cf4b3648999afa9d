//! quinn with nothing between, and echo on it: a stream a call, a length before each message, a task a stream.
//!
//! It is written as well as we can: small messages leave in one write with their length, the server answers as soon
//! as the length is there and then reads the end of the stream (a receiver that is dropped before sends a frame that
//! asks the peer to stop). Sockets and transport are configured by rpcnet; TLS is as in `rpcnet/src/tls.rs`: mutual
//! TLS 1.3 with ring, and no session is resumed.

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
/// Bytes of the length before a message.
const PREFIX: usize = 4;
/// No message is longer, as rpcnet's limit has it.
const MAX_MESSAGE: usize = 4 << 20;
/// Messages up to this size are copied behind their length, so that both leave in one write.
const INLINE: usize = 2 << 10;

/// A socket on loopback that takes connections.
///
/// # Errors
///
/// Where it can't be opened, or the credentials are not usable.
pub fn listen(credentials: &Credentials) -> Result<Endpoint, Failure> {
    let endpoint = bare_endpoint((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_server_config(Some(server_config(credentials)?));
    Ok(endpoint)
}

/// Answers each message with itself, until the endpoint is closed. Not cancel-safe: connections go on.
pub async fn serve(endpoint: Endpoint) {
    serve_streams(endpoint, answer).await;
}

/// Has each stream of each connection answered by a task of its own, until the endpoint is closed. Not cancel-safe:
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
                // A call that fails is the client's to report.
                tokio::spawn(answer(send, receive));
            }
            #[expect(unreachable_code, reason = "says what the task comes to")]
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

/// One message, of at most 4 MiB. Not cancel-safe.
///
/// # Errors
///
/// Where the stream ends before the message does, and where it is too large.
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
/// Where the stream takes nothing more.
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

/// A socket from which connections are made.
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
    /// Where it can't be opened, or the credentials are not usable.
    pub fn new(credentials: &Credentials) -> Result<Self, Failure> {
        let endpoint = bare_endpoint((Ipv4Addr::UNSPECIFIED, 0).into())?;
        Ok(Self { endpoint, config: client_config(credentials)? })
    }

    /// One connection. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Where the handshake fails.
    pub async fn dial(&self, address: SocketAddr) -> Result<Connection, Failure> {
        let name = address.ip().to_string();
        Ok(self.endpoint.connect_with(self.config.clone(), address, &name)?.await?)
    }
}

/// Calls on one connection.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
    /// Held: its drop would close the connection.
    _dialer: Dialer,
}

impl Client {
    /// Dials.
    ///
    /// # Errors
    ///
    /// Where the handshake fails.
    pub async fn connect(dialer: &Dialer, address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { connection: dialer.dial(address).await?, _dialer: dialer.clone() })
    }

    /// Sends a message and gives what comes back. Not cancel-safe: the server answers all the same.
    ///
    /// # Errors
    ///
    /// Where either breaks off.
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
    // As rpcnet: each connection has a whole handshake, and the certificates are looked at.
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
