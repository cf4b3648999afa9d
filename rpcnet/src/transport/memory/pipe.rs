//! One direction of a stream: a bounded queue with an end, a reset and a stop.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use super::{
    super::{ConnectionError, ReadError, WriteError, backend},
    Link,
};

/// Bytes that may wait to be read: a writer beyond waits.
const CAPACITY: usize = 256 << 10;

/// One of the streams that a side allows the other; held by both halves of it on that side.
type Place = Arc<OwnedSemaphorePermit>;
type Closed = watch::Receiver<Option<[ConnectionError; 2]>>;

struct Pipe {
    state: Mutex<State>,
    /// Each is waited on by one task at a time, as both halves take `&mut self`.
    readable: Notify,
    writable: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Bytes>,
    queued: usize,
    finished: bool,
    reset: Option<u32>,
    stopped: Option<u32>,
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn pipe(link: &Arc<Link>, writer: usize) -> (SendStream, RecvStream) {
    let pipe = Arc::new(Pipe { state: Mutex::default(), readable: Notify::new(), writable: Notify::new() });
    let closed = link.closed.subscribe();
    let send = SendStream {
        pipe: pipe.clone(),
        link: link.clone(),
        closed: closed.clone(),
        side: writer,
        _place: None,
    };
    (send, RecvStream { pipe, closed, side: 1 - writer, _place: None })
}

/// Waits for `notify`, or fails when the connection ends. The permit of `notify_one` is kept, so nothing that
/// happened between the look at the state and this wait is missed.
async fn wait(notify: &Notify, closed: &mut Closed, side: usize) -> Result<(), ConnectionError> {
    tokio::select! {
        biased;
        reasons = closed.wait_for(Option::is_some) => Err(match reasons {
            Ok(reasons) => reasons
                .as_ref()
                .map_or(ConnectionError::LocallyClosed, |reasons| reasons[side].clone()),
            Err(_) => ConnectionError::LocallyClosed,
        }),
        () = notify.notified() => Ok(()),
    }
}

pub(in crate::transport) struct SendStream {
    pipe: Arc<Pipe>,
    link: Arc<Link>,
    closed: Closed,
    side: usize,
    _place: Option<Place>,
}

impl SendStream {
    pub(super) fn holding(self, place: Place) -> Self {
        Self { _place: Some(place), ..self }
    }
}

impl backend::SendStream for SendStream {
    async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        for chunk in chunks {
            while !chunk.is_empty() {
                {
                    let mut state = self.pipe.state();
                    if let Some(code) = state.stopped {
                        return Err(WriteError::Stopped(code));
                    }
                    if state.finished || state.reset.is_some() {
                        return Err(WriteError::Closed);
                    }
                    let room = CAPACITY - state.queued;
                    if room > 0 {
                        let piece = chunk.split_to(room.min(chunk.len()));
                        state.queued += piece.len();
                        state.queue.push_back(piece);
                        self.link.count(self.side);
                        self.pipe.readable.notify_one();
                        continue;
                    }
                }
                wait(&self.pipe.writable, &mut self.closed, self.side).await?;
            }
        }
        if let Some(reasons) = self.closed.borrow().as_ref() {
            return Err(reasons[self.side].clone().into());
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.pipe.state().finished = true;
        self.pipe.readable.notify_one();
    }

    fn reset(&mut self, code: u32) {
        let mut state = self.pipe.state();
        let all_read = state.finished && state.queue.is_empty();
        if !all_read && state.reset.is_none() {
            state.reset = Some(code);
            state.queue.clear();
            state.queued = 0;
        }
        drop(state);
        self.pipe.readable.notify_one();
    }

    async fn stopped(&mut self) -> Result<Option<u32>, ConnectionError> {
        loop {
            {
                let state = self.pipe.state();
                if state.stopped.is_some() {
                    return Ok(state.stopped);
                }
                if state.finished && state.queue.is_empty() {
                    return Ok(None);
                }
            }
            wait(&self.pipe.writable, &mut self.closed, self.side).await?;
        }
    }
}

pub(in crate::transport) struct RecvStream {
    pipe: Arc<Pipe>,
    closed: Closed,
    side: usize,
    _place: Option<Place>,
}

impl RecvStream {
    pub(super) fn holding(self, place: Place) -> Self {
        Self { _place: Some(place), ..self }
    }
}

impl backend::RecvStream for RecvStream {
    async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        loop {
            {
                let mut state = self.pipe.state();
                if let Some(code) = state.reset {
                    return Err(ReadError::Reset(code));
                }
                if state.stopped.is_some() {
                    return Err(ReadError::Closed);
                }
                // What is left of a closed connection's streams is lost, as it is with QUIC.
                if let Some(reasons) = self.closed.borrow().as_ref() {
                    return Err(ReadError::Connection(reasons[self.side].clone()));
                }
                if let Some(mut chunk) = state.queue.pop_front() {
                    let piece = chunk.split_to(max.min(chunk.len()));
                    if !chunk.is_empty() {
                        state.queue.push_front(chunk);
                    }
                    state.queued -= piece.len();
                    self.pipe.writable.notify_one();
                    return Ok(Some(piece));
                }
                if state.finished {
                    return Ok(None);
                }
            }
            wait(&self.pipe.readable, &mut self.closed, self.side).await?;
        }
    }

    fn stop(&mut self, code: u32) {
        let mut state = self.pipe.state();
        if state.stopped.is_none() {
            state.stopped = Some(code);
            state.queue.clear();
            state.queued = 0;
        }
        drop(state);
        self.pipe.writable.notify_one();
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream").field("queued", &self.pipe.state().queued).finish_non_exhaustive()
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream").field("queued", &self.pipe.state().queued).finish_non_exhaustive()
    }
}
