//! A quinn connection as a transport backend.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use quinn::{SendDatagramError, VarInt};

use super::{
    super::{ConnectionError, DatagramError, backend},
    RecvStream, SendStream,
    counted::Counted,
    endpoint::with_eighth,
};

#[derive(Debug, Clone)]
pub(in crate::transport) struct Connection(Arc<Counted>);

impl Connection {
    /// `window` bounds the windows in bytes.
    pub(super) fn new(inner: quinn::Connection, endpoint: Arc<quinn::Endpoint>, window: u32) -> Self {
        Self(Counted::new(inner, endpoint, window))
    }

    fn send_stream(&self, inner: quinn::SendStream) -> SendStream {
        SendStream::new(inner, self.0.clone())
    }

    fn recv_stream(&self, inner: quinn::RecvStream) -> RecvStream {
        RecvStream::new(inner, self.0.clone())
    }
}

impl backend::Connection for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.0.inner().open_bi().await?;
        Ok((self.send_stream(send), self.recv_stream(recv)))
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.0.inner().accept_bi().await?;
        Ok((self.send_stream(send), self.recv_stream(recv)))
    }

    async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        Ok(self.send_stream(self.0.inner().open_uni().await?))
    }

    async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(self.recv_stream(self.0.inner().accept_uni().await?))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.0.inner().send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::TooLarge => DatagramError::TooLarge,
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => DatagramError::Unsupported,
            SendDatagramError::ConnectionLost(error) => DatagramError::Connection(error.into()),
        })
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        Ok(self.0.inner().read_datagram().await?)
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.0.inner().max_datagram_size()
    }

    fn close(&self, code: u32, reason: &str) {
        self.0.close(VarInt::from_u32(code), reason.as_bytes());
    }

    fn close_sent(&self) -> bool {
        match self.0.inner().close_reason() {
            None => false,
            Some(quinn::ConnectionError::LocallyClosed) => self.0.has_said_goodbye(),
            Some(_) => true,
        }
    }

    async fn is_refused(&self) -> bool {
        super::refused::is_refused(backend::Connection::remote_addr(self)).await
    }

    async fn closed(&self) -> ConnectionError {
        self.0.inner().closed().await.into()
    }

    fn close_reason(&self) -> Option<ConnectionError> {
        self.0.inner().close_reason().map(ConnectionError::from)
    }

    fn remote_addr(&self) -> SocketAddr {
        super::endpoint::canonical(self.0.inner().remote_address())
    }

    fn allow_streams(&self, streams: u32) {
        self.0.inner().set_max_concurrent_bi_streams(VarInt::from_u32(with_eighth(streams)));
    }

    fn rtt(&self) -> Duration {
        self.0.inner().rtt()
    }

    fn sent_packets(&self) -> u64 {
        self.0.inner().stats().path.sent_packets
    }

    fn lost_packets(&self) -> u64 {
        self.0.inner().stats().path.lost_packets
    }

    fn received_packets(&self) -> u64 {
        self.0.inner().stats().udp_rx.datagrams
    }

    fn receive_window(&self) -> Option<u32> {
        Some(self.0.sizes().0)
    }

    fn send_window(&self) -> Option<u32> {
        Some(self.0.sizes().1)
    }
}
