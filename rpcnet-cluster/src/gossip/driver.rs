//! The node's driver: its timers, and the state that its tasks share.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use rpcnet::{__cluster::Mutex, Connector, discover::ServiceSet};
use tokio::{
    sync::{Notify, broadcast, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    advertise::Advertise,
    handshake::LinkReaders,
    identity_conflict::{ProcessLife, Rivals},
    join::SeedStates,
    known_peers::KnownPeers,
    links::Links,
    publish::Publisher,
    quota::{LinkQuota, QueuedPacket},
    start::unix_millis,
    versions::Versions,
};
use crate::{
    ClusterError, ClusterEvent, events,
    metrics::ClusterMetrics,
    swim::{self, Broadcast, BroadcastError, Identity, Member, Node, PacketError, TagError},
};

/// The most packets that are handled before the node's timers and handles get a turn.
const BATCH: usize = 256;

/// The time that a leave waits for the answer to an announce: some round trips.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(500);

/// The members at a moment: this node first, then the others by id.
pub(crate) type View = Arc<[Member]>;
/// The broadcasts at a moment, by key.
pub(crate) type Broadcasts = Arc<BTreeMap<String, Broadcast>>;

/// A node's gossip: the state that handles, links and the driver share.
#[derive(Debug)]
pub(crate) struct Gossip {
    pub(super) node: Mutex<Node>,
    /// Locked before the node if both are locked.
    pub(super) advertise: Mutex<Advertise>,
    pub(super) cluster: String,
    pub(super) configured_tags: BTreeMap<String, String>,
    /// The states of the seeds.
    pub(super) seed_states: watch::Sender<SeedStates>,
    pub(super) known_peers: Mutex<KnownPeers>,
    /// Notified when there are more addresses to ask.
    pub(super) restored: Notify,
    pub(super) connector: Connector,
    pub(super) metrics: ClusterMetrics,
    pub(super) view: watch::Sender<View>,
    pub(super) broadcasts: watch::Sender<Broadcasts>,
    pub(super) events: broadcast::Sender<ClusterEvent>,
    pub(super) packets: mpsc::Sender<QueuedPacket>,
    /// Notified when the node has to do something that its timers do not cover.
    pub(super) wake: Notify,
    pub(super) links: Links,
    pub(super) readers: LinkReaders,
    pub(super) versions: Versions,
    pub(super) life: ProcessLife,
    pub(super) rivals: Mutex<Rivals>,
    /// This node and the one that was there first, if this one has stopped for it.
    pub(super) stopped: watch::Sender<Option<(Identity, Identity)>>,
    /// The address that this node itself is bound to.
    pub(super) bound: SocketAddr,
    /// The address for calls, if it differs from the one for gossip. An unspecified host stands for the advertised one.
    pub(super) calls: Option<SocketAddr>,
    /// A leave has completed.
    pub(super) gone: AtomicBool,
    pub(super) closed: CancellationToken,
    /// The last snapshot is on disk, or there is none.
    pub(super) kept: CancellationToken,
    pub(super) swim: swim::Config,
    pub(super) leave_timeout: std::time::Duration,
}

pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Runs the node until the server is closed.
pub(super) async fn drive(gossip: &Arc<Gossip>, mut packets: mpsc::Receiver<QueuedPacket>) {
    let mut publisher = Publisher::new(&gossip.swim);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        gossip.flush(&mut publisher);
        let timer = gossip.node().poll_timeout();
        // Packets come first: an answer that has arrived must not count as missing.
        tokio::select! {
            biased;
            received = packets.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    return;
                }
                for received in batch.drain(..) {
                    gossip.handle_packet(&received);
                }
                // A peer that floods this node must not stop its clock.
                gossip.handle_due();
            }
            () = gossip.wake.notified() => {}
            () = until(timer) => gossip.handle_due(),
        }
    }
}

