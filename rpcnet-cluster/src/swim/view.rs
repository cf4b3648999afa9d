//! The members as the user sees them, and the events that their changes make.
//!
//! foca keys members by address, and users think in node ids. The view is keyed by id, follows foca's states, and
//! decides which event each change is: foca neither reports suspicions nor tells a leave from a crash.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use foca::State;
use rand::{Rng, seq::IteratorRandom};

use super::{
    event::Event,
    foca_state::{FocaState, ObservedState},
    identity::{Identity, NodeId},
    member::{Member, MemberState},
};

#[derive(Debug)]
pub(super) struct MemberEntry {
    pub(super) member: Member,
    /// True while the user has been told that the member joined, and not that it ended.
    joined: bool,
    /// The time until which the news that the member is down waits for the news that it had left.
    pub(super) verdict_at: Option<Instant>,
    /// The time since which the member has been suspect, in any incarnation.
    pub(super) suspected_at: Option<Instant>,
    changed: Instant,
}

/// The consequences of a change of the view.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) events: Vec<Event>,
    /// Identities that foca takes for active although they are not: foca must be told.
    pub(super) bury: Vec<Identity>,
    /// Members that are newly down and may have left: it is not known yet.
    pub(super) unclear: Vec<NodeId>,
}

/// The time that news of a member being down waits for the news that it had left.
#[derive(Copy, Clone, Debug)]
pub(super) struct Grace {
    pub(super) unsuspected: Duration,
    pub(super) suspected: Duration,
}

#[derive(Debug)]
pub(super) struct View {
    pub(super) me: Member,
    /// Rises whenever something about a member changes.
    pub(super) revision: u64,
    // Bounded by foca's members, which `Node` bounds, plus the members that moved to another address.
    entries: BTreeMap<NodeId, MemberEntry>,
    by_addr: BTreeMap<SocketAddr, NodeId>,
    grace: Grace,
}

impl View {
    pub(super) fn new(me: Identity, grace: Grace) -> Self {
        Self {
            me: Member {
                identity: me,
                state: MemberState::Alive,
                incarnation: 0,
                tags: BTreeMap::new(),
                services: None,
            },
            revision: 1,
            entries: BTreeMap::new(),
            by_addr: BTreeMap::new(),
            grace,
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.me).chain(self.others())
    }

    pub(super) fn others(&self) -> impl Iterator<Item = &Member> {
        self.entries.values().map(|entry| &entry.member)
    }

    pub(super) fn member(&self, id: NodeId) -> Option<&Member> {
        if id == self.me.id() { Some(&self.me) } else { self.entries.get(&id).map(|entry| &entry.member) }
    }

    pub(super) fn entry(&self, id: NodeId) -> Option<&MemberEntry> {
        self.entries.get(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The member at this address.
    pub(super) fn holder(&self, addr: SocketAddr) -> Option<&Member> {
        self.by_addr.get(&addr).and_then(|id| self.entries.get(id)).map(|entry| &entry.member)
    }

    pub(super) fn knows_addr(&self, addr: SocketAddr) -> bool {
        self.by_addr.contains_key(&addr)
    }

    /// Up to `count` random others for which `pick` holds. Scans all members, so it is for rare occasions and not for
    /// each packet.
    pub(super) fn sample(
        &self,
        rng: &mut impl Rng,
        count: usize,
        pick: impl Fn(&Member) -> bool,
    ) -> Vec<Identity> {
        self.others().filter(|member| pick(member)).map(Member::identity).sample(rng, count)
    }

    /// Takes in a state that foca holds. `certain` says that this node found the state out itself and not from gossip.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        seen: ObservedState,
        certain: bool,
        shared: &FocaState,
        verdicts: &mut Verdicts,
    ) {
        let identity = seen.identity;
        let active = seen.state != State::Down;
        if identity.id() == self.me.id() || identity.addr() == self.me.identity.addr() {
            // The identity is an earlier life of this node, at an earlier address. At this node's own address foca has
            // refused it already.
            if active
                && self.me.identity.is_newer_than(&identity)
                && identity.addr() != self.me.identity.addr()
            {
                verdicts.bury.push(identity);
            }
            return;
        }
        let left = shared.has_left(&identity);
        if active && left {
            verdicts.bury.push(identity);
        }
        let known = self.entries.get(&identity.id()).map(|entry| entry.member.identity);
        if let Some(known) = known.filter(|known| known.generation() > identity.generation()) {
            if active && known.addr() != identity.addr() {
                verdicts.bury.push(identity);
            }
            return;
        }
        self.displace(now, &identity, verdicts);
        match known {
            Some(known) if known == identity => self.change(now, seen, certain, left, shared, verdicts),
            Some(known)
                if active && !left && identity.is_moved_from(&known) && self.has_joined(known.id()) =>
            {
                self.relocate(now, seen, known, shared, verdicts);
            }
            Some(known) => {
                self.fail(now, identity.id(), verdicts);
                if known.addr() != identity.addr() {
                    self.by_addr.remove(&known.addr());
                    verdicts.bury.push(known);
                }
                self.insert(now, seen, left, shared, verdicts);
            }
            None => self.insert(now, seen, left, shared, verdicts),
        }
    }

    /// Fails the node whose address `identity` has taken, if it is another one.
    fn displace(&mut self, now: Instant, identity: &Identity, verdicts: &mut Verdicts) {
        let previous = self.by_addr.insert(identity.addr(), identity.id());
        let Some(previous) = previous.filter(|previous| *previous != identity.id()) else {
            return;
        };
        self.fail(now, previous, verdicts);
    }

    /// Returns whether the user has been told that the member joined, and not that it ended.
    fn has_joined(&self, id: NodeId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.joined)
    }

