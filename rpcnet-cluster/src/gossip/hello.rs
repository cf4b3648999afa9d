//! The hello: the exchange between two nodes before they gossip.
//!
//! Each side opens a stream and writes two frames, each behind its length (16 bits):
//!
//! 1. the address at which it sees the peer, from which a node bound to 0.0.0.0 learns its own;
//! 2. its own identity, cluster and versions.
//!
//! All later streams on the connection are one packet each.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use rpcnet::{
    __cluster::{CodecError, decode, encode},
    transport::{Connection, ConnectionError, ReadError, RecvStream, SendStream, WriteError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{identity_conflict::ProcessLife, versions::Versions};
use crate::swim::Identity;

#[cfg(feature = "fuzzing")]
pub(super) mod fuzz;

/// The longest frame in bytes.
const MAX_FRAME: usize = 1024;

/// The first frame.
#[derive(Debug, Serialize, Deserialize)]
struct Observed {
    you: SocketAddr,
}

/// The second frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeHello {
    versions: Versions,
    cluster: String,
    pub(super) identity: Identity,
    pub(super) life: ProcessLife,
    /// The additions of later versions. A node skips those that it does not know.
    extension: Bytes,
}

impl NodeHello {
    pub(super) fn new(versions: Versions, cluster: &str, identity: Identity, life: ProcessLife) -> Self {
        Self { versions, cluster: cluster.to_owned(), identity, life, extension: Bytes::new() }
    }
}

/// The error of a hello after which two nodes do not gossip.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the hello could not be read")]
    Read(#[from] ReadError),
    #[error("the hello could not be written")]
    Write(#[from] WriteError),
    #[error("the hello can't be decoded: {0}")]
    Codec(#[from] CodecError),
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("the peer is of cluster {theirs:?}, we are of {ours:?}")]
    Cluster { theirs: String, ours: String },
    #[error("the peer speaks gossip {}..={}, we speak {}..={}", theirs.0, theirs.1, ours.0, ours.1)]
    Protocol { theirs: Versions, ours: Versions },
    #[error("this node is going away")]
    Closing,
}

/// A hello under way: the stream of each side.
#[derive(Debug)]
pub(super) struct Exchange {
    send: SendStream,
    recv: RecvStream,
}

impl Exchange {
    /// Sends the peer's address as seen here, and returns this node's address as the peer sees it.
    pub(super) async fn begin(connection: &Connection) -> Result<(Self, SocketAddr), HelloError> {
        let mut send = connection.open_uni().await?;
        write(&mut send, &Observed { you: connection.remote_addr() }).await?;
        let mut recv = connection.accept_uni().await?;
        let observed: Observed = read(&mut recv).await?;
        Ok((Self { send, recv }, observed.you))
    }

    /// Sends this node's hello. Returns the peer's, and the version to speak with it.
    pub(super) async fn finish(mut self, ours: &NodeHello) -> Result<(NodeHello, u8), HelloError> {
        write(&mut self.send, ours).await?;
        self.send.finish();
        let theirs: NodeHello = read(&mut self.recv).await?;
        if theirs.cluster != ours.cluster {
            return Err(HelloError::Cluster { theirs: theirs.cluster, ours: ours.cluster.clone() });
        }
        match ours.versions.agree(theirs.versions) {
            Some(version) => Ok((theirs, version)),
            None => Err(HelloError::Protocol { theirs: theirs.versions, ours: ours.versions }),
        }
    }
}

async fn write(stream: &mut SendStream, frame: &impl Serialize) -> Result<(), HelloError> {
    let body = encode(frame)?;
    let length = u16::try_from(body.len()).map_err(|_| HelloError::TooLong(body.len()))?;
    let mut buffer = BytesMut::with_capacity(2 + body.len());
    buffer.put_u16(length);
    buffer.put_slice(&body);
    Ok(stream.write(buffer.freeze()).await?)
}

async fn read<T: DeserializeOwned>(stream: &mut RecvStream) -> Result<T, HelloError> {
    let head = read_exact(stream, 2).await?;
    let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
    if length > MAX_FRAME {
        return Err(HelloError::TooLong(length));
    }
    Ok(decode(&read_exact(stream, length).await?)?)
}

async fn read_exact(stream: &mut RecvStream, length: usize) -> Result<Bytes, HelloError> {
    let mut buffer = BytesMut::with_capacity(length);
    while buffer.len() < length {
        let chunk = stream.read_chunk(length - buffer.len()).await?.ok_or(ReadError::TooShort)?;
        buffer.extend_from_slice(&chunk);
    }
    Ok(buffer.freeze())
}
