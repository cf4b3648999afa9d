//! Claims that a member is down, held back while this node knows better.
//!
//! In foca a Down claim beats every other state, for good. One wrong claim would therefore spread to all. After a split
//! of the cluster, each half has a wrong claim about every member of the other half.
//!
//! So a node believes a peer's claim only if it has held the member suspect itself for a while, so that the suspicion
//! could have been refuted. Otherwise the node keeps the claim to itself and tells the accused. The accused takes a new
//! generation, which beats the claim everywhere. If no sign of life comes, the node believes the claim.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use foca::{Member, State};

use super::{
    codec::read_member,
    error::PacketError,
    identity::{Identity, NodeId, Peer},
    member::{self, MemberState},
    node::Node,
    timers::Task,
    wire::{MAX_MEMBERS, PacketReader},
};

/// The most claims that may wait. Further claims are believed.
const MAX_CLAIMS: usize = 4096;

/// The claims of other nodes that this node does not believe yet.
#[derive(Debug, Default)]
pub(super) struct DownClaims(BTreeMap<NodeId, DownClaim>);

#[derive(Debug)]
struct DownClaim {
    identity: Identity,
    incarnation: u16,
    until: Instant,
}

/// The number of times that peers are asked, while a claim waits, whether the accused had left.
const QUESTIONS: u32 = 4;

impl DownClaims {
    /// A packet from this node has come, so it lives.
    pub(super) fn heard(&mut self, id: NodeId) {
        self.0.remove(&id);
    }
}

impl Node {
    /// The time that the accused has to make itself heard.
    fn claim_patience(&self) -> Duration {
        self.config.probe_period() * 2
    }

    /// Returns whether this news is to be held back.
    pub(super) fn doubts(&self, now: Instant, member: &Member<Peer>) -> bool {
        let identity = member.id().0;
        if member.state() != State::Down || self.claims.0.len() >= MAX_CLAIMS {
            return false;
        }
        self.view.entry(identity.id()).is_some_and(|entry| {
            let suspected_for = entry.suspected_at.map(|at| now.saturating_duration_since(at));
            entry.member.identity() == identity
                && entry.member.state().is_active()
                && suspected_for.is_none_or(|time| time < self.config.probe_period())
        })
    }

    /// Reads what a packet says of members before foca does. Returns the members that are not to be believed down yet.
    ///
    /// # Errors
    ///
    /// The packet is malformed, or it names new members and there are as many as can be.
    pub(super) fn review(
        &self,
        now: Instant,
        src: Identity,
        mut reader: PacketReader<'_>,
    ) -> Result<Vec<Member<Peer>>, PacketError> {
        let full = self.member_count() >= MAX_MEMBERS;
        let room = |identity: &Identity| {
            if full && !self.view.knows_addr(identity.addr()) {
                Err(PacketError::TooManyMembers)
            } else {
                Ok(())
            }
        };
        room(&src)?;
        let mut claimed = Vec::new();
        if reader.remaining() < 2 {
            return Ok(claimed);
        }
        let is_down = |member: &member::Member| member.identity() == src && !member.state().is_active();
        // foca takes nothing from a sender that it holds down.
        let believed = !self.view.member(src.id()).is_some_and(is_down);
        for _ in 0..reader.u16()? {
            let member = read_member(&mut reader)?;
            room(&member.id().0)?;
            // A member may say anything of itself.
            if believed && member.id().0.id() != src.id() && self.doubts(now, &member) {
                claimed.push(member);
            }
        }
        Ok(claimed)
    }

    /// Holds back these claims of `from`.
    pub(super) fn hold(&mut self, now: Instant, from: Identity, claimed: &[Member<Peer>]) {
        for member in claimed {
            let (identity, incarnation) = (member.id().0, member.incarnation());
            let id = identity.id();
            let until = now + self.claim_patience();
            if let Entry::Vacant(vacant) = self.claims.0.entry(id) {
                vacant.insert(DownClaim { identity, incarnation, until });
                self.warn(identity, incarnation, State::Down);
                self.ask_about(Some(from), id);
                self.out.timers.set(now + self.claim_patience() / QUESTIONS, Task::Claim(id));
            }
        }
    }

    /// The time of the accused is over: the claim is believed, unless there was a sign of life.
    pub(super) fn fire_claim(&mut self, now: Instant, id: NodeId) {
        let Some(DownClaim { identity, incarnation, until }) = self.claims.0.remove(&id) else { return };
        let stands = self.view.member(id).is_some_and(|member| {
            member.identity() == identity
                && member.state().is_active()
                && (member.incarnation() <= incarnation || member.state() == MemberState::Suspect)
        });
        if !stands {
            return;
        }
        if now < until {
            self.claims.0.insert(id, DownClaim { identity, incarnation, until });
            self.ask_about(None, id);
            self.out.timers.set((now + self.claim_patience() / QUESTIONS).min(until), Task::Claim(id));
            return;
        }
        let down = std::iter::once(Member::new(Peer(identity), incarnation, State::Down));
        if let Err(error) = self.foca.apply_many(down, true, self.out.runtime(now)) {
            tracing::warn!(%error, "member could not be declared down");
        }
        // Peers have already been asked whether the member had left.
        self.settle(now, None, true);
    }
}
