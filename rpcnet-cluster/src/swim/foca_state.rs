//! State that the node shares with foca's callbacks.
//!
//! foca owns its codec and its broadcast handler and gives no access to them, so both hold a reference to this state.
//! Only one thread uses a node at a time: the lock is never contended.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
    time::Instant,
};

use rpcnet::__cluster::Mutex;

use super::{
    identity::{Identity, NodeId},
    record::{Item, Record, Version},
    statistics::Messages,
    suspicion::{Accusation, Suspicions},
    wire::{MAX_MEMBERS, WireError},
};

/// A member state that foca holds.
#[derive(Copy, Clone, Debug)]
pub(super) struct ObservedState {
    pub(super) identity: Identity,
    pub(super) incarnation: u16,
    pub(super) state: foca::State,
}

/// The lists are filled while foca handles one input and emptied right after it. One packet bounds each list except
/// `observed`. That one has at most one entry a member for each message that foca sends.
#[derive(Debug)]
pub(super) struct FocaState {
    pub(super) me: Identity,
    pub(super) records: BTreeMap<NodeId, (Record, Instant)>,
    pub(super) now: Instant,
    /// The member states that foca has encoded. foca encodes every change that it applies, in order. Otherwise it
    /// encodes only current states. So a comparison of these with the view finds all changes without a scan of the
    /// members.
    pub(super) observed: Vec<ObservedState>,
    /// The nodes whose record has changed.
    pub(super) changed: Vec<NodeId>,
    /// The nodes whose record the sender of the packet has in a newer version than this node.
    pub(super) wanted: Vec<NodeId>,
    /// The nodes that the packet calls active although they have left: its sender has missed their leave.
    pub(super) stale: Vec<NodeId>,
    pub(super) conflict: Option<Identity>,
    pub(super) messages: Messages,
    pub(super) suspicions: Suspicions,
    /// The nodes whose suspicion was confirmed.
    pub(super) confirmed: Vec<NodeId>,
    /// This node's incarnation, as foca last sent it.
    pub(super) incarnation: u16,
    /// The fingerprint of this node's view, which is sent with probes.
    pub(super) fingerprint: u64,
    /// Members that the packet calls down, which this node does not believe yet.
    pub(super) disbelieved: Vec<Identity>,
    /// The members that news goes to in place of the ones that foca has chosen.
    pub(super) near: Vec<Identity>,
}

#[derive(Clone, Debug)]
pub(super) struct FocaStateHandle(Arc<Mutex<FocaState>>);

impl FocaStateHandle {
    pub(super) fn new(me: Identity, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(FocaState {
            me,
            records: BTreeMap::new(),
            now,
            observed: Vec::new(),
            changed: Vec::new(),
            wanted: Vec::new(),
            stale: Vec::new(),
            conflict: None,
            messages: Messages::default(),
            suspicions: Suspicions::default(),
            confirmed: Vec::new(),
            incarnation: 0,
            fingerprint: 0,
            disbelieved: Vec::new(),
            near: Vec::new(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, FocaState> {
        self.0.lock()
    }
}

impl FocaState {
    pub(super) fn record(&self, id: NodeId) -> Option<&Record> {
        self.records.get(&id).map(|(record, _)| record)
    }

    pub(super) fn version(&self, id: NodeId) -> Option<Version> {
        self.record(id).map(|record| record.version)
    }

    /// Returns whether `identity` has left the cluster for good. Later generations of the node are not affected.
    pub(super) fn has_left(&self, identity: &Identity) -> bool {
        self.record(identity.id())
            .is_some_and(|record| record.left && record.version.generation >= identity.generation())
    }

    /// Keeps `record` if it is newer than the known one, and returns whether it was. A newer record of this node itself
    /// is not kept: only this node writes its record, and it answers with a newer one.
    pub(super) fn merge(&mut self, id: NodeId, record: Record) -> bool {
        if !record.replaces(self.record(id)) {
            return false;
        }
        if id != self.me.id() {
            if !self.records.contains_key(&id) && self.records.len() >= MAX_MEMBERS {
                tracing::warn!(%id, "record refused: as many nodes are known as can be");
                return false;
            }
            self.records.insert(id, (record, self.now));
            self.changed.push(id);
            return true;
        }
        self.foreign_claim(record.version);
        false
    }

    /// A peer holds a newer record of this node than the node itself: a record of an earlier life with a later
    /// generation or version. This node's record must win, or no peer would ever take it.
    fn foreign_claim(&mut self, claim: Version) {
        if let Some((own, _)) = self.records.get_mut(&self.me.id()) {
            // One generation beyond the claim, not the same one: the claim may be a leave, which ends its generation. A
            // version that can't be exceeded needs the next generation as well.
            if claim.generation > own.version.generation || claim.version == u64::MAX {
                own.version.generation = claim.generation + 1;
                own.version.version = 0;
            } else {
                own.version.version = own.version.version.max(claim.version) + 1;
            }
            self.changed.push(self.me.id());
        }
    }

    /// Notes a peer's belief about `identity`, before foca takes it in.
    pub(super) fn heard(&mut self, identity: &Identity, active: bool) {
        if !active {
            return;
        }
        let me = self.me;
        let same_addr = identity.addr() == me.addr();
        let same_id = identity.id() == me.id();
        if (same_addr || same_id) && identity.is_newer_than(&me) {
            self.conflict = Some(*identity);
        }
        if self.has_left(identity) {
            self.stale.push(identity.id());
        }
    }

    /// Takes a broadcast item from a peer. Returns whether the item is news that should be sent on.
    pub(super) fn receive(&mut self, id: NodeId, item: Item) -> bool {
        match item {
            Item::Whole(record) => self.merge(id, record),
            // The pointer is sent on only once the record is here: until then this node could not answer the nodes that
            // ask for it.
            Item::Pointer(version) => {
                if id != self.me.id() && self.version(id).is_none_or(|known| known < version) {
                    self.wanted.push(id);
                }
                false
            }
            Item::Accusation(accusation) => {
                let news = accusation.suspect != self.me.id() && self.suspicions.add(accusation);
                if news {
                    self.confirmed.push(accusation.suspect);
                }
                news
            }
        }
    }
}

/// The key by which one broadcast item replaces another.
#[derive(Copy, Clone, Debug)]
pub(super) enum ItemKey {
    Record { id: NodeId, version: Version },
    Accusation(Accusation),
}

impl foca::Invalidates for ItemKey {
    fn invalidates(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Record { id, version }, Self::Record { id: other, version: earlier }) => {
                id == other && version >= earlier
            }
            (Self::Accusation(new), Self::Accusation(old)) => new.replaces(old),
            _ => false,
        }
    }
}

impl foca::BroadcastHandler<super::identity::Peer> for FocaStateHandle {
    type Key = ItemKey;
    type Error = WireError;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&super::identity::Peer>,
    ) -> Result<Option<ItemKey>, WireError> {
        let (id, item) = Item::decode(data)?;
        let key = match &item {
            Item::Whole(record) => ItemKey::Record { id, version: record.version },
            Item::Pointer(version) => ItemKey::Record { id, version: *version },
            Item::Accusation(accusation) => ItemKey::Accusation(*accusation),
        };
        // An item without a sender is this node's own, and its content is stored already.
        let spread = sender.is_none() || self.lock().receive(id, item);
        Ok(spread.then_some(key))
    }
}
