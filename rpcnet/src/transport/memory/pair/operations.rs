//! The operations of the two sides on their connection.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    super::{
        super::{ConnectionError, DatagramError, ReadError, WriteError},
        frame::{MemoryFrame, StreamId, StreamKind},
    },
    DATAGRAM_SIZE, EndPhase, Io, Pair,
};

impl Pair {
    /// Sends the first packet.
    pub(in super::super) fn dial(&mut self, io: &mut Io<'_>) {
        self.transmit(0, MemoryFrame::Hello, io);
    }

    /// Accepts the dialler.
    pub(in super::super) fn welcome(&mut self, io: &mut Io<'_>) {
        if self.ends[1].is_live() {
            self.transmit(1, MemoryFrame::Welcome, io);
        }
    }

    /// Refuses the dialler.
    pub(in super::super) fn refuse(&mut self, io: &mut Io<'_>) {
        if self.ends[1].is_live() {
            let farewell = MemoryFrame::Refuse("the peer refused the connection");
            self.ends[1].end(ConnectionError::LocallyClosed, Some(farewell.clone()));
            self.transmit(1, farewell, io);
        }
    }

    /// Returns the outcome of the handshake; `None` while it goes on.
    pub(in super::super) fn established(&self, side: usize) -> Option<Result<(), ConnectionError>> {
        let end = &self.ends[side];
        match &end.ended {
            Some(error) => Some(Err(error.clone())),
            None => (end.phase == EndPhase::Open).then_some(Ok(())),
        }
    }

    pub(in super::super) fn close(&mut self, side: usize, code: u32, reason: &str, io: &mut Io<'_>) {
        if self.ends[side].ended.is_none() {
            let farewell = MemoryFrame::Close { code, reason: reason.to_owned() };
            self.ends[side].end(ConnectionError::LocallyClosed, Some(farewell.clone()));
            self.transmit(side, farewell, io);
        }
    }

    /// Resets both ends at once: each learns that the peer does not know the connection.
    pub(in super::super) fn abort(&mut self) {
        for end in self.ends.iter_mut().filter(|end| end.ended.is_none()) {
            end.end(ConnectionError::Reset, None);
        }
    }

    /// Opens a stream; `None` while the peer allows no more.
    pub(in super::super) fn open(
        &mut self,
        side: usize,
        kind: StreamKind,
    ) -> Option<Result<StreamId, ConnectionError>> {
        let end = &mut self.ends[side];
        match &end.ended {
            Some(error) => Some(Err(error.clone())),
            None => end.streams.open(kind).map(Ok),
        }
    }

    /// Accepts a stream; `None` while there is none.
    pub(in super::super) fn accept(
        &mut self,
        side: usize,
        kind: StreamKind,
    ) -> Option<Result<StreamId, ConnectionError>> {
        let end = &mut self.ends[side];
        match &end.ended {
            Some(error) => Some(Err(error.clone())),
            None => end.streams.take(kind).map(Ok),
        }
    }

    /// Raises the number of bidirectional streams that the other side may have open.
    pub(in super::super) fn allow_streams(&mut self, side: usize, streams: u32, io: &mut Io<'_>) {
        let end = &mut self.ends[side];
        if end.ended.is_none()
            && let Some(news) = end.streams.grant(streams.into())
        {
            self.transmit(side, news, io);
        }
    }

    pub(in super::super) fn send_datagram(
        &mut self,
        side: usize,
        datagram: Bytes,
        io: &mut Io<'_>,
    ) -> Result<(), DatagramError> {
        if let Some(error) = &self.ends[side].ended {
            return Err(error.clone().into());
        }
        if datagram.len() > DATAGRAM_SIZE {
            return Err(DatagramError::TooLarge);
        }
        self.transmit(side, MemoryFrame::Datagram(datagram), io);
        Ok(())
    }

