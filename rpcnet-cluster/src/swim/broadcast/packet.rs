//! The packet of broadcasts: values, versions that its sender has, and keys that its sender asks for.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    super::{
        NodeId,
        wire::{PacketKind, PacketReader, WireError, put_varint},
    },
    Broadcast, MAX_BROADCAST_KEY, MAX_BROADCAST_VALUE, MAX_VERSION,
};

/// The size in bytes above which a packet is cut. With one more value it stays far below the largest frame.
const CUT: usize = 64 * 1024;

const VALUE: u8 = 0;
const WITHDRAWN: u8 = 1;
const HAS: u8 = 2;
const WANTS: u8 = 3;

/// The order of the versions of one key.
pub(super) type Stamp = (u64, NodeId);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum BroadcastEntry {
    Value(String, Broadcast),
    Has(String, Stamp),
    Wants(String),
}

#[derive(Debug, Eq, PartialEq)]
pub(super) struct BroadcastPacket {
    /// True if the packet names everything that its sender has. Its sender then does not know any other key.
    pub(super) whole: bool,
    /// At most as many entries as the packet has bytes for.
    pub(super) entries: Vec<BroadcastEntry>,
}

impl BroadcastPacket {
    pub(super) fn decode(reader: &mut PacketReader<'_>) -> Result<Self, WireError> {
        let whole = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(WireError::Invalid),
        };
        let mut entries = Vec::new();
        while !reader.is_empty() {
            entries.push(read_entry(reader)?);
        }
        Ok(Self { whole, entries })
    }
}

fn read_entry(reader: &mut PacketReader<'_>) -> Result<BroadcastEntry, WireError> {
    let kind = reader.u8()?;
    let length = usize::from(reader.u8()?);
    if length == 0 || length > MAX_BROADCAST_KEY {
        return Err(WireError::Invalid);
    }
    let key = std::str::from_utf8(reader.bytes(length)?).map_err(|_| WireError::Invalid)?.to_owned();
    if kind == WANTS {
        return Ok(BroadcastEntry::Wants(key));
    }
    let version = reader.varint()?;
    if version > MAX_VERSION {
        return Err(WireError::Invalid);
    }
    let origin = reader.node_id()?;
    let value = match kind {
        HAS => return Ok(BroadcastEntry::Has(key, (version, origin))),
        WITHDRAWN => None,
        VALUE => {
            let length = usize::from(reader.u16()?);
            if length > MAX_BROADCAST_VALUE {
                return Err(WireError::Invalid);
            }
            Some(Bytes::copy_from_slice(reader.bytes(length)?))
        }
        _ => return Err(WireError::Invalid),
    };
    Ok(BroadcastEntry::Value(key, Broadcast { version, origin, value }))
}

pub(super) fn put_entry(buf: &mut impl BufMut, entry: &BroadcastEntry) {
    let (kind, key, stamp) = match entry {
        BroadcastEntry::Value(key, Broadcast { version, origin, value }) => {
            (if value.is_some() { VALUE } else { WITHDRAWN }, key, Some((*version, *origin)))
        }
        BroadcastEntry::Has(key, stamp) => (HAS, key, Some(*stamp)),
        BroadcastEntry::Wants(key) => (WANTS, key, None),
    };
    buf.put_u8(kind);
    buf.put_u8(key.len() as u8);
    buf.put_slice(key.as_bytes());
    if let Some((version, origin)) = stamp {
        put_varint(buf, version);
        buf.put_u128(origin.as_u128());
    }
    if let BroadcastEntry::Value(_, Broadcast { value: Some(value), .. }) = entry {
        buf.put_u16(value.len() as u16);
        buf.put_slice(value);
    }
}

/// Puts entries into as many packets as they need. A packet has at most about `cut` bytes, unless one entry takes more.
pub(super) fn packets(whole: bool, entries: &[BroadcastEntry], cut: usize) -> Vec<Bytes> {
    let mut packets = Vec::new();
    let mut open = BytesMut::new();
    // A whole list says something even if it is empty. It is one packet: the largest number of entries bounds it.
    if whole {
        open.put_slice(&[PacketKind::Broadcasts as u8, 1]);
    }
    let mut entry_bytes = Vec::new();
    for entry in entries {
        entry_bytes.clear();
        put_entry(&mut entry_bytes, entry);
        if !whole && !open.is_empty() && open.len() + entry_bytes.len() > cut.min(CUT) {
            packets.push(open.split().freeze());
        }
        if open.is_empty() {
            open.put_u8(PacketKind::Broadcasts as u8);
            open.put_u8(0);
        }
        open.put_slice(&entry_bytes);
    }
    if !open.is_empty() {
        packets.push(open.freeze());
    }
    packets
}
