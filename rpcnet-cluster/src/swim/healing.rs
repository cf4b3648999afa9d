//! Recovery after a partition, after a false accusation, and after isolation.

use std::time::Instant;

use foca::State;

use super::{
    event::Event,
    identity::{Identity, Peer},
    member::MemberState,
    node::Node,
    timers::Task,
};

/// The number of times that this node takes a later generation than one other id at its address.
const OUTDO: u8 = 3;
/// The most ids that this node outdoes.
const MAX_OUTDONE: usize = 16;

/// The number of members that are down and are announced to at a time.
const ANNOUNCE_DOWN: usize = 2;

impl Node {
    pub(super) fn schedule_reconnect(&mut self, now: Instant) {
        let mut interval = self.config.reconnect_interval();
        // An isolated node announces more often: no other node can bring the two sides together.
        if self.is_isolated() {
            interval /= 4;
        }
        let wait = self.jittered(interval);
        self.out.timers.set(now + wait, Task::Reconnect);
    }

    /// Announces this node to some members that are down. foca itself would do so only while it has active members, and
    /// would announce to members that have left as well.
    pub(super) fn fire_reconnect(&mut self, now: Instant) {
        let down =
            self.view.sample(&mut self.rng, ANNOUNCE_DOWN, |member| member.state() == MemberState::Down);
        for identity in down {
            self.announce_to(now, identity);
        }
        self.schedule_reconnect(now);
        self.settle(now, None, false);
    }

    pub(super) fn announce_to(&mut self, now: Instant, to: Identity) {
        if let Err(error) = self.foca.announce(Peer(to), self.out.runtime(now)) {
            tracing::warn!(%error, %to, "could not announce");
        }
    }

    /// Follows foca, which has taken a new generation because this node was declared down.
    pub(super) fn renewed(&mut self, now: Instant, identity: Identity, from: Option<Identity>) {
        tracing::info!(%identity, "declared down although alive: renewed");
        self.go_on_as(now, identity);
        self.out.emit(Event::Renewed(identity));
        // The sender of the claim may be on the other side of a partition that has just ended.
        if let Some(from) = from {
            self.announce_to(now, from);
        }
    }

    /// Updates record and view to `identity`, which foca has taken.
    pub(super) fn go_on_as(&mut self, now: Instant, identity: Identity) {
        self.view.me.identity = identity;
        self.view.revision += 1;
        self.view.me.incarnation = 0;
        self.shared.lock().incarnation = 0;
        let own = identity.id();
        {
            let mut shared = self.shared.lock();
            shared.me = identity;
            if let Some((record, _)) = shared.records.get_mut(&own) {
                record.version.generation = record.version.generation.max(identity.generation());
                record.bump();
            }
        }
        self.broadcast_record(own);
        // Renewing voided foca's timers, and foca sets new ones only after a packet has addressed it by its new
        // identity. If its three packets with that identity are lost, no peer ever does.
        if let Err(error) = self.foca.apply_many(std::iter::empty(), true, self.out.runtime(now)) {
            tracing::warn!(%error, "could not resume after renewing");
        }
    }

    /// Tells a node that a later generation is known at its address, of its own id or of another id.
    ///
    /// The holder of that generation may be gone, as after a restart with a clock that went back. Then nothing else
    /// would tell the node why no peer listens.
    pub(super) fn tell_of_successor(&mut self, to: Identity) {
        let holder = self.view.holder(to.addr());
        if let Some(holder) = holder.filter(|holder| holder.identity().is_newer_than(&to)) {
            let (identity, incarnation) = (holder.identity(), holder.incarnation());
            self.tell_of(to, identity, incarnation, State::Alive);
        }
    }

    /// Takes a generation later than the one of `theirs`, which has this node's address and this node's id or another
    /// id. Returns false if that is not possible: then the two are in conflict.
    ///
    /// Most likely `theirs` is an earlier process at this address: otherwise packets would not arrive here. If the
    /// other node does live, each of the two repeats this [`OUTDO`] times only.
    pub(super) fn outdo(&mut self, now: Instant, theirs: Identity, from: Option<Identity>) -> bool {
        let identity = self.identity().with_generation(theirs.generation().saturating_add(1));
        let known = self.outdone.contains_key(&theirs.id());
        if theirs.addr() != identity.addr()
            || !identity.is_newer_than(&theirs)
            || (!known && self.outdone.len() >= MAX_OUTDONE)
        {
            return false;
        }
        let times = self.outdone.entry(theirs.id()).or_insert(0);
        // Several generations of an earlier life of this node's own id may still be known to peers, so these are not
        // limited.
        if *times >= OUTDO && theirs.id() != identity.id() {
            return false;
        }
        *times = times.saturating_add(1);
        if theirs.is_newer_than(&self.identity()) {
            self.take(now, identity, from);
        }
        true
    }

    /// Takes a still later generation if a peer had a record of an earlier life of this node with a later generation.
    /// Peers would otherwise take this node for its earlier life.
    pub(super) fn reclaim(&mut self, now: Instant) {
        let me = self.identity();
        let claimed = self.shared.lock().version(me.id());
        let Some(claimed) = claimed.filter(|claimed| claimed.generation > me.generation()) else {
            self.broadcast_record(me.id());
            return;
        };
        self.take(now, me.with_generation(claimed.generation), None);
    }

    fn take(&mut self, now: Instant, identity: Identity, from: Option<Identity>) {
        self.shared.lock().me = identity;
        match self.foca.change_identity(Peer(identity), self.out.runtime(now)) {
            Ok(()) => self.renewed(now, identity, from),
            Err(error) => tracing::warn!(%error, %identity, "could not take a later generation"),
        }
    }
}