    pub(in super::super) fn read_datagram(&mut self, side: usize) -> Option<Result<Bytes, ConnectionError>> {
        let end = &mut self.ends[side];
        match &end.ended {
            Some(error) => Some(Err(error.clone())),
            None => end.datagrams.pop_front().map(Ok),
        }
    }

    /// Sends a part of the chunk, at most one packet.
    pub(in super::super) fn poll_write(
        &mut self,
        side: usize,
        stream: StreamId,
        cx: &Context<'_>,
        chunk: &mut Bytes,
        io: &mut Io<'_>,
    ) -> Poll<Result<(), WriteError>> {
        let end = &mut self.ends[side];
        let Some(send) = end.streams.send(stream) else { return Poll::Ready(Err(WriteError::Closed)) };
        send.poll_write(cx, chunk, end.ended.as_ref()).map_ok(|(offset, bytes)| {
            self.transmit(side, MemoryFrame::Data { stream, offset, bytes, end: false }, io);
        })
    }

    pub(in super::super) fn finish(&mut self, side: usize, stream: StreamId, io: &mut Io<'_>) {
        let end = &mut self.ends[side];
        if end.ended.is_none()
            && let Some(offset) = end.streams.send(stream).and_then(|send| send.finish())
        {
            self.transmit(side, MemoryFrame::Data { stream, offset, bytes: Bytes::new(), end: true }, io);
        }
    }

    pub(in super::super) fn reset(&mut self, side: usize, stream: StreamId, code: u32, io: &mut Io<'_>) {
        let end = &mut self.ends[side];
        if end.ended.is_none() && end.streams.send(stream).is_some_and(|send| send.reset()) {
            self.transmit(side, MemoryFrame::Reset { stream, code }, io);
        }
    }

    /// Returns the outcome for `stopped`: the peer's code, or `None` if the peer has everything. While there is no
    /// outcome, returns the signal for changes as `Err`.
    pub(in super::super) fn stopped(
        &mut self,
        side: usize,
        stream: StreamId,
    ) -> Result<Result<Option<u32>, ConnectionError>, Arc<Notify>> {
        let end = &mut self.ends[side];
        let Some(send) = end.streams.send(stream) else { return Ok(Ok(None)) };
        match (send.outcome(), &end.ended) {
            (Some(outcome), _) => Ok(Ok(outcome)),
            (None, Some(error)) => Ok(Err(error.clone())),
            (None, None) => Err(send.watched.clone()),
        }
    }

    pub(in super::super) fn poll_read(
        &mut self,
        side: usize,
        stream: StreamId,
        cx: &Context<'_>,
        max: usize,
        io: &mut Io<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        let end = &mut self.ends[side];
        let Some(recv) = end.streams.recv(stream) else { return Poll::Ready(Err(ReadError::Closed)) };
        let read = recv.poll_read(cx, max, end.ended.as_ref());
        if end.ended.is_none()
            && let Some(limit) = recv.credit()
        {
            self.transmit(side, MemoryFrame::Credit { stream, limit }, io);
        }
        self.settle(side, stream, io);
        read
    }

    pub(in super::super) fn stop(&mut self, side: usize, stream: StreamId, code: u32, io: &mut Io<'_>) {
        let end = &mut self.ends[side];
        if end.streams.recv(stream).is_some_and(|recv| recv.stop()) && end.ended.is_none() {
            self.transmit(side, MemoryFrame::Stop { stream, code }, io);
        }
        self.settle(side, stream, io);
    }

    /// Handles the drop of this half's handle.
    pub(in super::super) fn release(
        &mut self,
        side: usize,
        stream: StreamId,
        sending: bool,
        io: &mut Io<'_>,
    ) {
        let streams = &mut self.ends[side].streams;
        if sending {
            if let Some(send) = streams.send(stream) {
                send.released = true;
            }
        } else if let Some(recv) = streams.recv(stream) {
            recv.released = true;
        }
        self.settle(side, stream, io);
    }
}
