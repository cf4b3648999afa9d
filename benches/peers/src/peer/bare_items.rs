//! Bare quinn that sends items: each behind its length (two bytes), in writes of 16 KiB.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream};
use rpcnet_benches::{
    Credentials, Failure,
    bare::{self, Dialer},
};

use super::{Client, ITEM, Peer, check_item, item, ready};

const BATCH: usize = 16 << 10;
/// The bytes of the length before an item.
const PREFIX: usize = 2;
/// The number of chunks that are taken off a stream at a time.
const CHUNKS: usize = 32;

pub(crate) async fn serve(credentials: &Credentials) -> Result<(), Failure> {
    let endpoint = bare::listen(credentials)?;
    ready(endpoint.local_addr()?)?;
    bare::serve_streams(endpoint, send_items).await;
    Ok(())
}

async fn send_items(mut send: SendStream, mut receive: RecvStream) -> Result<(), Failure> {
    let mut count = bare::read_message(&mut receive).await?.try_get_u64()?;
    let item = item();
    while count > 0 {
        let mut batch = BytesMut::with_capacity(BATCH);
        while count > 0 && batch.len() + PREFIX + ITEM <= BATCH {
            batch.put_u16(ITEM as u16);
            batch.put_slice(&item);
            count -= 1;
        }
        send.write_chunk(batch.freeze()).await?;
    }
    send.finish()?;
    Ok(())
}

/// Connections that share a socket.
pub(crate) struct BareItems(Dialer);

impl BareItems {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, Failure> {
        Ok(Self(Dialer::new(credentials)?))
    }
}

impl Peer for BareItems {
    type Client = ItemsClient;

    async fn connect(&self, address: SocketAddr) -> Result<ItemsClient, Failure> {
        Ok(ItemsClient { connection: self.0.dial(address).await?, _dialer: self.0.clone() })
    }
}

#[derive(Clone)]
pub(crate) struct ItemsClient {
    connection: Connection,
    /// Held because its drop would close the connection.
    _dialer: Dialer,
}

impl Client for ItemsClient {
    async fn echo(&self, _: &Bytes) -> Result<Bytes, Failure> {
        Err("it sends items alone".into())
    }

    async fn items(&self, count: u64) -> Result<u64, Failure> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        bare::write_message(&mut send, &Bytes::copy_from_slice(&count.to_be_bytes())).await?;
        send.finish()?;
        let mut arrived = 0;
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        let mut buffer = BytesMut::with_capacity(BATCH);
        while let Some(read) = receive.read_chunks(&mut chunks).await? {
            for chunk in &mut chunks[..read] {
                buffer.put_slice(&std::mem::take(chunk));
            }
            while let Some(item) = take_item(&mut buffer) {
                check_item(item.len())?;
                arrived += 1;
            }
        }
        Ok(arrived)
    }
}

/// Takes an item off the buffer, in the form in which its reader would own it.
fn take_item(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = usize::from(u16::from_be_bytes(*buffer.first_chunk()?));
    if buffer.len() < PREFIX + length {
        return None;
    }
    buffer.advance(PREFIX);
    Some(buffer.split_to(length).freeze())
}
