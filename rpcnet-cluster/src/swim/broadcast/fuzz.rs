//! Fuzzing of the packet of broadcasts.

use bytes::Bytes;

use super::{
    Broadcast,
    packet::{BroadcastEntry, BroadcastPacket, put_entry},
};
use crate::swim::{NodeId, wire::PacketReader};

/// Checks a packet's body: the decoded packet can be encoded in no more bytes, and decodes to the same packet again.
pub(in crate::swim) fn broadcasts(input: &[u8]) {
    let Ok(packet) = BroadcastPacket::decode(&mut PacketReader::new(input)) else { return };
    let bytes = body(&packet);
    assert!(bytes.len() <= input.len(), "there is a shorter form than ours: {packet:?}");
    assert_eq!(BroadcastPacket::decode(&mut PacketReader::new(&bytes)), Ok(packet));
}

fn body(packet: &BroadcastPacket) -> Vec<u8> {
    let mut bytes = vec![u8::from(packet.whole)];
    packet.entries.iter().for_each(|entry| put_entry(&mut bytes, entry));
    bytes
}

/// A packet's body with an entry of each kind.
pub(in crate::swim) fn seed() -> Vec<u8> {
    let origin = NodeId::from_u128(7);
    let made =
        |version, value: Option<&'static str>| Broadcast { version, origin, value: value.map(Bytes::from) };
    let entries = vec![
        BroadcastEntry::Value("rules".into(), made(1_800_000_000_000, Some("as they are"))),
        BroadcastEntry::Value("old".into(), made(300, None)),
        BroadcastEntry::Has("large".into(), (7, origin)),
        BroadcastEntry::Wants("k".into()),
    ];
    body(&BroadcastPacket { whole: true, entries })
}
