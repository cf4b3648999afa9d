//! The two control streams of a connection: ours, and the peer's.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tracing::debug;

use super::{Session, lane};
use crate::{
    proto::{ControlFrame, Hello, SCHEMA_ENTRIES, close},
    transport::{ConnectionError, ReadError, RecvStream, WriteError},
};

/// The most methods in the schema of a peer.
const MOST_METHODS: usize = 1 << 14;

/// The frames that wait for our control stream. A frame that is sent again before it was written is written once.
#[derive(Debug, Default)]
pub(super) struct ControlSender {
    ping: AtomicBool,
    go_away: AtomicBool,
    rest: AtomicBool,
    /// Notified when a frame waits.
    more: Notify,
}

impl ControlSender {
    pub(super) fn ping(&self) {
        self.say(&self.ping);
    }

    pub(super) fn go_away(&self) {
        self.say(&self.go_away);
    }

    pub(super) fn rest(&self) {
        self.say(&self.rest);
    }

    fn say(&self, what: &AtomicBool) {
        what.store(true, Ordering::SeqCst);
        self.more.notify_one();
    }

    /// The next frames. Cancel-safe; for one that waits alone.
    async fn next(&self) -> Bytes {
        loop {
            let mut frames = BytesMut::new();
            let all = [
                (&self.go_away, ControlFrame::GoAway),
                (&self.rest, ControlFrame::Rest),
                (&self.ping, ControlFrame::Ping),
            ];
            for (what, frame) in all {
                if what.swap(false, Ordering::SeqCst) {
                    frame.encode(&mut frames);
                }
            }
            if !frames.is_empty() {
                return frames.freeze();
            }
            self.more.notified().await;
        }
    }
}

/// Opens our control stream, says hello, and writes what comes.
pub(super) async fn write(session: &Session) -> ConnectionError {
    let mut stream = match session.connection().open_uni().await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    let mut frames = hello(session);
    loop {
        // Not the stream's own future, which would have room for more than a connection at rest needs.
        let mut chunks = [frames];
        match poll_fn(|cx| stream.poll_write_chunks(cx, &mut chunks)).await {
            Ok(()) => {}
            Err(WriteError::Connection(error)) => return error,
            Err(error) => return broken(session, &error),
        }
        frames = session.inner.control.next().await;
    }
}

/// The first frames: what we take, and what we serve.
fn hello(session: &Session) -> Bytes {
    let mut frames = BytesMut::new();
    ControlFrame::Hello(Hello::new(session.limits().max_message() as u64, session.limits().lanes()))
        .encode(&mut frames);
    // Where calls are forwarded, nobody is told of what is served here.
    let served = if session.inner.forward.is_some() { Vec::new() } else { session.inner.router.schema() };
    for methods in served.chunks(SCHEMA_ENTRIES) {
        ControlFrame::Schema(methods.to_vec()).encode(&mut frames);
    }
    frames.freeze()
}

/// Reads the peer's control stream, the first in that direction, and then what else comes in that direction.
pub(super) async fn read(session: &Session) -> ConnectionError {
    let mut stream = match session.connection().accept_uni().await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    tokio::select! {
        error = follow(session, &mut stream) => error,
        error = lane::accept(session) => error,
    }
}

async fn follow(session: &Session, stream: &mut RecvStream) -> ConnectionError {
    let mut buffer = BytesMut::new();
    let mut room = MOST_METHODS;
    loop {
        loop {
            match ControlFrame::take(&mut buffer) {
                Ok(Some(frame)) => handle(session, frame, &mut room),
                Ok(None) => break,
                Err(error) => return broken(session, &error),
            }
        }
        match stream.read_chunk(usize::MAX).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk),
            Ok(None) => return broken(session, &"the control stream ended"),
            Err(ReadError::Connection(error)) => return error,
            Err(error) => return broken(session, &error),
        }
    }
}

fn handle(session: &Session, frame: ControlFrame, room: &mut usize) {
    match frame {
        ControlFrame::Hello(hello) => {
            let _ = session.inner.peer.set(hello);
            session.update(|state| state.ready = true);
        }
        ControlFrame::Schema(methods) => learn(session, methods, room),
        ControlFrame::GoAway => session.update(|state| state.draining = true),
        ControlFrame::Rest => session.update(|state| {
            state.draining = true;
            state.rests = true;
        }),
        // A ping has been answered by the transport's acknowledgement.
        ControlFrame::Ping | ControlFrame::Other => {}
    }
}

/// Learns the methods that the peer serves: their fingerprints need not be sent with each call. At most `room` more
/// methods, known ones included, as each frame copies the whole schema.
fn learn(session: &Session, mut methods: Vec<(u64, u64)>, room: &mut usize) {
    methods.truncate(*room);
    if methods.is_empty() {
        return;
    }
    *room -= methods.len();
    let mut schema = HashMap::clone(&session.inner.schema.load());
    schema.extend(methods);
    session.inner.schema.store(Arc::new(schema));
}

fn broken(session: &Session, cause: &dyn std::fmt::Display) -> ConnectionError {
    debug!(peer = %session.connection().remote_addr(), %cause, "control stream broken");
    session.connection().close(close::PROTOCOL, "control stream broken");
    ConnectionError::Transport(format!("control stream broken: {cause}"))
}
