//! The node: inputs, outputs and getters.

use std::{collections::BTreeMap, fmt, time::Instant};

use bytes::Bytes;
use foca::{Foca, Header, Message};
use rand::{SeedableRng, rngs::StdRng};
use rpcnet::discover::ServiceSet;

use super::{
    broadcast::Broadcasts,
    codec::{Codec, read_header_and_view},
    config::Config,
    digest::{Delta, Digest},
    down_claims::DownClaims,
    effects::Effects,
    error::{PacketError, TagError},
    event::Event,
    fingerprint::{Fingerprint, Groups},
    foca_state::FocaStateHandle,
    gossip_targets::GossipTargets,
    identity::{Identity, NodeId, Peer},
    leave::Leaving,
    local_health::LocalHealth,
    member::Member,
    record::{MAX_TAGS, Record},
    statistics::Counters,
    timers::Task,
    view::{Grace, View},
    wire::{MAX_FRAME, PacketKind, PacketReader},
};

/// The way in which a packet is to be sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Delivery {
    /// As a datagram of at most [`Config::max_packet_size`] bytes, which may be lost.
    Datagram,
    /// As a stream of its own, of at most [`MAX_FRAME`] bytes.
    Stream,
}

/// A packet to send, from [`Node::poll_transmit`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Transmit {
    /// The receiver. The node at this address may have a later generation by now: it still wants the packet.
    pub(crate) to: Identity,
    /// The way in which the packet is sent.
    pub(crate) delivery: Delivery,
    /// The packet, for the receiver's [`Node::handle_packet`].
    pub(crate) payload: Bytes,
}

impl Transmit {
    /// The lowest version of the protocol that the receiver has to speak. A receiver of a lower version would refuse
    /// the packet.
    pub(crate) fn version(&self) -> u8 {
        match self.payload.first() {
            Some(&kind) if kind == PacketKind::Broadcasts as u8 => 2,
            _ => 1,
        }
    }
}

/// One node of the cluster, without input or output. The [module](super) describes how to drive it.
pub struct Node {
    pub(super) config: Config,
    pub(super) foca: Foca<Peer, Codec, StdRng, FocaStateHandle>,
    pub(super) shared: FocaStateHandle,
    pub(super) view: View,
    pub(super) out: Effects,
    pub(super) rng: StdRng,
    /// The cluster size that foca's settings were made for.
    pub(super) tuned_for: usize,
    pub(super) sync_backoff: std::time::Duration,
    /// The time at which each node's record was last asked for. Emptied when it exceeds a fixed size.
    pub(super) asked: BTreeMap<NodeId, Instant>,
    pub(super) reported_conflict: Option<Identity>,
    /// The number of times that this node took a later generation than another id at its address. At most `MAX_OUTDONE`
    /// ids.
    pub(super) outdone: BTreeMap<NodeId, u8>,
    pub(super) leaving: Option<Leaving>,
    pub(super) broadcasts: Broadcasts,
    pub(super) counted: Counters,
    pub(super) health: LocalHealth,
    pub(super) claims: DownClaims,
    pub(super) fingerprint: Fingerprint,
    pub(super) near: GossipTargets,
    pub(super) started: Instant,
    /// The members that this node was asked to probe, each with the time. At most `MAX_RELAYED`.
    pub(super) relayed: BTreeMap<NodeId, Instant>,
    /// True if news was waiting to be gossiped after the last input.
    pub(super) has_news: bool,
}

impl Node {
    /// A node that knows no other node yet. `seed` should differ from node to node and from start to start.
    pub(crate) fn new(identity: Identity, config: Config, seed: u64, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let shared = FocaStateHandle::new(identity, now);
        let record = Record::new(identity.generation());
        shared.lock().records.insert(identity.id(), (record, now));
        let foca = Foca::with_custom_broadcast(
            Peer(identity),
            config.for_foca(1),
            StdRng::from_rng(&mut rng),
            Codec(shared.clone()),
            shared.clone(),
        );
        let grace = Grace { unsuspected: config.leave_grace(), suspected: config.leave_grace() / 2 };
        let mut node = Self {
            foca,
            shared,
            view: View::new(identity, grace),
            out: Effects::default(),
            rng,
            tuned_for: 1,
            sync_backoff: config.probe_period(),
            asked: BTreeMap::new(),
            reported_conflict: None,
            outdone: BTreeMap::new(),
            leaving: None,
            broadcasts: Broadcasts::default(),
            counted: Counters::default(),
            health: LocalHealth::new(now),
            claims: DownClaims::default(),
            fingerprint: Fingerprint::new(now),
            near: GossipTargets::default(),
            started: now,
            relayed: BTreeMap::new(),
            has_news: false,
            config,
        };
        node.start_timers(now);
        node
    }

    /// Joins through `to`, a node whose identity is known, usually from the hello of a connection to a seed.
    ///
    /// The packet may be lost, so announce again until [`Node::is_isolated`] is false, and whenever it becomes true.
    pub(crate) fn announce(&mut self, now: Instant, to: Identity) {
        if self.has_left() || to.addr() == self.identity().addr() {
            return;
        }
        self.shared.lock().now = now;
        self.announce_to(now, to);
        self.settle(now, None, false);
    }

