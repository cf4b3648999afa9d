use std::collections::BTreeMap;

use proptest::prelude::*;
use rpcnet::discover::ServiceSet;

use crate::swim::{
    Config, MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS, Node, NodeId, TagError,
    record::{Item, Record, Version},
    tests::{epoch, sim::Sim},
    wire::{PacketReader, put_varint},
};

fn record() -> impl Strategy<Value = Record> {
    let tags = prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..4);
    let services = prop::option::of(prop::collection::vec(any::<u64>(), 0..4));
    (0..3u64, 0..3u64, any::<bool>(), tags, services).prop_map(
        |(generation, version, left, tags, services)| Record {
            version: Version { generation, version },
            left,
            tags: if left { BTreeMap::new() } else { tags },
            services: services.filter(|_| !left).map(ServiceSet::from_ids),
        },
    )
}

fn merge(known: &Record, new: &Record) -> Record {
    if new.replaces(Some(known)) { new } else { known }.clone()
}

proptest! {
    #[test]
    fn merging_needs_no_order(a in record(), b in record(), c in record()) {
        prop_assert_eq!(merge(&a, &b), merge(&b, &a));
        prop_assert_eq!(merge(&a, &a), a.clone());
        prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
    }

    #[test]
    fn records_round_trip(record in record(), id in any::<u128>()) {
        let id = NodeId::from_u128(id);
        let mut bytes = Vec::new();
        record.encode(id, &mut bytes);
        prop_assert_eq!(Record::decode(&mut PacketReader::new(&bytes)), Ok((id, record.clone())));
        for cut in 0..bytes.len() {
            prop_assert!(Record::decode(&mut PacketReader::new(&bytes[..cut])).is_err());
        }
        let item = Item::encode(id, &record);
        prop_assert!(matches!(Item::decode(&item), Ok((_, Item::Whole(decoded))) if decoded == record));
    }
}

/// Reads a record as the previous release does, which knows no services, and writes it as that release hands it on.
fn handed_on(bytes: &[u8]) -> Vec<u8> {
    let mut reader = PacketReader::new(bytes);
    let (id, generation, version) =
        (reader.node_id().unwrap(), reader.generation().unwrap(), reader.varint().unwrap());
    let (left, count) = (reader.u8().unwrap(), reader.u8().unwrap());
    assert!(left < 2 && usize::from(count) <= MAX_TAGS);
    let mut tags = BTreeMap::new();
    for _ in 0..count {
        let key_len = usize::from(reader.u8().unwrap());
        let key = std::str::from_utf8(reader.bytes(key_len).unwrap()).unwrap();
        let value_len = usize::from(reader.u16().unwrap());
        let value = std::str::from_utf8(reader.bytes(value_len).unwrap()).unwrap();
        assert!(!key.is_empty() && key.len() <= MAX_TAG_KEY && value.len() <= MAX_TAG_VALUE);
        assert!(tags.insert(key, value).is_none());
    }
    assert!(reader.is_empty());
    let mut handed_on = id.as_u128().to_be_bytes().to_vec();
    handed_on.extend(generation.to_be_bytes());
    put_varint(&mut handed_on, version);
    handed_on.extend([left, count]);
    for (key, value) in tags {
        handed_on.push(key.len() as u8);
        handed_on.extend(key.as_bytes());
        handed_on.extend((value.len() as u16).to_be_bytes());
        handed_on.extend(value.as_bytes());
    }
    handed_on
}

proptest! {
    #[test]
    fn services_pass_a_release_that_does_not_know_them(
        tags in 0..=MAX_TAGS, services in prop::collection::btree_set(any::<u64>(), 0..70),
    ) {
        let mut record = Record::new(7);
        record.tags = (0..tags).map(|index| (format!("tag-{index}"), "v".repeat(index))).collect();
        record.services = Some(ServiceSet::from_ids(services));
        let id = NodeId::from_u128(9);
        let mut bytes = Vec::new();
        record.encode(id, &mut bytes);
        let handed_on = handed_on(&bytes);
        prop_assert_eq!(&handed_on, &bytes);
        let (_, read) = Record::decode(&mut PacketReader::new(&handed_on)).unwrap();
        prop_assert_eq!(&read.tags, &record.tags);
        prop_assert_eq!(read.services.as_ref(), record.told_services());
    }
}

#[test]
fn services_are_told_and_change() {
    let now = epoch();
    let mut node = Node::new(Sim::identity(0, 1), Config::new_lan(), 1, now);
    let own = |node: &Node| node.member(node.identity().id()).unwrap().services().cloned();
    assert_eq!(own(&node), None);
    let version = |node: &Node| node.record_version(node.identity().id());
    for services in [ServiceSet::default(), ServiceSet::from_ids([1, 2]), ServiceSet::from_ids([1])] {
        let before = version(&node);
        node.set_services(now, Some(services.clone())).unwrap();
        assert_eq!(own(&node), Some(services.clone()));
        assert!(version(&node) > before);
        let before = version(&node);
        node.set_services(now, Some(services)).unwrap();
        assert_eq!(version(&node), before, "nothing has changed");
    }
    assert!(node.tags().is_empty());
    node.leave(now);
    assert_eq!(node.set_services(now, None), Err(TagError::Left));
}

#[test]
fn tags_have_limits() {
    let now = epoch();
    let mut node = Node::new(Sim::identity(0, 1), Config::new_lan(), 1, now);
    let long = "k".repeat(MAX_TAG_VALUE + 1);
    assert_eq!(node.set_tag(now, "", "v"), Err(TagError::EmptyKey));
    let key = &long[..MAX_TAG_KEY + 1];
    assert_eq!(node.set_tag(now, key, "v"), Err(TagError::KeyTooLong { len: 65 }));
    assert_eq!(node.set_tag(now, "k", &long), Err(TagError::ValueTooLong { len: 257 }));
    for index in 0..MAX_TAGS {
        node.set_tag(now, &index.to_string(), "v").unwrap();
    }
    assert_eq!(node.set_tag(now, "k", "v"), Err(TagError::TooManyTags));
    node.set_tag(now, "0", "replaced").unwrap();
    node.remove_tag(now, "1").unwrap();
    node.set_tag(now, "k", "v").unwrap();
    assert_eq!(node.tags().len(), MAX_TAGS);
    assert_eq!(node.tags()["0"], "replaced");
}
