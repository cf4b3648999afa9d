//! The parts of packets: a decoded part can be encoded, and then decodes to the same part.

use std::fmt::Debug;

use foca::{Codec as _, Header, Member};

use super::{epoch, identity};
use crate::swim::{
    broadcast,
    codec::{Codec, put_member, read_header, read_member},
    digest::{Delta, DeltaWriter, Digest},
    fingerprint::Groups,
    foca_state::FocaStateHandle,
    identity::Peer,
    record::{Item, Record},
    wire::{PacketReader, WireError, put_identity, put_varint},
};

/// Checks a part of a packet. The first byte says which part.
pub fn gossip_parts(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else { return };
    match choice % 10 {
        0 => part(input, |reader| reader.identity(), |identity| written(|buf| put_identity(buf, identity))),
        1 => part(input, read_header, header_bytes),
        2 => part(
            input,
            |reader| read_member(reader).map(|member| described(&member)),
            |(peer, incarnation, state)| {
                written(|buf| put_member(buf, &Member::new(*peer, *incarnation, *state)))
            },
        ),
        3 => part(input, Record::decode, |(id, record)| written(|buf| record.encode(*id, buf))),
        4 => part(
            input,
            |reader| {
                let Digest { scope, summaries } = Digest::decode(reader)?;
                Ok((scope, summaries))
            },
            // The first byte is the kind of packet.
            |(scope, summaries)| {
                Digest { scope: scope.clone(), summaries: summaries.clone() }.encode()[1..].to_vec()
            },
        ),
        5 => delta(input),
        6 => item(input),
        8 => broadcast::fuzz::broadcasts(input),
        9 => part(input, Groups::decode, |groups| groups.encode()[1..].to_vec()),
        _ => part(input, |reader| reader.varint(), |value| written(|buf| put_varint(buf, *value))),
    }
}

fn part<T: Debug + PartialEq>(
    input: &[u8],
    read: impl Fn(&mut PacketReader<'_>) -> Result<T, WireError>,
    write: impl Fn(&T) -> Vec<u8>,
) {
    let mut reader = PacketReader::new(input);
    let Ok(value) = read(&mut reader) else { return };
    let bytes = write(&value);
    assert!(bytes.len() <= input.len() - reader.remaining(), "there is a shorter form than ours: {value:?}");
    let mut reader = PacketReader::new(&bytes);
    assert_eq!(read(&mut reader), Ok(value));
    assert!(reader.is_empty(), "some of it was not read");
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn header_bytes(header: &Header<Peer>) -> Vec<u8> {
    let shared = FocaStateHandle::new(identity(0), epoch());
    written(|buf| Codec(shared).encode_header(header, buf).expect("a vector has room"))
}

/// The fields by which members are compared.
fn described(member: &Member<Peer>) -> (Peer, u16, foca::State) {
    (*member.id(), member.incarnation(), member.state())
}

fn delta(input: &[u8]) {
    let Ok(delta) = Delta::decode(&mut PacketReader::new(input)) else { return };
    let mut writer = DeltaWriter::default();
    delta.members.iter().for_each(|member| writer.member(member));
    delta.records.iter().for_each(|(id, record)| writer.record(*id, record));
    let mut members = Vec::new();
    let mut records = Vec::new();
    for packet in writer.finish() {
        let again =
            Delta::decode(&mut PacketReader::new(&packet[1..])).expect("the packet was encoded above");
        members.extend(again.members.iter().map(described));
        records.extend(again.records);
    }
    assert_eq!(members, delta.members.iter().map(described).collect::<Vec<_>>());
    assert_eq!(records, delta.records);
}

fn item(input: &[u8]) {
    let (id, record) = match Item::decode(input) {
        Ok((id, Item::Whole(record))) => (id, record),
        Ok((_, Item::Accusation(accusation))) => {
            let bytes = Item::encode_accusation(&accusation);
            return assert_eq!(bytes, input, "an accusation has one form");
        }
        _ => return,
    };
    let (again, item) = Item::decode(&Item::encode(id, &record)).expect("the packet was encoded above");
    assert_eq!(again, id);
    match item {
        Item::Whole(again) => assert_eq!(again, record),
        Item::Pointer(version) => assert_eq!(version, record.version),
        Item::Accusation(_) => unreachable!("a record was written"),
    }
}
