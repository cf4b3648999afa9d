//! Sends datagrams, some of them later.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

/// Datagrams that are late at a time. Beyond, further ones are lost, as in any full queue of a network.
const LATE: usize = 4096;

/// A datagram on its way.
#[derive(Debug)]
pub struct Parcel {
    bytes: Box<[u8]>,
    from: Arc<UdpSocket>,
    to: SocketAddr,
}

impl Parcel {
    /// Returns the datagram with these bytes that is to be sent from this socket to this address.
    pub fn new(bytes: &[u8], from: Arc<UdpSocket>, to: SocketAddr) -> Self {
        Self { bytes: bytes.into(), from, to }
    }

    async fn deliver(&self) {
        // A socket that can't take it loses it.
        let _ = self.from.send_to(&self.bytes, self.to).await;
    }
}

/// Delivers datagrams in a task, which ends when this is dropped.
#[derive(Debug)]
pub struct Courier {
    late: mpsc::Sender<(Instant, Parcel)>,
    task: AbortHandle,
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Courier {
    /// Starts the task.
    pub fn start() -> Self {
        let (late, parcels) = mpsc::channel(LATE);
        Self { late, task: tokio::spawn(deliver(parcels)).abort_handle() }
    }

    /// Sends a datagram after this time.
    pub async fn send(&self, late: Duration, parcel: Parcel) {
        if late.is_zero() {
            parcel.deliver().await;
        } else {
            let _ = self.late.try_send((Instant::now() + late, parcel));
        }
    }
}

/// By the time when it is due, then in the order in which they came.
struct Due {
    at: Reverse<(Instant, u64)>,
    parcel: Parcel,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

async fn deliver(mut parcels: mpsc::Receiver<(Instant, Parcel)>) {
    let mut waiting = BinaryHeap::<Due>::new();
    let mut count = 0;
    loop {
        let next = waiting.peek().map(|due| due.at.0.0);
        tokio::select! {
            Some((at, parcel)) = parcels.recv(), if waiting.len() < LATE => {
                count += 1;
                waiting.push(Due { at: Reverse((at, count)), parcel });
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if let Some(due) = waiting.pop() {
                    due.parcel.deliver().await;
                }
            }
            else => return,
        }
    }
}