    /// Takes a packet from the authenticated node `from`.
    ///
    /// # Errors
    ///
    /// The packet is not one that a well-behaved peer sends. Each error's documentation says what state is left. The
    /// node can go on in any case.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        from: Identity,
        data: &[u8],
    ) -> Result<(), PacketError> {
        let (&first, body) = data.split_first().ok_or(PacketError::Empty)?;
        let kind = PacketKind::from_byte(first).ok_or(PacketError::UnknownKind(first))?;
        let limit = match kind {
            PacketKind::Gossip => self.config.max_packet_size(),
            _ => MAX_FRAME,
        };
        if data.len() > limit {
            return Err(PacketError::TooLarge { len: data.len(), limit });
        }
        let me = self.identity();
        if from.addr() == me.addr() || from.id() == me.id() {
            if from.is_newer_than(&me) {
                self.report_conflict(from);
            }
            return Err(PacketError::FromOurselves { from });
        }
        self.shared.lock().now = now;
        self.health.received(now);
        self.claims.heard(from.id());
        let mut reader = PacketReader::new(body);
        if kind == PacketKind::LeaveAck {
            let generation = reader.u64()?;
            self.handle_leave_ack(from, generation);
            return Ok(());
        }
        if self.has_left() {
            // The sender has not heard of the leave. A sender that leaves as well need not hear of it: two leavers
            // would go on telling each other.
            return match kind {
                PacketKind::LeaveNotice => self.handle_leave_notice(now, from, &mut reader),
                _ => {
                    self.notify_leave(from);
                    Ok(())
                }
            };
        }
        match kind {
            PacketKind::Gossip => self.handle_gossip(now, from, body),
            PacketKind::Digest => {
                let digest = Digest::decode(&mut reader)?;
                self.handle_digest(from, &digest);
                Ok(())
            }
            PacketKind::Groups => {
                let groups = Groups::decode(&mut reader)?;
                self.handle_groups(from, &groups);
                Ok(())
            }
            PacketKind::Delta => {
                let delta = Delta::decode(&mut reader)?;
                self.handle_delta(now, from, delta)
            }
            PacketKind::LeaveNotice => self.handle_leave_notice(now, from, &mut reader),
            PacketKind::Broadcasts => self.handle_broadcasts(now, from, &mut reader),
            PacketKind::LeaveAck => Ok(()),
        }
    }

    fn handle_gossip(&mut self, now: Instant, from: Identity, body: &[u8]) -> Result<(), PacketError> {
        let mut reader = PacketReader::new(body);
        let (Header { src: Peer(src), message, .. }, theirs) = read_header_and_view(&mut reader)?;
        if !src.same_node(&from) {
            return Err(PacketError::ForeignSender { from });
        }
        let claimed = match message {
            Message::Broadcast => Vec::new(),
            _ => self.review(now, src, reader)?,
        };
        self.relay(now, src, &message);
        {
            let mut shared = self.shared.lock();
            shared.heard(&src, true);
            shared.disbelieved = claimed.iter().map(|member| member.id().0).collect();
        }
        if let Some(theirs) = theirs {
            self.compare(now, src, theirs);
        }
        let result = self.foca.handle_data(body, self.out.runtime(now));
        self.shared.lock().disbelieved.clear();
        self.hold(now, src, &claimed);
        self.tell_of_successor(src);
        self.settle(now, Some(from), false);
        match result {
            Ok(()) => Ok(()),
            Err(
                error @ (foca::Error::DataTooBig
                | foca::Error::DataFromOurselves
                | foca::Error::IndirectForOurselves
                | foca::Error::MalformedPacket
                | foca::Error::Decode(_)
                | foca::Error::CustomBroadcast(_)),
            ) => Err(PacketError::Malformed(Box::new(error))),
            Err(error) => {
                tracing::warn!(%error, %from, "gossip could not be handled");
                Ok(())
            }
        }
    }

    pub(super) fn member_count(&self) -> usize {
        self.foca.iter_membership_state().len().max(self.view.len())
    }

    /// Fires all timers due at `now`, in order.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.shared.lock().now = now;
        let late = self.out.timers.next().map(|at| now.saturating_duration_since(at));
        if late.is_some_and(|late| late >= self.config.probe_period() / 2) {
            self.health.overslept(now);
        }
        // Ends: handling a timer sets no timer that is already due, except a verdict without grace, which is not set
        // twice.
        while let Some(task) = self.out.timers.pop_due(now) {
            self.fire(now, task);
        }
    }

    fn fire(&mut self, now: Instant, task: Task) {
        if self.has_left() {
            if task == Task::ResendLeave {
                self.resend_leave(now);
            }
            return;
        }
        match task {
            Task::Foca(timer) => self.fire_foca(now, timer),
            Task::Claim(id) => self.fire_claim(now, id),
            Task::Verdict(id) => self.fire_verdict(now, id),
            Task::Sync => self.fire_sync(now),
            Task::Reconnect => self.fire_reconnect(now),
            Task::Sweep => self.fire_sweep(now),
            Task::Spread => self.fire_spread(now),
            Task::ResendLeave => {}
        }
    }

    /// Sets a tag of this node. All members see it within seconds, and later joiners when they join.
    ///
    /// # Errors
    ///
    /// A limit is exceeded, or the node has left. The tags are unchanged.
    pub fn set_tag(&mut self, now: Instant, key: &str, value: &str) -> Result<(), TagError> {
        self.change_record(now, |record| record.set(key, value))
    }

    /// Removes a tag of this node. Does nothing if the node has no such tag.
    ///
    /// # Errors
    ///
    /// The node has left. The tags are unchanged.
    pub fn remove_tag(&mut self, now: Instant, key: &str) -> Result<(), TagError> {
        self.change_record(now, |record| Ok(record.remove(key)))
    }

    /// Sets the services that this node serves. The other nodes are told that it may serve any service if `services` is
    /// `None`, if there are more than [`MAX_SERVICES`](super::MAX_SERVICES), or if the tags leave no room for them.
    ///
    /// # Errors
    ///
    /// The node has left. Nothing is changed.
    pub(crate) fn set_services(
        &mut self,
        now: Instant,
        services: Option<ServiceSet>,
    ) -> Result<(), TagError> {
        self.change_record(now, |record| Ok(record.set_services(services)))
    }

    fn change_record(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut Record) -> Result<bool, TagError>,
    ) -> Result<(), TagError> {
        if self.has_left() {
            return Err(TagError::Left);
        }
        let own = self.identity().id();
        {
            let mut shared = self.shared.lock();
            shared.now = now;
            let Some((record, _)) = shared.records.get_mut(&own) else {
                return Ok(());
            };
            let withheld = record.withholds_services();
            if !change(record)? {
                return Ok(());
            }
            if record.withholds_services() && !withheld {
                tracing::warn!(
                    tags = record.tags.len(),
                    most = MAX_TAGS,
                    "the tags leave no room for this node's services: it will be sent calls of any service"
                );
            }
            self.view.me.tags.clone_from(&record.tags);
            self.view.me.services = record.told_services().cloned();
            self.view.revision += 1;
        }
        self.broadcast_record(own);
        Ok(())
    }

    /// Leaves the cluster for good. To come back, create a new [`Node`] with a later generation.
    ///
    /// The driver goes on until `is_leave_complete`, or for as long as it has time. Without loss a leave takes a round
    /// trip. A second call does nothing.
    pub fn leave(&mut self, now: Instant) {
        if !self.has_left() {
            self.shared.lock().now = now;
            self.begin_leave(now);
        }
    }

    /// The next packet to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.next_transmit()
    }

    /// The time at which [`Node::handle_timeout`] is to be called. Changes with every input.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.out.timers.next()
    }

    /// The next change of the membership.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.out.next_event()
    }

    /// This node's identity. Its generation rises if the node was declared down although it lives
    /// ([`Event::Renewed`]).
    pub fn identity(&self) -> Identity {
        self.view.me.identity
    }

    /// All known nodes: this one first, then the others by id. Nodes that are down or have left are included until they
    /// are forgotten.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.view.members()
    }

    /// A number that rises whenever something about a member changes, even if there is no event for the change.
    pub(crate) fn revision(&self) -> u64 {
        self.view.revision
    }

    /// The known state of the node `id`, which may be this one.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.view.member(id)
    }

    /// This node's tags.
    pub(crate) fn tags(&self) -> &BTreeMap<String, String> {
        &self.view.me.tags
    }

    /// The services as last set, even if they are not announced to the others.
    pub(crate) fn services(&self) -> Option<ServiceSet> {
        self.shared.lock().record(self.identity().id()).and_then(|record| record.services.clone())
    }

    /// Returns whether [`Node::leave`] has been called.
    pub fn has_left(&self) -> bool {
        self.leaving.is_some()
    }

    /// The number of peers that have acknowledged this node's leave.
    pub(crate) fn leave_acknowledged(&self) -> usize {
        self.leaving.as_ref().map_or(0, Leaving::acknowledged)
    }

    /// Returns whether the node has left and waits for no further acknowledgement.
    pub(crate) fn is_leave_complete(&self) -> bool {
        self.leaving.as_ref().is_some_and(Leaving::is_complete)
    }

    /// The number of active nodes, this one included. It equals the number of [`members`](Self::members) that are alive
    /// or suspect, but is not counted anew at each call.
    pub fn active_count(&self) -> usize {
        self.foca.num_members() + 1
    }

    /// Returns whether no other node is active. The driver then announces to seeds again.
    pub(crate) fn is_isolated(&self) -> bool {
        self.foca.num_members() == 0
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("identity", &self.identity())
            .field("active_peers", &self.foca.num_members())
            .field("has_left", &self.has_left())
            .finish_non_exhaustive()
    }
}
