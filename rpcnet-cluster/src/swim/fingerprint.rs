//! Fingerprints of views: a few bytes by which two nodes find out whether they know the same.
//!
//! Each active member is hashed with the versions of its state and record. The fingerprint of a view is the exclusive
//! or of these hashes, so it needs no order, and equal views have equal fingerprints. A ping and its answer carry the
//! fingerprint: for eight bytes a packet, a node that has missed a piece of news finds out within a probe period or
//! two.
//!
//! If two fingerprints differ, the same hashes over groups of members tell which groups to compare (a Merkle tree of
//! two levels). Members that are gone are left out, because nodes remember different ones.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use foca::State;

use super::{
    digest::Summary,
    identity::NodeId,
    wire::{PacketKind, PacketReader, WireError},
};

/// The base-two logarithm of the largest number of groups.
const MOST_LEVELS: u8 = 10;

/// The approximate number of members in a group.
const GROUP: usize = 16;

/// The bit of a fingerprint that its sender sets after it has learnt nothing for a while. Only between two such senders
/// does a difference mean anything.
const QUIET: u64 = 1;

/// A view's fingerprint, as kept by its node.
#[derive(Debug)]
pub(super) struct Fingerprint {
    /// The view's revision that the fingerprint was made from.
    revision: u64,
    hash: u64,
    changed: Instant,
    /// Before this instant no peer is asked for a comparison.
    pub(super) rests_until: Instant,
}

impl Fingerprint {
    pub(super) fn new(now: Instant) -> Self {
        Self { revision: 0, hash: 0, changed: now, rests_until: now }
    }

    /// Returns whether the view has changed since the fingerprint was made.
    pub(super) fn is_stale(&self, revision: u64) -> bool {
        self.revision != revision
    }

    pub(super) fn renew(&mut self, now: Instant, revision: u64, hash: u64) {
        self.revision = revision;
        if self.hash != hash {
            self.hash = hash;
            self.changed = now;
        }
    }

    /// The form that is sent: with [`QUIET`] set or cleared.
    pub(super) fn encoded(&self, now: Instant, quiet_after: Duration) -> u64 {
        (self.hash & !QUIET) | if self.is_quiet(now, quiet_after) { QUIET } else { 0 }
    }

    /// Returns whether nothing has changed for `quiet_after`.
    pub(super) fn is_quiet(&self, now: Instant, quiet_after: Duration) -> bool {
        now.saturating_duration_since(self.changed) >= quiet_after
    }
}

/// Returns whether two fingerprints, in the form that is sent, are of different views and both senders have been quiet
/// for long enough to have converged.
pub(super) fn differ(ours: u64, theirs: u64) -> bool {
    ours & theirs & QUIET != 0 && (ours ^ theirs) & !QUIET != 0
}

/// SplitMix64's finalizer (Steele, Lea, Flood, 2014). It is not keyed: a peer that may send us packets has better ways
/// to mislead us.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn mix_id(id: NodeId) -> u64 {
    let bits = id.as_u128();
    mix((bits as u64).wrapping_add(mix((bits >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15)))
}

/// A member's contribution to the fingerprint. Only fields that change rarely are hashed: under loss, suspicions and
/// their refutations come and go all the time, and a view that included them would never be quiet.
pub(super) fn hash(summary: &Summary) -> u64 {
    let Some(member) = summary.member.filter(|member| member.state != State::Down) else { return 0 };
    let (generation, version) =
        summary.record.map_or((0, 0), |version| (version.generation, version.version));
    let parts = [member.generation, u64::from(summary.record.is_some()), generation, version];
    parts.iter().fold(mix_id(summary.id), |hash, part| mix(hash.wrapping_mul(3).wrapping_add(*part)))
}

/// A member's contribution to its group: the rarely changing fields, its incarnation, and whether it is suspect.
fn full_hash(summary: &Summary) -> u64 {
    let Some(member) = summary.member.filter(|member| member.state != State::Down) else { return 0 };
    let suspect = u64::from(member.state == State::Suspect);
    mix(hash(summary).wrapping_add(u64::from(member.incarnation) << 1 | suspect))
}

/// The base-two logarithm of the number of groups for a cluster of `nodes`.
fn levels(nodes: usize) -> u8 {
    let groups = nodes.div_ceil(GROUP).next_power_of_two();
    (groups.trailing_zeros() as u8).min(MOST_LEVELS)
}

/// The group that a member belongs to.
fn group(id: NodeId, levels: u8) -> usize {
    (mix_id(id) & ((1 << levels) - 1)) as usize
}

/// A hash for each group of members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Groups {
    levels: u8,
    hashes: Vec<u32>,
}

impl Groups {
    pub(super) fn new(nodes: usize, summaries: impl Iterator<Item = Summary>) -> Self {
        Self::with_levels(levels(nodes), summaries)
    }

