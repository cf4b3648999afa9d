//! Those that are measured, a file each: how they are configured, served and called.

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

/// What connections are made with.
pub(crate) trait Peer: Send + Sync + 'static {
    type Client: Client;

    /// A new connection, over which calls can be made. A balancer was made for several servers, and connects to all.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = Result<Self::Client, Failure>> + Send;
}

/// Calls on one connection, which ends with the last clone.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Sends the payload and gives what comes back.
    fn echo(&self, payload: &Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send;

    /// Reads a stream of so many items to its end, and gives the number that came.
    fn items(&self, count: u64) -> impl Future<Output = Result<u64, Failure>> + Send {
        let _ = count;
        async { Err("it has no streams of items".into()) }
    }

    /// Has a server work for a while, and says whether it was the slow one.
    fn work(&self) -> impl Future<Output = Result<bool, Failure>> + Send {
        async { Err("its servers do no work".into()) }
    }
}

/// Tells the process that started us where we listen.
pub(crate) fn ready(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

/// What all items are.
pub(crate) fn item() -> Bytes {
    Bytes::from_static(&[b'i'; ITEM])
}

/// Fails for an item that is not of the right length.
pub(crate) fn check_item(length: usize) -> Result<(), Failure> {
    if length == ITEM { Ok(()) } else { Err("an item has the wrong length".into()) }
}
