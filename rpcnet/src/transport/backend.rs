//! What a transport must be able to do.

use std::{
    future::Future,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use super::{ConnectionError, DatagramError, ReadError, WriteError};

/// A connection. All methods that wait are cancel-safe.
pub(super) trait Connection: Clone + Send + Sync + 'static {
    type Send: SendStream;
    type Recv: RecvStream;

    /// Waits while the peer allows no more streams.
    fn open_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), ConnectionError>> + Send;
    fn accept_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), ConnectionError>> + Send;
    fn open_uni(&self) -> impl Future<Output = Result<Self::Send, ConnectionError>> + Send;
    fn accept_uni(&self) -> impl Future<Output = Result<Self::Recv, ConnectionError>> + Send;
    /// May drop the datagram, or an older one, without saying so.
    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError>;
    fn read_datagram(&self) -> impl Future<Output = Result<Bytes, ConnectionError>> + Send;
    fn max_datagram_size(&self) -> Option<usize>;
    /// At once: what has not been sent is lost.
    fn close(&self, code: u32, reason: &str);
    /// Whether nothing is left to be said of its end: the peer was told that this side has closed it, or it ended otherwise.
    fn close_sent(&self) -> bool;
    /// Asks the peer's host, without a connection, until it says that nobody listens at its address; false where it can't be
    /// asked.
    fn is_refused(&self) -> impl Future<Output = bool> + Send;
    fn closed(&self) -> impl Future<Output = ConnectionError> + Send;
    fn close_reason(&self) -> Option<ConnectionError>;
    fn remote_addr(&self) -> SocketAddr;
    /// Lets the peer have so many streams with two directions open from now on.
    fn allow_streams(&self, streams: u32);
    fn rtt(&self) -> Duration;
    /// Packets that have arrived, of whatever kind: it grows while the peer's process runs and is talked to.
    fn received_packets(&self) -> u64;
    /// Packets that were sent on the path as it is now, and those of them that were lost.
    fn sent_packets(&self) -> u64;
    fn lost_packets(&self) -> u64;
    /// Bytes that the peer may have sent and that were not read here; `None` where there is no bound but that of each
    /// stream.
    fn receive_window(&self) -> Option<u32> {
        None
    }
    /// Bytes that may have been written here and are not acknowledged; `None` likewise.
    fn send_window(&self) -> Option<u32> {
        None
    }
}

/// The half of a stream that is written.
pub(super) trait SendStream: Send + Sync + 'static {
    /// Writes all chunks, waiting while the peer does not read. Not cancel-safe: a part may have been written.
    fn write_chunks(&mut self, chunks: &mut [Bytes]) -> impl Future<Output = Result<(), WriteError>> + Send;
    /// Writes what can be written now; ready when all is. What is left stays in `chunks`.
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>>;
    /// Says that the stream ends here, whole.
    fn finish(&mut self);
    /// Gives the stream up.
    fn reset(&mut self, code: u32);
    /// Waits until the peer wants no more (its code), or has everything and the stream was finished (`None`).
    fn stopped(&self) -> impl Future<Output = Result<Option<u32>, ConnectionError>> + Send;
    /// Streams of a higher priority leave first; 0 at first. A backend may take no notice.
    fn set_priority(&mut self, priority: i32);
}

/// The half of a stream that is read.
pub(super) trait RecvStream: Send + Sync + 'static {
    /// The next bytes, at most `max`; `None` at the end. The waker of the last call is woken when there are some, or
    /// when the connection ends.
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, max: usize)
    -> Poll<Result<Option<Bytes>, ReadError>>;
    /// Wants no more.
    fn stop(&mut self, code: u32);
}
