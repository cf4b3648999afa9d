//! The way from a failed probe to a verdict.
//!
//! foca suspects a member that it could not reach, and sets a timer of a fixed length after which it calls the member
//! down. This module withholds that timer. Until it is let go:
//!
//! - The accusation spreads with the accuser's name. Every node that could not reach the suspect either confirms it: by
//!   a failed probe of its own, or because it was asked to probe on behalf of another node and got no answer. Each
//!   confirmation shortens the suspect's time ([`patience`]).
//! - The suspect is told on a stream, at once and shortly before the end, so that loss alone kills no node.
//! - An accuser that was not well meanwhile ([`LocalHealth`](super::local_health::LocalHealth)) begins anew.

use std::time::Instant;

use foca::{Member, Message, State, Timer, TimerToken};

use super::{
    digest::DeltaWriter,
    identity::{Identity, NodeId, Peer},
    member::MemberState,
    node::{Delivery, Node},
    record::Item,
    suspicion::{Accusation, OwnSuspicion, patience},
    timers::Task,
};

/// The most members that this node remembers as probed for others without an answer. The list is emptied when it is
/// full.
pub(super) const MAX_RELAYED: usize = 256;

/// The divisor of the probe period that gives the time between the last question and the end.
const LAST_WORDS: u32 = 2;

/// The number of probe periods for which an unanswered relayed probe may confirm a suspicion.
const RELAYED_COUNTS: u32 = 4;

impl Node {
    pub(super) fn others(&self) -> usize {
        self.foca.num_members()
    }

    /// Follows up a failed probe of foca's: suspects the member.
    pub(super) fn accuse(&mut self, now: Instant, suspect: Identity, incarnation: u16, token: TimerToken) {
        self.counted.probes_failed += 1;
        if !self.view.is_still_suspect(&suspect, incarnation) {
            return;
        }
        self.confirm(suspect, incarnation);
        let known = self.shared.lock().suspicions.own(suspect.id(), incarnation);
        // A suspect is probed again while its time runs. The first accusation counts, unless renewing has voided its
        // token.
        if known.is_some_and(|own| own.token == token && own.identity == suspect) {
            return;
        }
        self.counted.suspicions_raised += 1;
        let own = OwnSuspicion { identity: suspect, since: now, token, warned: false };
        if self.shared.lock().suspicions.set_own(suspect.id(), incarnation, own) {
            self.schedule_down(suspect.id(), incarnation);
        } else {
            // There are more suspects than this node keeps track of.
            let until = now + self.config.longest_suspicion(self.others() + 1);
            self.set_down_timer(until, suspect, incarnation, token);
        }
        self.warn(suspect, incarnation, State::Suspect);
    }

    /// Spreads that this node could not reach the suspect, if this is news.
    fn confirm(&mut self, suspect: Identity, incarnation: u16) {
        let accusation = Accusation {
            accuser: self.identity().id(),
            suspect: suspect.id(),
            generation: suspect.generation(),
            incarnation,
        };
        if self.shared.lock().suspicions.add(accusation)
            && let Err(error) = self.foca.add_broadcast(&Item::encode_accusation(&accusation))
        {
            tracing::warn!(%error, %suspect, "accusation could not be broadcast");
        }
    }

    /// Tells a member what this node believes of it, so that the member can refute it.
    pub(super) fn warn(&mut self, member: Identity, incarnation: u16, state: State) {
        self.tell_of(member, member, incarnation, state);
    }

    /// Tells `to` that this node lives, after `to` has claimed otherwise.
    pub(super) fn protest(&mut self, to: Identity) {
        let incarnation = self.shared.lock().incarnation;
        self.tell_of(to, self.identity(), incarnation, State::Alive);
    }

    /// Sends the state of one member to `to`, on a stream.
    pub(super) fn tell_of(&mut self, to: Identity, member: Identity, incarnation: u16, state: State) {
        let mut delta = DeltaWriter::default();
        delta.member(&Member::new(Peer(member), incarnation, state));
        for frame in delta.finish() {
            self.out.send(to, Delivery::Stream, frame);
        }
    }

    /// Sets the timer of this node's own suspicion anew, after something about it has changed.
    pub(super) fn schedule_down(&mut self, suspect: NodeId, incarnation: u16) {
        let (own, confirmations) = {
            let shared = self.shared.lock();
            (shared.suspicions.own(suspect, incarnation), shared.suspicions.confirmations(suspect))
        };
        let Some(own) = own else { return };
        let nodes = self.others() + 1;
        let (least, most) = (self.config.shortest_suspicion(nodes), self.config.longest_suspicion(nodes));
        let mut until = own.since + patience(confirmations, nodes, least, most);
        if !own.warned {
            until -= self.config.probe_period() / LAST_WORDS;
        }
        self.set_down_timer(until, own.identity, incarnation, own.token);
    }

    /// Sets the timer anew because another node has confirmed the suspicion.
    pub(super) fn reschedule_down(&mut self, suspect: NodeId) {
        let incarnation = self.shared.lock().suspicions.incarnation(suspect);
        if let Some(incarnation) = incarnation {
            self.schedule_down(suspect, incarnation);
        }
    }

    fn set_down_timer(&mut self, at: Instant, suspect: Identity, incarnation: u16, token: TimerToken) {
        let timer = Timer::ChangeSuspectToDown { member_id: Peer(suspect), incarnation, token };
        self.out.timers.set(at, Task::Foca(timer));
    }

    /// Returns whether foca may call the suspect down, now that its time is over. Otherwise the suspect is asked once
    /// more.
    pub(super) fn may_condemn(&mut self, now: Instant, suspect: Identity, incarnation: u16) -> bool {
        if !self.view.is_still_suspect(&suspect, incarnation) {
            return false;
        }
        let Some(mut own) = self.shared.lock().suspicions.own(suspect.id(), incarnation) else {
            return true;
        };
        let period = self.config.probe_period();
        if self.health.doubts(own.since, now, self.others(), period) {
            own.since = now;
            own.warned = false;
        } else if own.warned {
            self.shared.lock().suspicions.remove(suspect.id());
            return true;
        } else {
            own.warned = true;
        }
        self.shared.lock().suspicions.set_own(suspect.id(), incarnation, own);
        self.warn(suspect, incarnation, State::Suspect);
        self.schedule_down(suspect.id(), incarnation);
        false
    }

    /// Keeps track of the probes that this node relays for other nodes.
    pub(super) fn relay(&mut self, now: Instant, from: Identity, message: &Message<Peer>) {
        match message {
            Message::PingReq { target, .. } => {
                if self.relayed.len() >= MAX_RELAYED {
                    self.relayed.clear();
                }
                self.relayed.insert(target.0.id(), now);
            }
            Message::IndirectAck { .. } => {
                self.relayed.remove(&from.id());
            }
            _ => {}
        }
    }

    /// Confirms the suspicions that other nodes have of these members, if this node could not reach them either.
    pub(super) fn second(&mut self, now: Instant, suspects: &[NodeId]) {
        for id in suspects {
            let Some(asked) = self.relayed.get(id) else { continue };
            let waited = now.saturating_duration_since(*asked);
            let Some(member) = self.view.member(*id).filter(|member| member.state() == MemberState::Suspect)
            else {
                continue;
            };
            let (identity, incarnation) = (member.identity(), member.incarnation());
            let counts = waited <= self.config.probe_period() * RELAYED_COUNTS;
            if waited >= self.config.probe_period() / 4 && counts {
                self.relayed.remove(id);
                self.confirm(identity, incarnation);
            }
        }
    }
}
