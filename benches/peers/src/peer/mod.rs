//! The measured systems, each in a file with its configuration, its server and its client.

pub(crate) mod bare_items;
pub(crate) mod bare_lane;
pub(crate) mod bare_stream;
pub(crate) mod ours;
#[cfg(feature = "rpcnet-0-1")]
pub(crate) mod rpcnet_0_1;
pub(crate) mod tarpc;
pub(crate) mod tonic;
pub(crate) mod tower;
mod worker;

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use bytes::Bytes;
use rpcnet_benches::Failure;

/// The length of an item of a stream.
pub(crate) const ITEM: usize = 64;

/// A source of connections to one system.
pub(crate) trait Peer: Send + Sync + 'static {
    type Client: Client;

    /// Opens a new connection for calls. A balancer was made for several servers, and connects to all of them.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = Result<Self::Client, Failure>> + Send;
}

/// Calls on one connection, which closes with the last clone.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Sends the payload and returns the reply.
    fn echo(&self, payload: &Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send;

    /// Reads a stream of `count` items to its end, and returns the number that came.
    fn items(&self, count: u64) -> impl Future<Output = Result<u64, Failure>> + Send {
        let _ = count;
        async { Err("it has no streams of items".into()) }
    }

    /// Lets a server work for a while. Returns whether it was the slow server.
    fn work(&self) -> impl Future<Output = Result<bool, Failure>> + Send {
        async { Err("its servers do no work".into()) }
    }
}

/// Reports this process's address to its parent.
pub(crate) fn ready(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

/// The content of all items.
pub(crate) fn item() -> Bytes {
    Bytes::from_static(&[b'i'; ITEM])
}

/// Fails if an item has the wrong length.
pub(crate) fn check_item(length: usize) -> Result<(), Failure> {
    if length == ITEM { Ok(()) } else { Err("an item has the wrong length".into()) }
}
