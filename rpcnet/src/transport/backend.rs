//! The traits that a transport implements.

use std::{
    future::Future,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use super::{ConnectionError, DatagramError, ReadError, WriteError};

/// A connection. All waiting methods are cancel-safe.
pub(super) trait Connection: Clone + Send + Sync + 'static {
    type Send: SendStream;
    type Recv: RecvStream;

    /// Opens a bidirectional stream. Waits while the peer's limit on streams is reached.
    fn open_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), ConnectionError>> + Send;
    fn accept_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), ConnectionError>> + Send;
    fn open_uni(&self) -> impl Future<Output = Result<Self::Send, ConnectionError>> + Send;
    fn accept_uni(&self) -> impl Future<Output = Result<Self::Recv, ConnectionError>> + Send;
    /// Queues a datagram. The transport may silently drop this datagram or an older one.
    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError>;
    fn read_datagram(&self) -> impl Future<Output = Result<Bytes, ConnectionError>> + Send;
    fn max_datagram_size(&self) -> Option<usize>;
    /// Closes the connection at once. Data that was not sent yet is lost.
    fn close(&self, code: u32, reason: &str);
    /// Returns true once this side owes the peer no close: it has sent one, or the connection ended in another way.
    fn close_sent(&self) -> bool;
    /// Probes the peer's host, outside of the connection, until the host reports that nobody listens at the peer's
    /// address. Returns false if the host can't be probed.
    fn is_refused(&self) -> impl Future<Output = bool> + Send;
    fn closed(&self) -> impl Future<Output = ConnectionError> + Send;
    fn close_reason(&self) -> Option<ConnectionError>;
    fn remote_addr(&self) -> SocketAddr;
    /// Raises the number of bidirectional streams that the peer may have open at a time.
    fn allow_streams(&self, streams: u32);
    fn rtt(&self) -> Duration;
    /// The number of packets of any kind that have arrived. It grows as long as the peer's process runs and this side
    /// sends to it.
    fn received_packets(&self) -> u64;
    /// The number of packets sent on the current path, and how many of them were lost.
    fn sent_packets(&self) -> u64;
    fn lost_packets(&self) -> u64;
    /// The receive window of the connection, in bytes: how much the peer may send before this side reads. `None` if
    /// only single streams have a window.
    fn receive_window(&self) -> Option<u32> {
        None
    }
    /// The send window of the connection, in bytes: how much may be written before the peer acknowledges it. `None` if
    /// only single streams have a window.
    fn send_window(&self) -> Option<u32> {
        None
    }
}

/// The sending half of a stream.
pub(super) trait SendStream: Send + Sync + 'static {
    /// Writes all chunks. Waits while the peer does not read. Not cancel-safe: some chunks may have been written in
    /// part.
    fn write_chunks(&mut self, chunks: &mut [Bytes]) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// Writes as much as fits now. Ready once all chunks are written; until then, `chunks` holds the rest.
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>>;
    /// Ends the stream cleanly: the peer reads its end after all data.
    fn finish(&mut self);
    /// Abandons the stream.
    fn reset(&mut self, code: u32);
    /// Waits until the peer stops the stream (returns its code), or has received all of a finished stream (`None`).
    fn stopped(&self) -> impl Future<Output = Result<Option<u32>, ConnectionError>> + Send;
    /// Sets the stream's priority, at first 0. Streams of a higher priority are sent first. A backend may ignore it.
    fn set_priority(&mut self, priority: i32);
}

/// The receiving half of a stream.
pub(super) trait RecvStream: Send + Sync + 'static {
    /// Reads at most `max` bytes; `None` at the stream's end. When data arrives or the connection ends, the waker of
    /// the last poll is woken.
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, max: usize)
    -> Poll<Result<Option<Bytes>, ReadError>>;
    /// Tells the peer to stop sending.
    fn stop(&mut self, code: u32);
}
