//! Versioned records: a node's statements about itself, which are its tags, its services and whether it has left.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::BufMut;
use rpcnet::discover::ServiceSet;

use super::{
    error::TagError,
    identity::NodeId,
    services,
    suspicion::Accusation,
    wire::{PacketReader, WireError, put_varint},
};

/// The largest number of tags that a node may have.
pub const MAX_TAGS: usize = 64;

/// The longest key of a tag, in bytes.
pub const MAX_TAG_KEY: usize = 64;

/// The longest value of a tag, in bytes.
pub const MAX_TAG_VALUE: usize = 256;

/// The order of the records of one node: the newest wins.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Version {
    pub(super) generation: u64,
    pub(super) version: u64,
}

/// A node's statements about itself.
///
/// The derived order is the merge: the larger record wins. The version comes first. The other fields matter only if two
/// records have one version, which should never happen: all nodes then still choose the same one. A maximum is
/// commutative, associative and idempotent.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Record {
    pub(super) version: Version,
    /// The last record of its generation. It carries neither tags nor services, so that it fits any packet.
    pub(super) left: bool,
    pub(super) tags: BTreeMap<String, String>,
    /// The services that the node serves. `None` means that it may serve any.
    pub(super) services: Option<ServiceSet>,
}

impl Record {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            version: Version { generation, version: 0 },
            left: false,
            tags: BTreeMap::new(),
            services: None,
        }
    }

    /// The services that are sent: `None` if there are too many, or if the tags leave no room for them.
    pub(super) fn told_services(&self) -> Option<&ServiceSet> {
        self.services.as_ref().filter(|services| services::fit(services, self.tags.len()))
    }

    /// Returns true if the services are known and are not sent.
    pub(super) fn withholds_services(&self) -> bool {
        self.services.is_some() && self.told_services().is_none()
    }

    /// Returns true if that changes the record.
    pub(super) fn set_services(&mut self, services: Option<ServiceSet>) -> bool {
        let changed = self.services != services;
        if changed {
            self.services = services;
            self.bump();
        }
        changed
    }

    /// Returns whether `self` should replace `known`.
    pub(super) fn replaces(&self, known: Option<&Self>) -> bool {
        known.is_none_or(|known| self > known)
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<bool, TagError> {
        match key.len() {
            0 => return Err(TagError::EmptyKey),
            len if len > MAX_TAG_KEY => return Err(TagError::KeyTooLong { len }),
            _ => {}
        }
        if value.len() > MAX_TAG_VALUE {
            return Err(TagError::ValueTooLong { len: value.len() });
        }
        if let Some(known) = self.tags.get(key) {
            if known == value {
                return Ok(false);
            }
        } else if self.tags.len() == MAX_TAGS {
            return Err(TagError::TooManyTags);
        }
        self.tags.insert(key.to_owned(), value.to_owned());
        self.bump();
        Ok(true)
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        let removed = self.tags.remove(key).is_some();
        if removed {
            self.bump();
        }
        removed
    }

    pub(super) fn bump(&mut self) {
        self.version.version = self.version.version.saturating_add(1);
    }

    pub(super) fn leave(&mut self) {
        self.tags.clear();
        self.services = None;
        self.left = true;
        self.bump();
    }

    pub(super) fn encode(&self, id: NodeId, buf: &mut impl BufMut) {
        put_version(buf, id, self.version);
        buf.put_u8(u8::from(self.left));
        let mut tags = Cow::Borrowed(&self.tags);
        if let Some(services) = self.told_services() {
            services::put(services, tags.to_mut());
        }
        buf.put_u8(tags.len() as u8);
        for (key, value) in &*tags {
            buf.put_u8(key.len() as u8);
            buf.put_slice(key.as_bytes());
            buf.put_u16(value.len() as u16);
            buf.put_slice(value.as_bytes());
        }
    }

    pub(super) fn decode(reader: &mut PacketReader<'_>) -> Result<(NodeId, Self), WireError> {
        let (id, version) = read_version(reader)?;
        let left = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::Invalid),
        };
        let count = usize::from(reader.u8()?);
        if count > MAX_TAGS || (left && count > 0) {
            return Err(WireError::Invalid);
        }
        let mut tags = BTreeMap::new();
        for _ in 0..count {
            let key_len = usize::from(reader.u8()?);
            let key = text(reader.bytes(key_len)?, MAX_TAG_KEY)?;
            let value_len = usize::from(reader.u16()?);
            let value = text(reader.bytes(value_len)?, MAX_TAG_VALUE)?;
            if key.is_empty() || tags.insert(key, value).is_some() {
                return Err(WireError::Invalid);
            }
        }
        let services = services::take(&mut tags);
        Ok((id, Self { version, left, tags, services }))
    }
}

