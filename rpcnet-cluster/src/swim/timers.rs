//! The timers of a node: one for each slot, fired in order.
//!
//! Every slot holds one timer, and a later timer for a slot replaces the earlier one. The earlier one is void by then.
//! A periodic timer of foca's is set anew only after it fired or after its token was given up. A member's earlier timer
//! concerns an identity that has been replaced. So there are at most a fixed number of timers and four for each member.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::SocketAddr,
    time::Instant,
};

use super::identity::{NodeId, Peer};

/// The work to do when a timer fires.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    Foca(foca::Timer<Peer>),
    /// The news that a member is down has waited long enough, or it is time to ask another peer about the member.
    Verdict(NodeId),
    /// The member that another node has called down has had the time to refute the claim.
    Claim(NodeId),
    Sync,
    Reconnect,
    ResendLeave,
    Sweep,
    /// The time to send broadcasts of users on.
    Spread,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum TimerSlot {
    // foca's timers, in the order in which foca wants them fired at one instant.
    IndirectProbe,
    Probe,
    Suspect(SocketAddr),
    Announce,
    Gossip,
    Remove(SocketAddr),
    AnnounceDown,
    Verdict(NodeId),
    Claim(NodeId),
    Sync,
    Reconnect,
    ResendLeave,
    Sweep,
    Spread,
}

impl Task {
    fn slot(&self) -> TimerSlot {
        match self {
            Self::Foca(timer) => match timer {
                foca::Timer::SendIndirectProbe { .. } => TimerSlot::IndirectProbe,
                foca::Timer::ProbeRandomMember(_) => TimerSlot::Probe,
                foca::Timer::ChangeSuspectToDown { member_id, .. } => TimerSlot::Suspect(member_id.0.addr()),
                foca::Timer::PeriodicAnnounce(_) => TimerSlot::Announce,
                foca::Timer::PeriodicGossip(_) => TimerSlot::Gossip,
                foca::Timer::RemoveDown(member_id) => TimerSlot::Remove(member_id.0.addr()),
                foca::Timer::PeriodicAnnounceDown(_) => TimerSlot::AnnounceDown,
            },
            Self::Verdict(id) => TimerSlot::Verdict(*id),
            Self::Claim(id) => TimerSlot::Claim(*id),
            Self::Sync => TimerSlot::Sync,
            Self::Reconnect => TimerSlot::Reconnect,
            Self::ResendLeave => TimerSlot::ResendLeave,
            Self::Sweep => TimerSlot::Sweep,
            Self::Spread => TimerSlot::Spread,
        }
    }
}

/// The module's documentation gives the bound.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: BTreeMap<TimerSlot, (Instant, Task)>,
    queue: BTreeSet<(Instant, TimerSlot)>,
}

impl Timers {
    #[cfg(any(test, feature = "testing"))]
    /// The number of slots that concern no member.
    pub(super) const FIXED: usize = 10;

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn set(&mut self, at: Instant, task: Task) {
        let slot = task.slot();
        match self.slots.entry(slot) {
            Entry::Occupied(mut occupied) => {
                let (known_at, known) = occupied.get();
                // A suspect is probed again while its timer runs. The first accusation counts, not the last.
                if matches!(slot, TimerSlot::Suspect(_)) && *known == task && *known_at <= at {
                    return;
                }
                self.queue.remove(&(*known_at, slot));
                occupied.insert((at, task));
            }
            Entry::Vacant(vacant) => {
                vacant.insert((at, task));
            }
        }
        self.queue.insert((at, slot));
    }

    pub(super) fn is_set(&self, task: &Task) -> bool {
        self.slots.contains_key(&task.slot())
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The first timer due at `now`, by deadline and then by foca's order.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Task> {
        if self.next()? > now {
            return None;
        }
        let (_, slot) = self.queue.pop_first()?;
        self.slots.remove(&slot).map(|(_, task)| task)
    }

    /// Brings foca's next gossip forward to `at`, if it is due later.
    pub(super) fn hasten_gossip(&mut self, at: Instant) {
        if let Some((known_at, _)) = self.slots.get_mut(&TimerSlot::Gossip)
            && *known_at > at
        {
            self.queue.remove(&(*known_at, TimerSlot::Gossip));
            *known_at = at;
            self.queue.insert((at, TimerSlot::Gossip));
        }
    }

    pub(super) fn cancel_foca(&mut self) {
        self.slots.retain(|_, (_, task)| !matches!(task, Task::Foca(_)));
        self.queue.retain(|(_, slot)| self.slots.contains_key(slot));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foca::Timer;

    use super::*;
    use crate::swim::{Identity, tests::epoch};

    #[test]
    fn timers_due_together_fire_in_focas_order() {
        let now = epoch();
        let peer = Peer(Identity::new("10.0.0.1:1".parse().unwrap(), NodeId::from_u128(1), 1));
        let mut timers = Timers::default();
        let probe = Task::Foca(Timer::ProbeRandomMember(1));
        let indirect = Task::Foca(Timer::SendIndirectProbe { probed_id: peer, token: 1 });
        timers.set(now, Task::Sync);
        timers.set(now, probe.clone());
        timers.set(now, indirect.clone());
        timers.set(now + Duration::from_secs(1), Task::Sweep);
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(now)).collect();
        assert_eq!(fired, [indirect, probe, Task::Sync]);
        assert_eq!(timers.next(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn the_first_accusation_counts() {
        let now = epoch();
        let peer = Peer(Identity::new("10.0.0.1:1".parse().unwrap(), NodeId::from_u128(1), 1));
        let mut timers = Timers::default();
        let accuse =
            |incarnation| Task::Foca(Timer::ChangeSuspectToDown { member_id: peer, incarnation, token: 1 });
        timers.set(now + Duration::from_secs(4), accuse(0));
        timers.set(now + Duration::from_secs(5), accuse(0));
        assert_eq!(timers.next(), Some(now + Duration::from_secs(4)));
        timers.set(now + Duration::from_secs(6), accuse(1));
        assert_eq!(timers.next(), Some(now + Duration::from_secs(6)));
    }
}
