//! The quota of one link.
//!
//! All links put their packets into one queue. Each link has a share of the queue, so that a peer that floods this node takes
//! no room from the others. A link that carries many malformed packets is cut off.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use rpcnet::__cluster::{Mutex, TokenBucket};
use tokio_util::sync::CancellationToken;

use super::driver::now;
use crate::swim::Identity;

/// The most packets of one link that wait to be handled: an eighth of the queue.
const WAITING: usize = 512;
/// The most malformed packets at once, and a second. Races make a few harmless ones.
const REFUSED: (u32, u32) = (100, 10);

#[derive(Debug)]
pub(super) struct LinkQuota {
    waiting: AtomicUsize,
    refused: Mutex<TokenBucket>,
    cut: CancellationToken,
}

/// A packet from a link, which takes a place in the queue until it is dropped.
#[derive(Debug)]
pub(super) struct QueuedPacket {
    pub(super) from: Identity,
    pub(super) packet: Bytes,
    source: Arc<LinkQuota>,
}

impl LinkQuota {
    pub(super) fn new() -> Arc<Self> {
        let refused = Mutex::new(TokenBucket::new(REFUSED.1, REFUSED.0, now()));
        Arc::new(Self { waiting: AtomicUsize::new(0), refused, cut: CancellationToken::new() })
    }

    /// Gives a packet a place in the queue, if the link has one left.
    pub(super) fn admit(self: &Arc<Self>, from: Identity, packet: Bytes) -> Option<QueuedPacket> {
        // Only the link's task adds, so that the bound can't be exceeded in between.
        if self.waiting.load(Ordering::Relaxed) >= WAITING {
            return None;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(QueuedPacket { from, packet, source: self.clone() })
    }

    /// Resolves when the link has carried too many malformed packets.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl QueuedPacket {
    /// Counts the packet as malformed.
    pub(super) fn refuse(&self) {
        if !self.source.refused.lock().take(now()) {
            self.source.cut.cancel();
        }
    }
}

impl Drop for QueuedPacket {
    fn drop(&mut self) {
        self.source.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swim::NodeId;

    #[tokio::test(start_paused = true)]
    async fn a_link_has_its_share() {
        let identity = Identity::new(([10, 0, 0, 1], 1).into(), NodeId::from_u128(1), 1);
        let source = LinkQuota::new();
        let admit = || source.admit(identity, Bytes::new());
        let mut held: Vec<_> = (0..WAITING + 10).map_while(|_| admit()).collect();
        assert_eq!(held.len(), WAITING);
        held.pop();
        let one = admit().expect("there is room for one again");
        assert!(admit().is_none());
        for _ in 0..REFUSED.0 {
            one.refuse();
        }
        assert!(!source.cut.is_cancelled());
        one.refuse();
        source.cut().await;
    }
}