fn text(bytes: &[u8], limit: usize) -> Result<String, WireError> {
    if bytes.len() > limit {
        return Err(WireError::Invalid);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| WireError::Invalid)?;
    Ok(text.to_owned())
}

fn put_version(buf: &mut impl BufMut, id: NodeId, version: Version) {
    buf.put_u128(id.as_u128());
    buf.put_u64(version.generation);
    put_varint(buf, version.version);
}

fn read_version(reader: &mut PacketReader<'_>) -> Result<(NodeId, Version), WireError> {
    let id = reader.node_id()?;
    let generation = reader.generation()?;
    let version = reader.varint()?;
    Ok((id, Version { generation, version }))
}

/// The length in bytes above which a broadcast item carries the version alone. The largest header takes 133 bytes and a
/// packet may hold at least 800, so an item of this length always fits, and still does beside some member updates.
const INLINE_MAX: usize = 480;

/// A broadcast item about one node.
#[derive(Debug)]
pub(super) enum Item {
    Whole(Record),
    /// The version of a record that is too large for a packet. A node that lacks this version asks the sender for the
    /// record.
    Pointer(Version),
    /// No record, but one node's finding about another. The item is filed under the accuser.
    Accusation(Accusation),
}

const ITEM_WHOLE: u8 = 0;
const ITEM_POINTER: u8 = 1;
const ITEM_ACCUSATION: u8 = 2;

impl Item {
    pub(super) fn encode(id: NodeId, record: &Record) -> Vec<u8> {
        let mut item = vec![ITEM_WHOLE];
        record.encode(id, &mut item);
        if item.len() > INLINE_MAX {
            item.clear();
            item.push(ITEM_POINTER);
            put_version(&mut item, id, record.version);
        }
        item
    }

    pub(super) fn encode_accusation(accusation: &Accusation) -> Vec<u8> {
        let mut item = vec![ITEM_ACCUSATION];
        item.put_u128(accusation.accuser.as_u128());
        item.put_u128(accusation.suspect.as_u128());
        item.put_u64(accusation.generation);
        item.put_u16(accusation.incarnation);
        item
    }

    pub(super) fn decode(data: &[u8]) -> Result<(NodeId, Self), WireError> {
        let mut reader = PacketReader::new(data);
        let decoded = match reader.u8()? {
            ITEM_WHOLE => Record::decode(&mut reader).map(|(id, record)| (id, Self::Whole(record)))?,
            ITEM_POINTER => read_version(&mut reader).map(|(id, version)| (id, Self::Pointer(version)))?,
            ITEM_ACCUSATION => {
                let (accuser, suspect) = (reader.node_id()?, reader.node_id()?);
                let (generation, incarnation) = (reader.generation()?, reader.u16()?);
                (accuser, Self::Accusation(Accusation { accuser, suspect, generation, incarnation }))
            }
            _ => return Err(WireError::Invalid),
        };
        if reader.is_empty() { Ok(decoded) } else { Err(WireError::Invalid) }
    }
}