pub(super) async fn until(timer: Option<std::time::Instant>) {
    match timer {
        Some(at) => sleep_until(Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}

impl Gossip {
    pub(super) fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock()
    }

    pub(super) fn known_peers(&self) -> MutexGuard<'_, KnownPeers> {
        self.known_peers.lock()
    }

    pub(super) fn rivals(&self) -> MutexGuard<'_, Rivals> {
        self.rivals.lock()
    }

    /// Returns the token that is cancelled when the node ends.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Lets the node act, and wakes the driver for the result.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Node, std::time::Instant) -> T) -> T {
        let result = act(&mut self.node(), now());
        self.wake.notify_one();
        result
    }

    fn handle_due(&self) {
        self.node().handle_timeout(now());
    }

    fn handle_packet(&self, received: &QueuedPacket) {
        let from = received.from;
        let handled = self.node().handle_packet(now(), from, &received.packet);
        match handled {
            Ok(()) => {}
            Err(error) => {
                let reason = match error {
                    PacketError::ForeignSender { .. } => "foreign_sender",
                    PacketError::TooManyMembers => "too_many_members",
                    PacketError::FromOurselves { .. } => "from_ourselves",
                    _ => "malformed",
                };
                if matches!(reason, "foreign_sender" | "malformed") {
                    received.refuse();
                }
                self.metrics.dropped(reason);
                debug!(%from, %error, "gossip packet refused");
            }
        }
    }

    pub(super) fn is_isolated(&self) -> bool {
        self.node().is_isolated()
    }

    /// Queues a packet from a peer.
    pub(super) fn received(&self, source: &Arc<LinkQuota>, from: Identity, packet: Bytes) {
        self.metrics.received(&packet);
        let Some(received) = source.admit(from, packet) else {
            return self.metrics.dropped("share_full");
        };
        if self.packets.try_send(received).is_err() {
            self.metrics.dropped("queue_full");
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.node().identity()
    }

    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(crate) fn broadcast_values(&self) -> watch::Receiver<Broadcasts> {
        self.broadcasts.subscribe()
    }

    /// Returns the number of nodes that are alive or suspect, including this one.
    pub(crate) fn active_count(&self) -> usize {
        self.node().members().filter(|member| member.state().is_active()).count()
    }

    /// Returns the members as they are, not as they were last published.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.node().members().cloned().collect()
    }

    pub(crate) fn subscribe(&self) -> events::Events {
        events::Events::new(self.events.subscribe())
    }

    pub(crate) fn set_tag(&self, key: &str, value: &str) -> Result<(), TagError> {
        self.act(|node, now| node.set_tag(now, key, value))
    }

    pub(crate) fn remove_tag(&self, key: &str) -> Result<(), TagError> {
        self.act(|node, now| node.remove_tag(now, key))
    }

    pub(crate) fn set_services(&self, services: Option<ServiceSet>) -> Result<(), TagError> {
        self.act(|node, now| node.set_services(now, services))
    }

    pub(crate) fn broadcast(&self, key: &str, value: Bytes) -> Result<u64, BroadcastError> {
        self.act(|node, now| node.broadcast(now, unix_millis(), key, value))
    }

    pub(crate) fn withdraw(&self, key: &str) -> Result<(), BroadcastError> {
        self.act(|node, now| node.withdraw_broadcast(now, unix_millis(), key))
    }

    /// Waits for news on its way if this node has a link but knows no member. A seed that has just got an announce counts this
    /// node among the members before the node knows of the seed. A leave at this moment would reach no peer and look like a
    /// failure.
    async fn settle(&self) {
        let mut view = self.view();
        let known = async { while self.is_isolated() && view.changed().await.is_ok() {} };
        if !self.node().has_left() && self.links.any() {
            let _ = timeout(SETTLE, known).await;
        }
    }

    /// Leaves, and waits until enough peers have acknowledged that, at most for the configured time.
    pub(crate) async fn leave(&self) -> Result<(), ClusterError> {
        if let Some((ours, theirs)) = *self.stopped.borrow() {
            return Err(ClusterError::Conflict { ours, theirs });
        }
        if self.closed.is_cancelled() || self.gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let since = Instant::now();
        let told = async {
            self.settle().await;
            self.act(|node, now| node.leave(now));
            while !self.node().is_leave_complete() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(self.leave_timeout, told).await;
        // Leaves also if there was no time to settle.
        self.act(|node, now| node.leave(now));
        let (acknowledged, peers) = {
            let node = self.node();
            let active = node.members().skip(1).filter(|member| member.state().is_active());
            (node.leave_acknowledged(), active.count())
        };
        if acknowledged == 0 && peers > 0 {
            let after = since.elapsed();
            warn!(
                peers,
                ?after,
                "left without goodbye: no peer has acknowledged it, and all take it for a failure"
            );
        }
        self.gone.store(true, Ordering::Relaxed);
        Ok(())
    }
}
