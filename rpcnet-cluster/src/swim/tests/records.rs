use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::swim::{
    Config, MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS, Node, NodeId, TagError,
    record::{Item, Record, Version},
    tests::{epoch, sim::Sim},
    wire::Reader,
};

fn record() -> impl Strategy<Value = Record> {
    let tags = prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..4);
    (0..3u64, 0..3u64, any::<bool>(), tags).prop_map(|(generation, version, left, tags)| Record {
        version: Version { generation, version },
        left,
        tags: if left { BTreeMap::new() } else { tags },
    })
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
        prop_assert_eq!(Record::decode(&mut Reader::new(&bytes)), Ok((id, record.clone())));
        for cut in 0..bytes.len() {
            prop_assert!(Record::decode(&mut Reader::new(&bytes[..cut])).is_err());
        }
        let item = Item::encode(id, &record);
        prop_assert!(matches!(Item::decode(&item), Ok((_, Item::Whole(decoded))) if decoded == record));
    }
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