    /// The hashes of `summaries`, in as many groups as `other` has.
    pub(super) fn like(other: &Self, summaries: impl Iterator<Item = Summary>) -> Self {
        Self::with_levels(other.levels, summaries)
    }

    fn with_levels(levels: u8, summaries: impl Iterator<Item = Summary>) -> Self {
        let mut hashes = vec![0; 1 << levels];
        for summary in summaries {
            hashes[group(summary.id, levels)] ^= full_hash(&summary) as u32;
        }
        Self { levels, hashes }
    }

    /// The groups whose hashes differ.
    pub(super) fn difference(&self, other: &Self) -> Selection {
        let mut selection = Selection { levels: self.levels, bits: vec![0; self.hashes.len().div_ceil(8)] };
        for (index, (ours, theirs)) in self.hashes.iter().zip(&other.hashes).enumerate() {
            if ours != theirs {
                selection.bits[index / 8] |= 1 << (index % 8);
            }
        }
        selection
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(2 + 4 * self.hashes.len());
        buf.put_u8(PacketKind::Groups as u8);
        buf.put_u8(self.levels);
        for hash in &self.hashes {
            buf.put_u32(*hash);
        }
        buf.freeze()
    }

    pub(super) fn decode(reader: &mut PacketReader<'_>) -> Result<Self, WireError> {
        let levels = read_levels(reader)?;
        let hashes = (0..1usize << levels).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        if reader.is_empty() { Ok(Self { levels, hashes }) } else { Err(WireError::Invalid) }
    }
}

fn read_levels(reader: &mut PacketReader<'_>) -> Result<u8, WireError> {
    let levels = reader.u8()?;
    if levels > MOST_LEVELS { Err(WireError::Invalid) } else { Ok(levels) }
}

/// A set of groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Selection {
    levels: u8,
    bits: Vec<u8>,
}

impl Selection {
    pub(super) fn is_empty(&self) -> bool {
        self.bits.iter().all(|bits| *bits == 0)
    }

    pub(super) fn contains(&self, id: NodeId) -> bool {
        let index = group(id, self.levels);
        self.bits[index / 8] & (1 << (index % 8)) != 0
    }

    pub(super) fn encode(&self, buf: &mut impl BufMut) {
        buf.put_u8(self.levels);
        buf.put_slice(&self.bits);
    }

    pub(super) fn decode(reader: &mut PacketReader<'_>) -> Result<Self, WireError> {
        let levels = read_levels(reader)?;
        let bits = reader.bytes((1usize << levels).div_ceil(8))?.to_vec();
        Ok(Self { levels, bits })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::swim::{digest::Precedence, record::Version};

    fn summary(id: u128, incarnation: u16, version: u64) -> Summary {
        Summary {
            id: NodeId::from_u128(id),
            member: Some(Precedence { generation: 1, incarnation, state: State::Alive }),
            record: Some(Version { generation: 1, version }),
        }
    }

    proptest! {
        #[test]
        fn the_group_of_what_differs_is_found(count in 1u128..300, changed in 0u128..300, version in 1u64..9) {
            let changed = changed % count;
            let all = (0..count).map(|id| summary(id, 0, 0));
            let other = (0..count).rev().map(|id| summary(id, 0, if id == changed { version } else { 0 }));
            let ours = Groups::new(count as usize, all.clone());
            prop_assert!(ours.difference(&Groups::like(&ours, all.clone())).is_empty());
            let difference = ours.difference(&Groups::like(&ours, other.clone()));
            prop_assert!(difference.contains(NodeId::from_u128(changed)));
            let fold = |summaries: &mut dyn Iterator<Item = Summary>| summaries.fold(0, |all, one| all ^ hash(&one));
            prop_assert_ne!(fold(&mut all.clone()), fold(&mut other.clone()));
        }

        #[test]
        fn groups_round_trip(count in 0u128..3000) {
            let groups = Groups::new(count as usize, (0..count).map(|id| summary(id, 1, 2)));
            let bytes = groups.encode();
            prop_assert_eq!(Groups::decode(&mut PacketReader::new(&bytes[1..])), Ok(groups));
        }

        #[test]
        fn any_bytes_are_groups_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Groups::decode(&mut PacketReader::new(&bytes));
            let _ = Selection::decode(&mut PacketReader::new(&bytes));
        }
    }

    #[test]
    fn only_quiet_views_differ() {
        assert!(differ(5, 3));
        assert!(!differ(5, 5));
        assert!(!differ(4, 3));
        assert!(!differ(5, 2));
    }

    #[test]
    fn the_gone_do_not_count() {
        let mut gone = summary(1, 0, 0);
        gone.member = Some(Precedence { generation: 1, incarnation: 0, state: State::Down });
        assert_eq!(hash(&gone), 0);
    }
}