    /// Moves the member `from` to its new address.
    fn relocate(
        &mut self,
        now: Instant,
        seen: ObservedState,
        from: Identity,
        shared: &FocaState,
        verdicts: &mut Verdicts,
    ) {
        let id = from.id();
        if self.by_addr.get(&from.addr()) == Some(&id) {
            self.by_addr.remove(&from.addr());
        }
        verdicts.bury.push(from);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        self.revision += 1;
        let was_suspect = entry.suspected_at.is_some();
        let is_suspect = state_of(seen.state) == MemberState::Suspect;
        entry.verdict_at = None;
        entry.suspected_at = is_suspect.then_some(now);
        entry.changed = now;
        entry.member.identity = seen.identity;
        entry.member.incarnation = seen.incarnation;
        entry.member.state = state_of(seen.state);
        if let Some(record) = shared.record(id).filter(|record| !record.left) {
            entry.member.services = record.told_services().cloned();
            entry.member.tags.clone_from(&record.tags);
        }
        verdicts.events.push(Event::NodeMoved { from, member: entry.member.clone() });
        match (was_suspect, is_suspect) {
            (true, false) => verdicts.events.push(Event::NodeRecovered(entry.member.clone())),
            (false, true) => verdicts.events.push(Event::NodeSuspect(entry.member.clone())),
            _ => {}
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        seen: ObservedState,
        left: bool,
        shared: &FocaState,
        verdicts: &mut Verdicts,
    ) {
        self.revision += 1;
        let id = seen.identity.id();
        let joined = seen.state != State::Down && !left;
        let record = shared.record(id).filter(|record| !record.left);
        let member = Member {
            identity: seen.identity,
            state: if left { MemberState::Left } else { state_of(seen.state) },
            incarnation: seen.incarnation,
            tags: record.map(|record| record.tags.clone()).unwrap_or_default(),
            services: record.and_then(|record| record.told_services().cloned()),
        };
        if joined {
            verdicts.events.push(Event::NodeJoined(member.clone()));
            if member.state == MemberState::Suspect {
                verdicts.events.push(Event::NodeSuspect(member.clone()));
            }
        }
        let suspected_at = (member.state == MemberState::Suspect).then_some(now);
        let entry = MemberEntry { member, joined, verdict_at: None, suspected_at, changed: now };
        self.entries.insert(id, entry);
    }

    fn change(
        &mut self,
        now: Instant,
        seen: ObservedState,
        certain: bool,
        left: bool,
        shared: &FocaState,
        verdicts: &mut Verdicts,
    ) {
        let id = seen.identity.id();
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut entry.member.incarnation, seen.incarnation) != seen.incarnation {
            self.revision += 1;
        }
        let (old, new) = (entry.member.state, state_of(seen.state));
        if old == new || left {
            return;
        }
        self.revision += 1;
        match (old, new) {
            (MemberState::Alive, MemberState::Suspect) => {
                entry.member.state = new;
                entry.suspected_at = Some(now);
                verdicts.events.push(Event::NodeSuspect(entry.member.clone()));
            }
            (MemberState::Suspect, MemberState::Alive) => {
                entry.member.state = new;
                entry.suspected_at = None;
                verdicts.events.push(Event::NodeRecovered(entry.member.clone()));
            }
            (MemberState::Alive | MemberState::Suspect, MemberState::Down) => {
                entry.changed = now;
                if certain {
                    self.fail(now, id, verdicts);
                } else {
                    entry.member.state = new;
                    let wait = if old == MemberState::Suspect {
                        self.grace.suspected
                    } else {
                        self.grace.unsuspected
                    };
                    entry.verdict_at = Some(now + wait);
                    verdicts.unclear.push(id);
                }
            }
            // foca has forgotten that the member was down and has heard of it again.
            (MemberState::Down | MemberState::Left, MemberState::Alive | MemberState::Suspect) => {
                self.fail(now, id, verdicts);
                self.insert(now, seen, left, shared, verdicts);
            }
            _ => {}
        }
    }

