//! A quinn connection whose windows follow the bytes that are read and written on it.
//!
//! There is no timer. The task that reads or writes the last byte of a certain number ([`LOOK`]) adjusts the windows.
//! Each stream counts its own bytes and reports them now and then ([`TOLD`]), so that small messages cost nothing.

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

/// The bytes in one direction after which the windows are adjusted.
const LOOK: u64 = 256 << 10;
/// The bytes that a stream counts before it reports them.
const TOLD: u64 = 16 << 10;

/// Shared by all handles and streams of a connection, like quinn's own state. The connection closes when the last of
/// them is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    inner: quinn::Connection,
    read: AtomicU64,
    written: AtomicU64,
    /// The bound of the windows in bytes.
    limit: u32,
    /// The round-trip time of the handshake, when no queue had formed yet.
    rtt: Duration,
    /// `None` until the first adjustment: most connections carry little.
    windows: Mutex<Option<Box<Windows>>>,
    /// The number of datagrams that had been sent when [`close`](Self::close) was called; 0 before that.
    sent_before_close: AtomicU64,
    /// Outlives the connection, as fields are dropped in order. When the runtime is shut down, open connections are
    /// closed through their endpoint.
    _endpoint: Arc<quinn::Endpoint>,
}

impl Counted {
    /// `limit` bounds the windows in bytes.
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
        // Only the first close sends a frame.
        if self.inner.close_reason().is_none() {
            self.sent_before_close.store(self.inner.stats().udp_tx.datagrams, Ordering::Relaxed);
        }
        self.inner.close(code, reason);
    }

    /// Returns true if a closed connection has told its peer. A connection sends nothing but the close after
    /// [`close`](Self::close), so the count of datagrams shows it. quinn has no count of the frame itself.
    pub(super) fn has_said_goodbye(&self) -> bool {
        self.inner.stats().udp_tx.datagrams > self.sent_before_close.load(Ordering::Relaxed)
    }

    /// Returns the current receive window and send window.
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
        // If another thread holds the lock, that thread adjusts the windows.
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

/// Counts the bytes that a stream reads or writes.
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
