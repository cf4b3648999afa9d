//! A quinn connection as a backend.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use quinn::{SendDatagramError, VarInt};

use super::{
    super::{ConnectionError, DatagramError, backend},
    RecvStream, SendStream,
    endpoint::with_eighth,
};

#[derive(Debug, Clone)]
pub(in crate::transport) struct Connection(quinn::Connection);

impl Connection {
    pub(super) fn new(inner: quinn::Connection) -> Self {
        Self(inner)
    }
}

impl backend::Connection for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.0.open_bi().await?;
        Ok((SendStream::new(send), RecvStream::new(recv)))
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.0.accept_bi().await?;
        Ok((SendStream::new(send), RecvStream::new(recv)))
    }

    async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        Ok(SendStream::new(self.0.open_uni().await?))
    }

    async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(RecvStream::new(self.0.accept_uni().await?))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.0.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::TooLarge => DatagramError::TooLarge,
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => DatagramError::Unsupported,
            SendDatagramError::ConnectionLost(error) => DatagramError::Connection(error.into()),
        })
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        Ok(self.0.read_datagram().await?)
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.0.max_datagram_size()
    }

    fn close(&self, code: u32, reason: &str) {
        self.0.close(VarInt::from_u32(code), reason.as_bytes());
    }

    async fn closed(&self) -> ConnectionError {
        self.0.closed().await.into()
    }

    fn close_reason(&self) -> Option<ConnectionError> {
        self.0.close_reason().map(ConnectionError::from)
    }

    fn remote_addr(&self) -> SocketAddr {
        super::endpoint::canonical(self.0.remote_address())
    }

    fn allow_streams(&self, streams: u32) {
        self.0.set_max_concurrent_bi_streams(VarInt::from_u32(with_eighth(streams)));
    }

    fn rtt(&self) -> Duration {
        self.0.rtt()
    }

    fn sent_packets(&self) -> u64 {
        self.0.stats().path.sent_packets
    }

    fn lost_packets(&self) -> u64 {
        self.0.stats().path.lost_packets
    }

    fn received_packets(&self) -> u64 {
        self.0.stats().udp_rx.datagrams
    }
}