    /// Ends the member as down: it had not left.
    pub(super) fn fail(&mut self, now: Instant, id: NodeId, verdicts: &mut Verdicts) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        self.revision += 1;
        entry.verdict_at = None;
        if entry.member.state != MemberState::Left && entry.member.state != MemberState::Down {
            entry.member.state = MemberState::Down;
            entry.changed = now;
        }
        if std::mem::take(&mut entry.joined) {
            verdicts.events.push(Event::NodeFailed(entry.member.clone()));
        }
    }

    /// Takes in the changed record of `id`.
    pub(super) fn record_changed(
        &mut self,
        now: Instant,
        id: NodeId,
        shared: &FocaState,
        verdicts: &mut Verdicts,
    ) {
        let (Some(entry), Some(record)) = (self.entries.get_mut(&id), shared.record(id)) else {
            return;
        };
        self.revision += 1;
        if record.left {
            if entry.member.state == MemberState::Left {
                return;
            }
            if record.version.generation < entry.member.identity.generation() {
                entry.member.services = None;
                // An earlier life has left. Its tags were shown for this life, in case the node had only been renewed.
                if !std::mem::take(&mut entry.member.tags).is_empty() && entry.joined {
                    verdicts.events.push(Event::TagsChanged(entry.member.clone()));
                }
                return;
            }
            if entry.member.state.is_active() {
                verdicts.bury.push(entry.member.identity);
            }
            entry.member.state = MemberState::Left;
            entry.verdict_at = None;
            entry.changed = now;
            if std::mem::take(&mut entry.joined) {
                verdicts.events.push(Event::NodeLeft(entry.member.clone()));
            }
            return;
        }
        if entry.member.services.as_ref() != record.told_services() {
            entry.member.services = record.told_services().cloned();
        }
        if entry.member.tags != record.tags {
            entry.member.tags.clone_from(&record.tags);
            if entry.joined {
                verdicts.events.push(Event::TagsChanged(entry.member.clone()));
            }
        }
    }

    /// Returns whether the member is still suspect in the incarnation in which it was accused.
    pub(super) fn is_still_suspect(&self, identity: &Identity, incarnation: u16) -> bool {
        self.entries.get(&identity.id()).is_some_and(|entry| {
            entry.member.identity == *identity
                && entry.member.state == MemberState::Suspect
                && entry.member.incarnation == incarnation
        })
    }

    /// Returns whether news of this member need not reach nodes that have never heard of it. If it did, memories of
    /// nodes long gone would go round for ever: each node would forget them and learn them anew.
    pub(super) fn is_gone(&self, id: NodeId) -> bool {
        self.entries.get(&id).is_none_or(|entry| !entry.member.state.is_active())
    }

    /// Forgets members that have been gone for `after`.
    pub(super) fn forget(&mut self, now: Instant, after: Duration) {
        self.revision += 1;
        let by_addr = &mut self.by_addr;
        self.entries.retain(|id, entry| {
            let keep = entry.member.state.is_active()
                || entry.verdict_at.is_some()
                || now.saturating_duration_since(entry.changed) < after;
            let addr = entry.member.identity.addr();
            if !keep && by_addr.get(&addr) == Some(id) {
                by_addr.remove(&addr);
            }
            keep
        });
    }
}

fn state_of(state: State) -> MemberState {
    match state {
        State::Alive => MemberState::Alive,
        State::Suspect => MemberState::Suspect,
        State::Down => MemberState::Down,
    }
}
