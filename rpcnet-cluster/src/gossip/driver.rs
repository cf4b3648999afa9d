//! The node's task: timers, and what comes of them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::SystemTime,
};

use bytes::Bytes;
use rpcnet::{Connector, ProtocolFuture, ProtocolHandler, Server, transport::Connection};
use tokio::{
    sync::{Notify, broadcast, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::{address::Advertise, links::Links, seeds};
use crate::{
    ClusterConfig, ClusterError, ClusterEvent, config, events,
    metrics::ClusterMetrics,
    swim::{self, Event, Identity, Member, Node, NodeId, PacketError, TagError},
};

/// Packets that wait to be handled; beyond, new ones are dropped, as a network would.
const PACKETS: usize = 4096;
/// Packets handled before the node's timers and handles get a turn.
const BATCH: usize = 256;

/// How long a leave waits for the answer to an announce: some round trips.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(500);

/// The members at a moment: this node first, then the others by id.
pub(crate) type View = Arc<[Member]>;

/// A node's gossip: what handles, links and the driver share.
#[derive(Debug)]
pub(crate) struct Gossip {
    node: Mutex<Node>,
    /// Set once: until then the node has a placeholder for an address.
    addressed: watch::Sender<bool>,
    advertise: Advertise,
    pub(super) cluster: String,
    pub(super) seeds: Vec<String>,
    pub(super) connector: Connector,
    pub(super) metrics: ClusterMetrics,
    view: watch::Sender<View>,
    events: broadcast::Sender<ClusterEvent>,
    packets: mpsc::Sender<(Identity, Bytes)>,
    /// Told when the node has something to do that its timers do not know of.
    wake: Notify,
    pub(super) links: Links,
    pub(super) closed: CancellationToken,
    swim: swim::Config,
    leave_timeout: std::time::Duration,
}

/// What the node published last: it has more to say when its revision is another, or when it is another node, made
/// anew under the address that was learnt, whose revisions count from the start.
type Published = Option<(Identity, u64)>;

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A generation that is later than any before on this host, while its clock does not run backwards.
fn generation() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// Starts a server's gossip: its links are answered from here on.
pub(crate) fn start(server: &Server, config: ClusterConfig) -> Result<Arc<Gossip>, ClusterError> {
    if let Some(wrong) = config.seeds.iter().find(|seed| !config::is_address(seed)) {
        return Err(ClusterError::Seed(wrong.clone()));
    }
    let advertise = Advertise::new(config.advertise, server.local_addr());
    let id = config.node_id.unwrap_or_else(|| NodeId::random(&mut rand::rng()));
    let known = matches!(advertise, Advertise::Known(_));
    let identity = Identity::new(advertise.resolve(server.local_addr()), id, generation());
    let mut node = Node::new(identity, config.swim.clone(), rand::random(), now());
    for (key, value) in &config.tags {
        node.set_tag(now(), key, value).map_err(|source| ClusterError::Tag { key: key.clone(), source })?;
    }
    let cluster = config.name.unwrap_or_else(|| {
        let own = server.identity();
        let named = own.as_ref().and_then(|own| own.spiffe_id()).map(|id| id.cluster().to_owned());
        named.unwrap_or_else(|| "default".into())
    });
    let (packets, incoming) = mpsc::channel(PACKETS);
    let view: View = node.members().cloned().collect();
    let gossip = Arc::new(Gossip {
        node: Mutex::new(node),
        addressed: watch::Sender::new(known),
        advertise,
        cluster,
        seeds: config.seeds,
        connector: server.connector(),
        metrics: ClusterMetrics::new(server.metrics().registry()),
        view: watch::Sender::new(view),
        events: broadcast::Sender::new(events::QUEUE),
        packets,
        wake: Notify::new(),
        links: Links::new(),
        closed: CancellationToken::new(),
        swim: config.swim,
        leave_timeout: config.leave_timeout.unwrap_or(std::time::Duration::from_secs(3)),
    });
    let handler = Arc::new(Handler(Arc::downgrade(&gossip)));
    server.handle_protocol(super::ALPN, handler).map_err(ClusterError::Enabled)?;
    // The tasks hold the node as long as the server lives, whoever drops the handles.
    let server_closed = server.closed();
    let driven = gossip.clone();
    tokio::spawn(async move {
        let closed = driven.closed.clone();
        tokio::select! {
            () = drive(&driven, incoming) => {}
            () = server_closed => {}
            () = closed.cancelled() => {}
        }
        driven.closed.cancel();
        driven.links.close();
    });
    tokio::spawn(seeds::join(gossip.clone()));
    debug!(%identity, known, "gossip started");
    Ok(gossip)
}

/// The server's side: connections that peers open.
struct Handler(Weak<Gossip>);

impl ProtocolHandler for Handler {
    fn accept(&self, connection: Connection) -> ProtocolFuture<'static> {
        let gossip = self.0.upgrade();
        Box::pin(async move {
            if let Some(gossip) = gossip {
                gossip.accept(connection).await;
            }
        })
    }

    fn shutdown(&self) -> ProtocolFuture<'_> {
        let gossip = self.0.upgrade();
        Box::pin(async move {
            if let Some(gossip) = gossip {
                if let Err(error) = gossip.leave().await {
                    info!(%error, "left without goodbye");
                }
                gossip.closed.cancel();
            }
        })
    }
}

