//! One direction of a stream: a bounded queue with an end, a reset and a stop.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    super::{ConnectionError, ReadError, WriteError, backend},
    Link,
};

/// Bytes that may wait to be read: a writer beyond waits.
const CAPACITY: usize = 256 << 10;

pub(super) struct Pipe {
    id: u64,
    link: Arc<Link>,
    state: Mutex<State>,
    /// Told, with the state's lock held, when what [`stopped`](backend::SendStream::stopped) waits for may have come.
    stopped: Notify,
}

/// Reader and writer have one waker each, as both halves take `&mut self`: the last poll's.
#[derive(Default)]
struct State {
    queue: VecDeque<Bytes>,
    queued: usize,
    finished: bool,
    reset: Option<u32>,
    stopped: Option<u32>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn clear(&mut self) {
        self.queue.clear();
        self.queued = 0;
    }
}

/// Keeps the waker for later. What it waits for is looked at under the same lock, so nothing comes in between.
fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits, so that they see the connection's end.
    pub(super) fn wake(&self) {
        let mut state = self.state();
        wake(&mut state.reader);
        wake(&mut state.writer);
        self.stopped.notify_waiters();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.link.pipes().open.remove(&self.id);
    }
}

pub(super) fn pipe(link: &Arc<Link>, writer: usize) -> (SendStream, RecvStream) {
    let mut pipes = link.pipes();
    let id = pipes.next_id;
    pipes.next_id += 1;
    let pipe = Arc::new(Pipe { id, link: link.clone(), state: Mutex::default(), stopped: Notify::new() });
    pipes.open.insert(id, Arc::downgrade(&pipe));
    drop(pipes);
    (SendStream { pipe: pipe.clone(), side: writer }, RecvStream { pipe, side: 1 - writer })
}

pub(in crate::transport) struct SendStream {
    pipe: Arc<Pipe>,
    side: usize,
}

impl SendStream {
    /// Takes a piece of the chunk, as much as there is room for.
    fn poll_write(&mut self, cx: &Context<'_>, chunk: &mut Bytes) -> Poll<Result<(), WriteError>> {
        let mut state = self.pipe.state();
        if let Some(code) = state.stopped {
            return Poll::Ready(Err(WriteError::Stopped(code)));
        }
        if state.finished || state.reset.is_some() {
            return Poll::Ready(Err(WriteError::Closed));
        }
        // Under the lock that the end takes to wake: it is seen here, or the waker is seen there.
        if let Some(error) = self.pipe.link.reason(self.side) {
            return Poll::Ready(Err(error.into()));
        }
        let room = CAPACITY - state.queued;
        if room == 0 {
            keep(&mut state.writer, cx);
            return Poll::Pending;
        }
        let piece = chunk.split_to(room.min(chunk.len()));
        state.queued += piece.len();
        state.queue.push_back(piece);
        self.pipe.link.count(self.side);
        wake(&mut state.reader);
        Poll::Ready(Ok(()))
    }
}

impl backend::SendStream for SendStream {
    async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        for chunk in chunks {
            while !chunk.is_empty() {
                poll_fn(|cx| self.poll_write(cx, chunk)).await?;
            }
        }
        self.pipe.link.reason(self.side).map_or(Ok(()), |error| Err(error.into()))
    }

    fn finish(&mut self) {
        let mut state = self.pipe.state();
        state.finished = true;
        wake(&mut state.reader);
    }

    fn reset(&mut self, code: u32) {
        let mut state = self.pipe.state();
        let all_read = state.finished && state.queue.is_empty();
        if !all_read && state.reset.is_none() {
            state.reset = Some(code);
            state.clear();
        }
        wake(&mut state.reader);
    }

    async fn stopped(&self) -> Result<Option<u32>, ConnectionError> {
        loop {
            // Made while the lock is held, and told while it is held: no change is missed in between.
            let changed = {
                let state = self.pipe.state();
                if state.stopped.is_some() {
                    return Ok(state.stopped);
                }
                if state.finished && state.queue.is_empty() {
                    return Ok(None);
                }
                if let Some(error) = self.pipe.link.reason(self.side) {
                    return Err(error);
                }
                self.pipe.stopped.notified()
            };
            changed.await;
        }
    }

    fn set_priority(&mut self, _priority: i32) {}
}

pub(in crate::transport) struct RecvStream {
    pipe: Arc<Pipe>,
    side: usize,
}

impl backend::RecvStream for RecvStream {
    fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        let mut state = self.pipe.state();
        if let Some(code) = state.reset {
            return Poll::Ready(Err(ReadError::Reset(code)));
        }
        if state.stopped.is_some() {
            return Poll::Ready(Err(ReadError::Closed));
        }
        // What is left of a closed connection's streams is lost, as it is with QUIC.
        if let Some(error) = self.pipe.link.reason(self.side) {
            return Poll::Ready(Err(error.into()));
        }
        if let Some(mut chunk) = state.queue.pop_front() {
            let piece = chunk.split_to(max.min(chunk.len()));
            if !chunk.is_empty() {
                state.queue.push_front(chunk);
            }
            state.queued -= piece.len();
            wake(&mut state.writer);
            self.pipe.stopped.notify_waiters();
            return Poll::Ready(Ok(Some(piece)));
        }
        if state.finished {
            return Poll::Ready(Ok(None));
        }
        keep(&mut state.reader, cx);
        Poll::Pending
    }

    fn stop(&mut self, code: u32) {
        let mut state = self.pipe.state();
        if state.stopped.is_none() {
            state.stopped = Some(code);
            state.clear();
        }
        wake(&mut state.writer);
        self.pipe.stopped.notify_waiters();
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
