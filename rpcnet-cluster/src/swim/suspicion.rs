//! Suspicions: which members are suspected, which nodes confirm it, and how long a suspect has to answer.
//!
//! Lifeguard's dynamic suspicion (Dadgar, Phillips, Currey, 2018, section IV-B). A node that could not reach a member
//! gives it a long time to answer, and less with each further node that could not reach it either. A node whose own
//! messages are stuck hears no confirmations, so its suspicions last until it is well again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use foca::TimerToken;

use super::identity::{Identity, NodeId};

/// The number of confirmations after which a suspicion lasts for the shortest time.
const CONFIRMATIONS: usize = 3;

/// The most suspects that are kept track of. Suspicions of further members are not confirmed and last for the longest
/// time.
pub(super) const MAX_SUSPECTS: usize = 1024;

/// The claim that one node could not reach another.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Accusation {
    pub(super) accuser: NodeId,
    pub(super) suspect: NodeId,
    pub(super) generation: u64,
    pub(super) incarnation: u16,
}

impl Accusation {
    /// Returns whether this makes `other` obsolete: both are the same, or the suspect has answered since `other`.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        let since = |accusation: &Self| (accusation.generation, accusation.incarnation);
        self.suspect == other.suspect
            && (since(self) > since(other) || (since(self) == since(other) && self.accuser == other.accuser))
    }
}

/// The finding that this node itself could not reach the suspect, and will call it down.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct OwnSuspicion {
    pub(super) identity: Identity,
    pub(super) since: Instant,
    pub(super) token: TimerToken,
    /// True once the suspect was asked again, shortly before the end.
    pub(super) warned: bool,
}

#[derive(Debug)]
struct Suspicion {
    generation: u64,
    incarnation: u16,
    // At most one more than `CONFIRMATIONS`.
    accusers: Vec<NodeId>,
    own: Option<OwnSuspicion>,
}

/// The suspicions that this node knows of: one for each suspect, about its latest incarnation.
#[derive(Debug, Default)]
pub(super) struct Suspicions(BTreeMap<NodeId, Suspicion>);

impl Suspicions {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes an accusation. Returns whether it is news that makes a difference.
    pub(super) fn add(&mut self, accusation: Accusation) -> bool {
        let Accusation { accuser, suspect, generation, incarnation } = accusation;
        if self.0.len() >= MAX_SUSPECTS && !self.0.contains_key(&suspect) {
            return false;
        }
        let new = || Suspicion { generation, incarnation, accusers: Vec::new(), own: None };
        let known = self.0.entry(suspect).or_insert_with(new);
        match (generation, incarnation).cmp(&(known.generation, known.incarnation)) {
            std::cmp::Ordering::Less => return false,
            std::cmp::Ordering::Greater => *known = new(),
            std::cmp::Ordering::Equal => {}
        }
        if known.accusers.len() > CONFIRMATIONS || known.accusers.contains(&accuser) {
            return false;
        }
        known.accusers.push(accuser);
        true
    }

    /// This node's own suspicion of the suspect in this incarnation.
    pub(super) fn own(&self, suspect: NodeId, incarnation: u16) -> Option<OwnSuspicion> {
        self.0.get(&suspect).filter(|known| known.incarnation == incarnation)?.own
    }

    /// Returns whether the suspicion could be kept: an accusation of this incarnation must be known.
    pub(super) fn set_own(&mut self, suspect: NodeId, incarnation: u16, own: OwnSuspicion) -> bool {
        let known = self.0.get_mut(&suspect).filter(|known| known.incarnation == incarnation);
        known.map(|known| known.own = Some(own)).is_some()
    }

    /// The number of nodes besides this one that could not reach the suspect.
    pub(super) fn confirmations(&self, suspect: NodeId) -> usize {
        self.0
            .get(&suspect)
            .map_or(0, |known| known.accusers.len().saturating_sub(usize::from(known.own.is_some())))
    }

    pub(super) fn incarnation(&self, suspect: NodeId) -> Option<u16> {
        self.0.get(&suspect).map(|known| known.incarnation)
    }

    pub(super) fn remove(&mut self, suspect: NodeId) {
        self.0.remove(&suspect);
    }

    /// Drops the suspicions of nodes for which `suspected` does not hold.
    pub(super) fn retain(&mut self, suspected: impl Fn(NodeId) -> bool) {
        self.0.retain(|id, _| suspected(*id));
    }
}

/// The time that a suspect has to answer in a cluster of `nodes`. It falls with the logarithm of the number of
/// confirmations: from `most` without any to `least` with as many as there can be.
pub(super) fn patience(confirmations: usize, nodes: usize, least: Duration, most: Duration) -> Duration {
    // Neither the suspect nor this node confirms.
    let expected = CONFIRMATIONS.min(nodes.saturating_sub(2));
    if confirmations >= expected {
        return least;
    }
    let share = ((confirmations + 1) as f64).ln() / ((expected + 1) as f64).ln();
    most.saturating_sub(most.saturating_sub(least).mul_f64(share))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accusation(accuser: u128, incarnation: u16) -> Accusation {
        let id = NodeId::from_u128;
        Accusation { accuser: id(accuser), suspect: id(99), generation: 1, incarnation }
    }

    #[test]
    fn each_accuser_counts_once_and_for_one_incarnation() {
        let mut suspicions = Suspicions::default();
        let suspect = NodeId::from_u128(99);
        assert!(suspicions.add(accusation(1, 0)));
        assert!(!suspicions.add(accusation(1, 0)));
        assert!(suspicions.add(accusation(2, 0)));
        assert_eq!(suspicions.confirmations(suspect), 2);
        assert!(suspicions.add(accusation(1, 1)));
        assert!(!suspicions.add(accusation(3, 0)), "refuted");
        assert_eq!(suspicions.confirmations(suspect), 1);
    }

    #[test]
    fn accusers_are_bounded() {
        let mut suspicions = Suspicions::default();
        let taken = (0..100).filter(|accuser| suspicions.add(accusation(*accuser, 0))).count();
        assert_eq!(taken, CONFIRMATIONS + 1);
    }

    proptest! {
        #[test]
        fn patience_falls_with_confirmations_and_stays_in_bounds(nodes in 1usize..2000, least in 1u64..50, more in 0u64..500) {
            let (least, most) = (Duration::from_secs(least), Duration::from_secs(least + more));
            let all: Vec<_> = (0..8).map(|count| patience(count, nodes, least, most)).collect();
            prop_assert!(all.is_sorted_by(|a, b| a >= b));
            prop_assert!(all.iter().all(|time| (least..=most).contains(time)));
            prop_assert_eq!(all[CONFIRMATIONS], least);
            if nodes >= 3 {
                prop_assert_eq!(all[0], most);
            }
        }
    }
}
