//! Leaving, so that all members learn of it and none takes it for a crash.
//!
//! foca's leave is one unacknowledged packet to three members. Here the node sends the last record of this generation
//! with it, and directly to some members until they acknowledge it. After that the node passes no further input to
//! foca: a packet could bring the node back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    error::PacketError,
    identity::{Identity, NodeId},
    member::MemberState,
    node::Node,
    record::Record,
    timers::Task,
    wire::{PacketKind, PacketReader, WireError},
};

/// The number of members that are told directly.
const NOTIFIED: usize = 8;

/// The number of times that one member is told. Then a spare member is told in its place. If there is none, the member
/// is dropped once any member has acknowledged.
const TRIES: u8 = 6;

/// The longest time for which a leaver tells others. After it, no node that hears seems to be left.
const LONGEST: Duration = Duration::from_secs(60);

/// The progress of a node's leave.
#[derive(Debug)]
pub(super) struct Leaving {
    // At most `NOTIFIED`.
    waiting: BTreeMap<NodeId, (Identity, u8)>,
    // The members active when the node left, and only ever fewer.
    spare: Vec<Identity>,
    // Members of the two lists above, and peers that asked: no more than there were members.
    acknowledged: BTreeSet<NodeId>,
    notice: Bytes,
    since: Instant,
}

impl Leaving {
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Node {
    fn resend_interval(&self) -> Duration {
        self.config.gossip_interval()
    }

    pub(super) fn begin_leave(&mut self, now: Instant) {
        let me = self.identity();
        let mut notice = BytesMut::new();
        notice.put_u8(PacketKind::LeaveNotice as u8);
        if let Some((record, _)) = self.shared.lock().records.get_mut(&me.id()) {
            record.leave();
            record.encode(me.id(), &mut notice);
        }
        let mut peers = self.view.sample(&mut self.rng, usize::MAX, |member| member.state().is_active());
        self.broadcast_record(me.id());
        if let Err(error) = self.foca.leave_cluster(self.out.runtime(now)) {
            tracing::warn!(%error, "leave could not be gossiped");
        }
        self.out.notes.clear();
        self.out.timers.cancel_foca();
        let spare = peers.split_off(NOTIFIED.min(peers.len()));
        let waiting = peers.into_iter().map(|peer| (peer.id(), (peer, 0))).collect();
        self.view.me.state = MemberState::Left;
        self.view.revision += 1;
        self.leaving = Some(Leaving {
            waiting,
            spare,
            acknowledged: BTreeSet::new(),
            notice: notice.freeze(),
            since: now,
        });
        self.resend_leave(now);
    }

    pub(super) fn resend_leave(&mut self, now: Instant) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        if now.saturating_duration_since(leaving.since) >= LONGEST {
            leaving.waiting.clear();
            return;
        }
        let silent: Vec<_> =
            leaving.waiting.iter().filter(|(_, (_, tries))| *tries >= TRIES).map(|(id, _)| *id).collect();
        for id in silent {
            let spare = leaving.spare.pop();
            // The last members are told for as long as no member has acknowledged.
            if spare.is_some() || !leaving.acknowledged.is_empty() {
                leaving.waiting.remove(&id);
            }
            leaving.waiting.extend(spare.map(|peer| (peer.id(), (peer, 0))));
        }
        let mut due = Vec::new();
        for (peer, tries) in leaving.waiting.values_mut() {
            *tries = tries.saturating_add(1);
            due.push(*peer);
        }
        if due.is_empty() {
            return;
        }
        for peer in due {
            self.notify_leave(peer);
        }
        self.out.timers.set(now + self.resend_interval(), Task::ResendLeave);
    }

    pub(super) fn notify_leave(&mut self, to: Identity) {
        if let Some(leaving) = &self.leaving
            && !leaving.acknowledged.contains(&to.id())
        {
            let notice = leaving.notice.clone();
            self.send_by_size(to, notice);
        }
    }

    pub(super) fn handle_leave_ack(&mut self, from: Identity, generation: u64) {
        let current = self.identity().generation();
        if let Some(leaving) = &mut self.leaving
            && generation == current
            && self.view.member(from.id()).is_some()
        {
            leaving.waiting.remove(&from.id());
            leaving.acknowledged.insert(from.id());
        }
    }

    pub(super) fn handle_leave_notice(
        &mut self,
        now: Instant,
        from: Identity,
        reader: &mut PacketReader<'_>,
    ) -> Result<(), PacketError> {
        let (id, record) = Record::decode(reader)?;
        if id != from.id() {
            return Err(PacketError::ForeignSender { from });
        }
        if !record.left || !reader.is_empty() {
            return Err(WireError::Invalid.into());
        }
        let mut ack = BytesMut::with_capacity(9);
        ack.put_u8(PacketKind::LeaveAck as u8);
        ack.put_u64(record.version.generation);
        let merged = self.shared.lock().merge(id, record);
        if merged && !self.has_left() {
            self.broadcast_record(id);
        }
        self.send_by_size(from, ack.freeze());
        if self.has_left() {
            return Ok(());
        }
        self.settle(now, Some(from), false);
        Ok(())
    }
}
