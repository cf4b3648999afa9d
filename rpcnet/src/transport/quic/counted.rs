//! A quinn connection whose windows follow what is read and written on it.
//!
//! There is no timer: every so many bytes a look is taken, by whoever has read or written the last of them. A stream counts
//! for itself and tells now and then, so that what is small costs nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quinn::VarInt;
use tokio::time::Instant;

use crate::lock::Mutex;

use super::super::window::{First, PathSample, Windows};

/// After so many bytes in a direction the windows are looked at.
const LOOK: u64 = 256 << 10;
/// So many bytes a stream counts for itself.
const TOLD: u64 = 16 << 10;

/// Shared by a connection's handles and its streams, as quinn's own is: with the last of them it closes.
#[derive(Debug)]
pub(super) struct Counted {
    inner: quinn::Connection,
    read: AtomicU64,
    written: AtomicU64,
    /// What they were configured with.
    limit: u32,
    /// Of the handshake: nothing waited anywhere then.
    rtt: Duration,
    /// Once they are looked at: most connections carry little.
    windows: Mutex<Option<Box<Windows>>>,
    /// How many datagrams had been sent when [`close`](Self::close) was called; 0 before.
    sent_before_close: AtomicU64,
    /// Held for longer than the connection: a runtime that is shut down closes connections by their endpoint, unless they
    /// have been closed before.
    _endpoint: Arc<quinn::Endpoint>,
}

impl Counted {
    /// `limit` is what the connection was configured with.
    pub(super) fn new(inner: quinn::Connection, endpoint: Arc<quinn::Endpoint>, limit: u32) -> Arc<Self> {
        let (read, written) = (AtomicU64::new(0), AtomicU64::new(0));
        let sent_before_close = AtomicU64::new(0);
        Arc::new(Self {
            limit,
            rtt: inner.rtt(),
            inner,
            read,
            written,
            windows: Mutex::default(),
            sent_before_close,
            _endpoint: endpoint,
        })
    }

    pub(super) fn inner(&self) -> &quinn::Connection {
        &self.inner
    }

    /// Closes the connection.
    pub(super) fn close(&self, code: VarInt, reason: &[u8]) {
        // Only the first close says goodbye.
        if self.inner.close_reason().is_none() {
            self.sent_before_close.store(self.inner.stats().udp_tx.datagrams, Ordering::Relaxed);
        }
        self.inner.close(code, reason);
    }

    /// Whether a closed connection has told its peer: it sends nothing else after [`close`](Self::close). (quinn does not
    /// count the frame.)
    pub(super) fn has_said_goodbye(&self) -> bool {
        self.inner.stats().udp_tx.datagrams > self.sent_before_close.load(Ordering::Relaxed)
    }

    /// The windows for receiving and sending as they are now.
    pub(super) fn sizes(&self) -> (u32, u32) {
        let windows = self.windows.lock();
        match &*windows {
            Some(windows) => (windows.receive(), windows.send()),
            None => {
                let first = First::within(self.limit);
                (first.receive, first.send)
            }
        }
    }

    fn count(&self, count: &AtomicU64, bytes: u64) {
        let before = count.fetch_add(bytes, Ordering::Relaxed);
        if before / LOOK != (before + bytes) / LOOK {
            self.look();
        }
    }

    fn look(&self) {
        // Another thread that holds the lock adjusts the windows.
        let Some(mut windows) = self.windows.try_lock() else { return };
        let path = self.inner.stats().path;
        let read = self.read.load(Ordering::Relaxed);
        let seen = PathSample { read, rtt: path.rtt, congestion_window: path.cwnd };
        let now = Instant::now().into_std();
        let windows = windows.get_or_insert_with(|| Box::new(Windows::new(self.limit, now, self.rtt, read)));
        let change = windows.see(now, seen);
        if let Some(bytes) = change.receive {
            self.inner.set_receive_window(VarInt::from_u32(bytes));
        }
        if let Some(bytes) = change.send {
            self.inner.set_send_window(u64::from(bytes));
        }
    }
}

/// What a stream has read or written.
#[derive(Debug)]
pub(super) struct Tally {
    connection: Arc<Counted>,
    direction: Direction,
    untold: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    Read,
    Written,
}

impl Tally {
    pub(super) fn new(connection: Arc<Counted>, direction: Direction) -> Self {
        Self { connection, direction, untold: 0 }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.untold += bytes as u64;
        if self.untold >= TOLD {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let count = match self.direction {
            Direction::Read => &self.connection.read,
            Direction::Written => &self.connection.written,
        };
        self.connection.count(count, std::mem::take(&mut self.untold));
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.tell();
    }
}
