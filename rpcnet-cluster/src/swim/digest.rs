//! Digests and deltas: the packets of anti-entropy.
//!
//! A digest names members with the versions that its sender knows of them. A delta carries members and records that the
//! receiver is known to lack.

use bytes::{BufMut, Bytes, BytesMut};
use foca::{Member, State};

use super::{
    codec::{put_member, read_member},
    fingerprint::Selection,
    identity::{NodeId, Peer},
    record::{Record, Version},
    wire::{PacketKind, PacketReader, WireError},
};

/// The size in bytes above which a delta is cut. With one more record it stays far below the largest frame.
const DELTA_CUT: usize = 64 * 1024;

/// The versions of one member's state and record, as one side knows them.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Summary {
    pub(super) id: NodeId,
    pub(super) member: Option<Precedence>,
    pub(super) record: Option<Version>,
}

/// A member's state in the order in which states replace each other.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Precedence {
    pub(super) generation: u64,
    pub(super) incarnation: u16,
    pub(super) state: State,
}

impl Precedence {
    /// Returns whether this state replaces `known`, in SWIM's order: Down beats all, a later incarnation beats an
    /// earlier one, and Suspect beats Alive at the same incarnation.
    pub(super) fn replaces(&self, known: Option<&Self>) -> bool {
        let rank = |standing: &Self| {
            let down = standing.state == State::Down;
            let incarnation = if down { 0 } else { standing.incarnation };
            let suspect = standing.state == State::Suspect;
            (standing.generation, down, incarnation, suspect)
        };
        known.is_none_or(|known| rank(self) > rank(known))
    }
}

const STATE: u8 = 0b0011;
const HAS_RECORD: u8 = 0b0100;
const SAME_GENERATION: u8 = 0b1000;

/// The length of the shortest summary in bytes.
const SUMMARY_MIN: usize = 17;

/// The set of members that a digest covers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum DigestScope {
    /// Only the named members. The sender asks for what is newer.
    Named,
    /// All members that the sender knows: it does not know the members that the digest does not name. Each side sends
    /// the entries that it has newer.
    Whole,
    /// All members in these groups.
    Groups(Selection),
}

impl DigestScope {
    /// Returns whether the sender would have named this member if it knew it.
    pub(super) fn contains(&self, id: NodeId) -> bool {
        match self {
            Self::Named => false,
            Self::Whole => true,
            Self::Groups(selection) => selection.contains(id),
        }
    }
}

#[derive(Debug)]
pub(super) struct Digest {
    pub(super) scope: DigestScope,
    pub(super) summaries: Vec<Summary>,
}

impl Digest {
    pub(super) fn encode(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(2 + self.summaries.len() * 40);
        buf.put_u8(PacketKind::Digest as u8);
        match &self.scope {
            DigestScope::Named => buf.put_u8(0),
            DigestScope::Whole => buf.put_u8(1),
            DigestScope::Groups(selection) => {
                buf.put_u8(2);
                selection.encode(&mut buf);
            }
        }
        for summary in &self.summaries {
            let generation = summary.member.map(|member| member.generation);
            let same =
                summary.record.is_some() && summary.record.map(|version| version.generation) == generation;
            let mut flags = match summary.member.map(|member| member.state) {
                None => 0,
                Some(State::Alive) => 1,
                Some(State::Suspect) => 2,
                Some(State::Down) => 3,
            };
            if summary.record.is_some() {
                flags |= HAS_RECORD;
            }
            if same {
                flags |= SAME_GENERATION;
            }
            buf.put_u8(flags);
            buf.put_u128(summary.id.as_u128());
            if let Some(member) = summary.member {
                buf.put_u64(member.generation);
                buf.put_u16(member.incarnation);
            }
            if let Some(record) = summary.record {
                if !same {
                    buf.put_u64(record.generation);
                }
                super::wire::put_varint(&mut buf, record.version);
            }
        }
        buf.freeze()
    }

    pub(super) fn decode(reader: &mut PacketReader<'_>) -> Result<Self, WireError> {
        let scope = match reader.u8()? {
            0 => DigestScope::Named,
            1 => DigestScope::Whole,
            2 => DigestScope::Groups(Selection::decode(reader)?),
            _ => return Err(WireError::Invalid),
        };
        let mut summaries = Vec::with_capacity(reader.remaining() / SUMMARY_MIN);
        while !reader.is_empty() {
            summaries.push(read_summary(reader)?);
        }
        Ok(Self { scope, summaries })
    }
}

