//! The streams that one end of a connection has open, sans-io.

use std::collections::{BTreeMap, VecDeque};

use super::{
    frame::{MemoryFrame, StreamId, StreamKind},
    receiving::Receiving,
    sending::OutgoingStream,
};

/// Streams that one side may have open with two directions, unless something else is agreed on, and with one: beyond, it
/// waits.
const BI_STREAMS: u64 = 256;
const UNI_STREAMS: u64 = 7;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) send: Option<OutgoingStream>,
    pub(super) recv: Option<Receiving>,
    /// It counts no more among those that the peer has open.
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
    /// Streams opened here, and how many may have been.
    opened: u64,
    limit: u64,
    /// Streams that the peer has opened, and how many it may have.
    arrived: u64,
    granted: u64,
    /// How many it may have at a time.
    at_once: u64,
    /// Those of them that nobody has taken yet.
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

    /// So many with two directions may be open to begin with, opened here and by the peer.
    pub(super) fn agree(&mut self, here: u64, peer: u64) {
        let room = &mut self.rooms[StreamKind::Bi as usize];
        (room.limit, room.granted, room.at_once) = (here, peer, peer);
    }

    /// Opens one; `None` while the peer allows no more.
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

    /// Lets the peer have so many with two directions open; the news for it, where that is more than before.
    pub(super) fn grant(&mut self, streams: u64) -> Option<MemoryFrame> {
        let room = &mut self.rooms[StreamKind::Bi as usize];
        let more = streams.checked_sub(room.at_once).filter(|&more| more > 0)?;
        room.at_once = streams;
        room.granted += more;
        Some(MemoryFrame::Streams { kind: StreamKind::Bi, limit: room.granted })
    }

    /// The peer allows more.
    pub(super) fn allow(&mut self, kind: StreamKind, limit: u64) {
        let room = &mut self.rooms[kind as usize];
        room.limit = room.limit.max(limit);
    }

    /// Something has come for this stream: opens it, and with it all before, where the peer has just opened it.
    /// Whether there are new ones to take.
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

    /// The next stream that the peer has opened.
    pub(super) fn take(&mut self, kind: StreamKind) -> Option<StreamId> {
        self.rooms[kind as usize].waiting.pop_front()
    }

    pub(super) fn send(&mut self, id: StreamId) -> Option<&mut OutgoingStream> {
        self.open.get_mut(&id)?.send.as_mut()
    }

    pub(super) fn recv(&mut self, id: StreamId) -> Option<&mut Receiving> {
        self.open.get_mut(&id)?.recv.as_mut()
    }

    /// Forgets the stream if it is over. The news for the peer where that makes room for another.
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

    /// The connection is over: wakes all, and keeps only what somebody still holds.
    pub(super) fn end(&mut self) {
        let waiting: Vec<_> = self.rooms.iter_mut().flat_map(|room| room.waiting.drain(..)).collect();
        for id in waiting {
            self.open.remove(&id);
        }
        self.open.retain(|_, stream| !stream.is_released());
        self.open.values_mut().for_each(Stream::wake);
    }
}
