//! A memory connection as a transport backend.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    super::{ConnectionError, DatagramError, backend},
    end::EndSignals,
    frame::StreamKind,
    handles::{RecvStream, SendStream},
    link::Half,
    pair::DATAGRAM_SIZE,
};

#[derive(Clone)]
pub(crate) struct Connection {
    half: Arc<Half>,
}

impl Connection {
    pub(super) fn new(half: Half) -> Self {
        Self { half: Arc::new(half) }
    }

    fn signals(&self) -> &EndSignals {
        &self.half.link.signals[self.half.side]
    }

    async fn open(&self, kind: StreamKind) -> Result<(SendStream, Option<RecvStream>), ConnectionError> {
        let Half { link, side } = &*self.half;
        let id = link.until(&self.signals().room, |pair, _| pair.open(*side, kind)).await?;
        let recv = (kind == StreamKind::Bi).then(|| RecvStream::new(link.clone(), *side, id));
        Ok((SendStream::new(link.clone(), *side, id), recv))
    }

    async fn accept(&self, kind: StreamKind) -> Result<(Option<SendStream>, RecvStream), ConnectionError> {
        let Half { link, side } = &*self.half;
        let id = link.until(&self.signals().arrived, |pair, _| pair.accept(*side, kind)).await?;
        let send = (kind == StreamKind::Bi).then(|| SendStream::new(link.clone(), *side, id));
        Ok((send, RecvStream::new(link.clone(), *side, id)))
    }
}

impl backend::Connection for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.open(StreamKind::Bi).await?;
        Ok((send, recv.expect("a bidirectional stream has both halves")))
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (send, recv) = self.accept(StreamKind::Bi).await?;
        Ok((send.expect("a bidirectional stream has both halves"), recv))
    }

    async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        Ok(self.open(StreamKind::Uni).await?.0)
    }

    async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(self.accept(StreamKind::Uni).await?.1)
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.half.link.with(|pair, io| pair.send_datagram(self.half.side, datagram, io))
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        let Half { link, side } = &*self.half;
        link.until(&self.signals().datagrams, |pair, _| pair.read_datagram(*side)).await
    }

    fn max_datagram_size(&self) -> Option<usize> {
        Some(DATAGRAM_SIZE)
    }

    fn close(&self, code: u32, reason: &str) {
        self.half.link.with(|pair, io| pair.close(self.half.side, code, reason, io));
    }

    fn close_sent(&self) -> bool {
        self.half.closed().is_some()
    }

    async fn is_refused(&self) -> bool {
        false
    }

    async fn closed(&self) -> ConnectionError {
        let Half { link, side } = &*self.half;
        link.until(&self.signals().settled, |pair, _| pair.end(*side).ended.clone()).await
    }

    fn close_reason(&self) -> Option<ConnectionError> {
        self.half.closed()
    }

    fn remote_addr(&self) -> SocketAddr {
        self.half.link.addrs[1 - self.half.side]
    }

    fn allow_streams(&self, streams: u32) {
        self.half.link.with(|pair, io| pair.allow_streams(self.half.side, streams, io));
    }

    fn rtt(&self) -> Duration {
        self.half.link.look(|pair| pair.end(self.half.side).recovery.rtt())
    }

    /// An approximation: sent packets are not counted, and about as many arrive.
    fn sent_packets(&self) -> u64 {
        self.received_packets()
    }

    fn lost_packets(&self) -> u64 {
        0
    }

    fn received_packets(&self) -> u64 {
        self.half.link.with(|pair, _| pair.end(self.half.side).received)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("link", &self.half.link).finish_non_exhaustive()
    }
}