fn read_summary(reader: &mut PacketReader<'_>) -> Result<Summary, WireError> {
    let flags = reader.u8()?;
    let id = reader.node_id()?;
    let state = match flags & STATE {
        1 => Some(State::Alive),
        2 => Some(State::Suspect),
        3 => Some(State::Down),
        _ => None,
    };
    let member = match state {
        Some(state) => {
            Some(Precedence { generation: reader.generation()?, incarnation: reader.u16()?, state })
        }
        None => None,
    };
    let record = if flags & HAS_RECORD != 0 {
        let generation = match member.filter(|_| flags & SAME_GENERATION != 0) {
            Some(member) => member.generation,
            None => reader.generation()?,
        };
        Some(Version { generation, version: reader.varint()? })
    } else {
        None
    };
    Ok(Summary { id, member, record })
}

const MEMBER: u8 = 0;
const RECORD: u8 = 1;

/// Collects members and records into as many packets as they need.
#[derive(Debug, Default)]
pub(super) struct DeltaWriter {
    frames: Vec<Bytes>,
    open: BytesMut,
}

impl DeltaWriter {
    pub(super) fn member(&mut self, member: &Member<Peer>) {
        self.begin(MEMBER);
        put_member(&mut self.open, member);
    }

    pub(super) fn record(&mut self, id: NodeId, record: &Record) {
        self.begin(RECORD);
        record.encode(id, &mut self.open);
    }

    fn begin(&mut self, what: u8) {
        if self.open.len() > DELTA_CUT {
            self.frames.push(self.open.split().freeze());
        }
        if self.open.is_empty() {
            self.open.put_u8(PacketKind::Delta as u8);
        }
        self.open.put_u8(what);
    }

    pub(super) fn finish(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.frames.push(self.open.freeze());
        }
        self.frames
    }
}

/// The contents of one delta. The packet's length bounds both lists: no entry is shorter than its smallest encoding.
#[derive(Debug, Default)]
pub(super) struct Delta {
    pub(super) members: Vec<Member<Peer>>,
    pub(super) records: Vec<(NodeId, Record)>,
}

impl Delta {
    pub(super) fn decode(reader: &mut PacketReader<'_>) -> Result<Self, WireError> {
        let mut delta = Self::default();
        while !reader.is_empty() {
            match reader.u8()? {
                MEMBER => delta.members.push(read_member(reader)?),
                RECORD => delta.records.push(Record::decode(reader)?),
                _ => return Err(WireError::Invalid),
            }
        }
        Ok(delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip() {
        let standing = |state| Precedence { generation: 7, incarnation: 3, state };
        let version = |generation| Version { generation, version: 300 };
        let cases = [
            (None, None),
            (Some(standing(State::Alive)), None),
            (Some(standing(State::Suspect)), Some(version(7))),
            (Some(standing(State::Down)), Some(version(8))),
            (None, Some(version(9))),
        ];
        let summaries: Vec<_> = (0..)
            .zip(cases)
            .map(|(id, (member, record))| Summary { id: NodeId::from_u128(id), member, record })
            .collect();
        let digest = Digest { scope: DigestScope::Whole, summaries };
        let bytes = digest.encode();
        let decoded = Digest::decode(&mut PacketReader::new(&bytes[1..])).unwrap();
        assert_eq!(decoded.scope, DigestScope::Whole);
        assert_eq!(decoded.summaries, digest.summaries);
    }

    #[test]
    fn down_beats_every_incarnation() {
        let standing = |incarnation, state| Precedence { generation: 1, incarnation, state };
        let down = standing(0, State::Down);
        assert!(down.replaces(Some(&standing(9, State::Alive))));
        assert!(!standing(9, State::Alive).replaces(Some(&down)));
        assert!(standing(1, State::Suspect).replaces(Some(&standing(1, State::Alive))));
        assert!(standing(2, State::Alive).replaces(Some(&standing(1, State::Suspect))));
        assert!(!down.replaces(Some(&standing(4, State::Down))));
    }
}
