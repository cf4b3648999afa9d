//! The open streams of one end of a connection, sans-io.

use std::collections::{BTreeMap, VecDeque};

use super::{
    frame::{MemoryFrame, StreamId, StreamKind},
    receiving::Receiving,
    sending::OutgoingStream,
};

/// The number of bidirectional streams that a side may have open, unless another number is agreed on.
const BI_STREAMS: u64 = 256;
/// The number of unidirectional streams that a side may have open.
const UNI_STREAMS: u64 = 7;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) send: Option<OutgoingStream>,
    pub(super) recv: Option<Receiving>,
    /// The stream counts no longer as one of the peer's open streams.
    given_back: bool,
}

impl Stream {
    fn new(id: StreamId, side: usize) -> Self {
        let both = id.kind == StreamKind::Bi;
        Self {
            send: (both || id.opener == side).then(OutgoingStream::new),
            recv: (both || id.opener != side).then(Receiving::new),
            given_back: id.opener == side,
        }
    }

    fn is_done(&self) -> bool {
        self.send.as_ref().is_none_or(OutgoingStream::is_done)
            && self.recv.as_ref().is_none_or(Receiving::is_done)
    }

    fn is_released(&self) -> bool {
        self.send.as_ref().is_none_or(|send| send.released)
            && self.recv.as_ref().is_none_or(|recv| recv.released)
    }

    pub(super) fn wake(&mut self) {
        if let Some(send) = &mut self.send {
            send.wake();
        }
        if let Some(recv) = &mut self.recv {
            recv.wake();
        }
    }
}

#[derive(Debug)]
struct StreamRoom {
    /// The number of streams opened here so far.
    /// The number of streams that may be opened here in all.
    opened: u64,
    limit: u64,
    /// The number of streams that the peer has opened so far.
    arrived: u64,
    /// The number of streams that the peer may open in all.
    granted: u64,
    /// The number of streams that the peer may have open at a time.
    at_once: u64,
    /// The peer's streams that were not accepted yet.
    waiting: VecDeque<StreamId>,
}

impl StreamRoom {
    fn new(limit: u64) -> Self {
        Self { opened: 0, limit, arrived: 0, granted: limit, at_once: limit, waiting: VecDeque::new() }
    }
}

#[derive(Debug)]
pub(super) struct Streams {
    side: usize,
    pub(super) open: BTreeMap<StreamId, Stream>,
    rooms: [StreamRoom; 2],
}

impl Streams {
    pub(super) fn new(side: usize) -> Self {
        Self {
            side,
            open: BTreeMap::new(),
            rooms: [StreamRoom::new(BI_STREAMS), StreamRoom::new(UNI_STREAMS)],
        }
    }

    /// Sets how many bidirectional streams may be open at first: those opened here, and those of the peer.
    pub(super) fn agree(&mut self, here: u64, peer: u64) {
        let room = &mut self.rooms[StreamKind::Bi as usize];
        (room.limit, room.granted, room.at_once) = (here, peer, peer);
    }

    /// Opens a stream; `None` while the peer allows no more.
    pub(super) fn open(&mut self, kind: StreamKind) -> Option<StreamId> {
        let room = &mut self.rooms[kind as usize];
        if room.opened == room.limit {
            return None;
        }
        let id = StreamId { opener: self.side, kind, index: room.opened };
        room.opened += 1;
        self.open.insert(id, Stream::new(id, self.side));
        Some(id)
    }

    /// Raises the number of bidirectional streams that the peer may have open. Returns the frame that tells the peer,
    /// if the number has grown.
    pub(super) fn grant(&mut self, streams: u64) -> Option<MemoryFrame> {
        let room = &mut self.rooms[StreamKind::Bi as usize];
        let more = streams.checked_sub(room.at_once).filter(|&more| more > 0)?;
        room.at_once = streams;
        room.granted += more;
        Some(MemoryFrame::Streams { kind: StreamKind::Bi, limit: room.granted })
    }

    /// Handles the peer's frame that allows more streams.
    pub(super) fn allow(&mut self, kind: StreamKind, limit: u64) {
        let room = &mut self.rooms[kind as usize];
        room.limit = room.limit.max(limit);
    }

    /// Handles a frame for this stream. The peer's new streams are opened up to this one, as a packet may overtake
    /// those of lower streams. Returns true if there are new streams to accept.
    pub(super) fn reach(&mut self, id: StreamId) -> bool {
        let room = &mut self.rooms[id.kind as usize];
        let first = room.arrived;
        if id.opener == self.side || id.index < first {
            return false;
        }
        room.arrived = id.index + 1;
        for index in first..=id.index {
            let id = StreamId { index, ..id };
            room.waiting.push_back(id);
            self.open.insert(id, Stream::new(id, self.side));
        }
        true
    }

    /// Takes the next stream that the peer has opened.
    pub(super) fn take(&mut self, kind: StreamKind) -> Option<StreamId> {
        self.rooms[kind as usize].waiting.pop_front()
    }

    pub(super) fn send(&mut self, id: StreamId) -> Option<&mut OutgoingStream> {
        self.open.get_mut(&id)?.send.as_mut()
    }

    pub(super) fn recv(&mut self, id: StreamId) -> Option<&mut Receiving> {
        self.open.get_mut(&id)?.recv.as_mut()
    }

    /// Forgets the stream if it is over. Returns the frame that tells the peer, if that makes room for another stream.
    pub(super) fn settle(&mut self, id: StreamId, ended: bool) -> Option<MemoryFrame> {
        let stream = self.open.get_mut(&id)?;
        let done = stream.is_done();
        let gives_back = done && !stream.given_back;
        stream.given_back |= done;
        if (done || ended) && stream.is_released() {
            self.open.remove(&id);
        }
        let room = &mut self.rooms[id.kind as usize];
        gives_back.then(|| {
            room.granted += 1;
            MemoryFrame::Streams { kind: id.kind, limit: room.granted }
        })
    }

    /// Ends all streams: wakes all tasks, and keeps only streams whose handles are held.
    pub(super) fn end(&mut self) {
        let waiting: Vec<_> = self.rooms.iter_mut().flat_map(|room| room.waiting.drain(..)).collect();
        for id in waiting {
            self.open.remove(&id);
        }
        self.open.retain(|_, stream| !stream.is_released());
        self.open.values_mut().for_each(Stream::wake);
    }
}