/// Runs the node until the server is closed.
async fn drive(gossip: &Arc<Gossip>, mut packets: mpsc::Receiver<(Identity, Bytes)>) {
    let mut published = None;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        gossip.flush(&mut published);
        let timer = gossip.node().poll_timeout();
        // Packets come first: an answer that has arrived must not count as missing.
        tokio::select! {
            biased;
            received = packets.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    return;
                }
                for (from, packet) in batch.drain(..) {
                    gossip.handle_packet(from, &packet);
                }
                // A peer that floods us must not stop our clock.
                gossip.handle_due();
            }
            () = gossip.wake.notified() => {}
            () = until(timer) => gossip.handle_due(),
        }
    }
}

async fn until(timer: Option<std::time::Instant>) {
    match timer {
        Some(at) => sleep_until(Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}

impl Gossip {
    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the node act, and sees to what comes of it.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Node, std::time::Instant) -> T) -> T {
        let result = act(&mut self.node(), now());
        self.wake.notify_one();
        result
    }

    fn handle_due(&self) {
        self.node().handle_timeout(now());
    }

    fn handle_packet(&self, from: Identity, packet: &[u8]) {
        let handled = self.node().handle_packet(now(), from, packet);
        match handled {
            Ok(()) => {}
            Err(error) => {
                let reason = match error {
                    PacketError::ForeignSender { .. } => "foreign_sender",
                    PacketError::TooManyMembers => "too_many_members",
                    _ => "malformed",
                };
                self.metrics.dropped(reason);
                debug!(%from, %error, "gossip packet refused");
            }
        }
    }

    /// Sends what the node wants sent, and tells what has happened to it.
    fn flush(self: &Arc<Self>, published: &mut Published) {
        let mut transmits = Vec::new();
        let mut happened = Vec::new();
        let view = {
            let mut node = self.node();
            // Until others can reach us there is nobody to send to.
            while let Some(transmit) = node.poll_transmit() {
                transmits.push(transmit);
            }
            while let Some(event) = node.poll_event() {
                happened.push(event);
            }
            let now = Some((node.identity(), node.revision()));
            (now != *published).then(|| {
                *published = now;
                node.members().cloned().collect::<View>()
            })
        };
        for transmit in transmits {
            super::links::send(self, transmit);
        }
        if let Some(view) = view {
            self.metrics.view(view.iter());
            self.view.send_replace(view);
        }
        for event in happened {
            self.tell(event);
        }
    }

    fn tell(&self, event: Event) {
        let event = match event {
            Event::NodeJoined(member) => {
                info!(node = %member.identity(), "joined");
                ClusterEvent::NodeJoined(member)
            }
            Event::NodeSuspect(member) => ClusterEvent::NodeSuspect(member),
            Event::NodeRecovered(member) => ClusterEvent::NodeRecovered(member),
            Event::NodeFailed(member) => {
                info!(node = %member.identity(), "failed");
                self.links.forget(&member.identity());
                ClusterEvent::NodeFailed(member)
            }
            Event::NodeLeft(member) => {
                info!(node = %member.identity(), "left");
                self.links.forget(&member.identity());
                ClusterEvent::NodeLeft(member)
            }
            Event::TagsChanged(member) => ClusterEvent::TagsChanged(member),
            Event::Renewed(identity) => {
                info!(%identity, "others took this node for dead; it goes on under a new generation");
                return;
            }
            Event::IdentityConflict { ours, theirs } => {
                error!(%ours, %theirs, "another node uses this one's address or id: stop one of the two");
                ClusterEvent::IdentityConflict { ours, theirs }
            }
        };
        // Nobody may listen.
        let _ = self.events.send(event);
    }

    /// A peer sees us at this address: where we do not know ours, now we do. Gives the node's identity.
    pub(super) fn observed_at(&self, observed: std::net::SocketAddr) -> Identity {
        let identity = self.addressed.send_if_modified(|addressed| {
            if *addressed {
                return false;
            }
            let mut node = self.node();
            let provisional = node.identity();
            let addr = self.advertise.resolve(observed);
            let identity = Identity::new(addr, provisional.id(), provisional.generation());
            let mut addressed_node = Node::new(identity, self.swim.clone(), rand::random(), now());
            for (key, value) in node.tags() {
                // They were allowed once.
                let _ = addressed_node.set_tag(now(), key, value);
            }
            if node.has_left() {
                addressed_node.leave(now());
            }
            *node = addressed_node;
            info!(%addr, "address learnt");
            *addressed = true;
            true
        });
        if identity {
            self.wake.notify_one();
        }
        self.identity()
    }

    pub(super) fn is_isolated(&self) -> bool {
        self.node().is_isolated()
    }

    pub(super) fn is_addressed(&self) -> bool {
        *self.addressed.borrow()
    }

    /// A packet from a peer.
    pub(super) fn received(&self, from: Identity, packet: Bytes) {
        if self.packets.try_send((from, packet)).is_err() {
            self.metrics.dropped("queue_full");
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.node().identity()
    }

    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// The members as they are now, not as they were last published.
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

    /// Waits, while nobody is known but somebody is linked to, for what may be on its way: a seed that has just been
    /// announced to counts this node among the members before this node knows of it. If it left now it would tell
    /// nobody, and be taken for a failure.
    async fn settle(&self) {
        let mut view = self.view();
        let known = async { while self.is_isolated() && view.changed().await.is_ok() {} };
        if !self.node().has_left() && self.links.any() {
            let _ = timeout(SETTLE, known).await;
        }
    }

    /// Leaves, and waits until enough peers have heard of it.
    pub(crate) async fn leave(&self) -> Result<(), ClusterError> {
        if self.closed.is_cancelled() {
            return Ok(());
        }
        let since = Instant::now();
        self.settle().await;
        self.act(|node, now| node.leave(now));
        let complete = async {
            while !self.node().is_leave_complete() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let complete = timeout(self.leave_timeout, complete).await.is_ok();
        // The node gives up at last on peers that don't answer, and is complete then too.
        let (acknowledged, peers) = {
            let node = self.node();
            (node.leave_acknowledged(), node.members().skip(1).any(|member| member.state().is_active()))
        };
        if complete && (acknowledged > 0 || !peers) {
            return Ok(());
        }
        Err(ClusterError::LeaveUnacknowledged { acknowledged, after: since.elapsed() })
    }
}
