use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    packet::{BroadcastEntry, BroadcastPacket, packets, put_entry},
    *,
};
use crate::swim::{Config, Identity, Node, tests::epoch, wire::PacketReader};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn identity(index: u8) -> Identity {
    Identity::new(([10, 0, 0, index], 7946).into(), NodeId::from_u128(u128::from(index) + 1), 1)
}

fn made(version: u64, origin: u128, value: Option<&'static str>) -> Broadcast {
    Broadcast { version, origin: NodeId::from_u128(origin), value: value.map(Bytes::from) }
}

fn broadcast() -> impl Strategy<Value = (String, Broadcast)> {
    let value = prop::option::of(prop::sample::select(vec!["", "a", "b"]));
    ("[a-d]", 0..5u64, 0..3u128, value)
        .prop_map(|(key, version, origin, value)| (key, made(version, origin, value)))
}

fn entry() -> impl Strategy<Value = BroadcastEntry> {
    (broadcast(), 0..3).prop_map(|((key, broadcast), kind)| match kind {
        0 => BroadcastEntry::Value(key, broadcast),
        1 => BroadcastEntry::Has(key, (broadcast.version, broadcast.origin)),
        _ => BroadcastEntry::Wants(key),
    })
}

fn live(store: &Broadcasts) -> Vec<(String, Broadcast)> {
    store.live().map(|(key, broadcast)| (key.to_owned(), broadcast.clone())).collect()
}

proptest! {
    #[test]
    fn merging_needs_no_order(
        (news, other) in prop::collection::vec(broadcast(), 0..12)
            .prop_flat_map(|news| (Just(news.clone()), Just(news).prop_shuffle())),
    ) {
        let now = epoch();
        let stores = [news, other].map(|news| {
            let mut store = Broadcasts::default();
            // The news comes twice, as with anti-entropy: a withdrawal that comes before its value is not remembered.
            for (key, broadcast) in news.iter().chain(&news) {
                store.merge(now, key.clone(), broadcast.clone());
            }
            store
        });
        prop_assert_eq!(live(&stores[0]), live(&stores[1]));
    }

    #[test]
    fn of_too_many_the_newest_stay_whatever_the_order(
        versions in prop::collection::vec(0..1000u64, MAX_ENTRIES..MAX_ENTRIES + 40).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
        let now = epoch();
        let mut news: Vec<_> =
            versions.iter().enumerate().map(|(key, version)| (key.to_string(), made(*version, 1, Some("v")))).collect();
        let mut expected = news.clone();
        expected.sort_by_key(|(key, broadcast)| std::cmp::Reverse((broadcast.version, key.clone())));
        expected.truncate(MAX_ENTRIES);
        expected.sort();
        news.shuffle(&mut StdRng::seed_from_u64(seed));
        let mut store = Broadcasts::default();
        for (key, broadcast) in news {
            store.merge(now, key, broadcast);
            prop_assert!(store.len() <= MAX_ENTRIES);
        }
        prop_assert_eq!(live(&store), expected);
    }

    #[test]
    fn packets_round_trip(entries in prop::collection::vec(entry(), 0..20), whole in any::<bool>()) {
        let mut read = Vec::new();
        for packet in packets(whole, &entries, 100) {
            let decoded = BroadcastPacket::decode(&mut PacketReader::new(&packet[1..])).unwrap();
            prop_assert_eq!(decoded.whole, whole);
            read.extend(decoded.entries);
        }
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn any_bytes_are_a_packet_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(packet) = BroadcastPacket::decode(&mut PacketReader::new(&bytes)) {
            let mut again = vec![u8::from(packet.whole)];
            packet.entries.iter().for_each(|entry| put_entry(&mut again, entry));
            prop_assert_eq!(BroadcastPacket::decode(&mut PacketReader::new(&again)).unwrap(), packet);
        }
    }
}

#[test]
fn what_is_broadcast_has_limits() {
    let now = epoch();
    let mut node = Node::new(identity(0), Config::new_lan(), 1, now);
    let mut set = |key: &str, value: usize| node.broadcast(now, 7, key, vec![0; value].into());
    assert_eq!(set("", 0), Err(BroadcastError::EmptyKey));
    assert_eq!(set(&"k".repeat(65), 0), Err(BroadcastError::KeyTooLong { len: 65 }));
    assert_eq!(set("k", 4097), Err(BroadcastError::ValueTooLong { len: 4097 }));
    for key in 0..MAX_BROADCASTS {
        assert_eq!(set(&key.to_string(), 4096), Ok(7));
    }
    assert_eq!(set("k", 0), Err(BroadcastError::TooMany));
    assert_eq!(set("0", 1), Ok(8), "a newer version, although the clock stands");
    assert_eq!(set("0", 1), Ok(8), "nothing new");
    node.withdraw_broadcast(now, 7, "1").unwrap();
    node.withdraw_broadcast(now, 7, "never there").unwrap();
    assert_eq!(node.broadcast(now, 9, "k", Bytes::new()), Ok(9));
    assert_eq!(node.broadcasts().count(), MAX_BROADCASTS);
    node.leave(now);
    assert_eq!(node.broadcast(now, 9, "k", Bytes::new()), Err(BroadcastError::Left));
}

#[test]
fn what_was_withdrawn_is_forgotten_at_last() {
    let now = epoch();
    let mut store = Broadcasts::default();
    store.merge(now, "a".into(), made(1, 1, Some("v")));
    store.merge(now, "a".into(), made(2, 1, None));
    store.merge(now, "b".into(), made(1, 1, Some("v")));
    store.forget(now + secs(9), secs(10));
    assert_eq!(store.len(), 2);
    store.forget(now + secs(10), secs(10));
    assert_eq!(store.len(), 1);
    assert!(!store.merge(now, "a".into(), made(2, 1, None)), "it does not come back from others' memories");
}

#[test]
fn a_key_named_again_and_again_is_answered_once() {
    let now = epoch();
    let mut node = Node::new(identity(0), Config::new_lan(), 1, now);
    node.broadcast(now, 1, "k", vec![0; MAX_BROADCAST_VALUE].into()).unwrap();
    while node.poll_transmit().is_some() {}
    for entry in
        [BroadcastEntry::Wants("k".into()), BroadcastEntry::Has("k".into(), (0, NodeId::from_u128(1)))]
    {
        for packet in packets(false, &vec![entry; 1000], usize::MAX) {
            node.handle_packet(now, identity(1), &packet).unwrap();
            let answers: Vec<_> = std::iter::from_fn(|| node.poll_transmit()).collect();
            assert_eq!(answers.iter().map(|answer| answer.payload.len() / 4000).sum::<usize>(), 1);
        }
    }
}

#[test]
fn a_version_that_nobody_could_exceed_is_refused() {
    let entry = BroadcastEntry::Value("k".into(), made(MAX_VERSION + 1, 1, Some("v")));
    let mut bytes = vec![0];
    put_entry(&mut bytes, &entry);
    assert!(BroadcastPacket::decode(&mut PacketReader::new(&bytes)).is_err());
    let mut node = Node::new(identity(0), Config::new_lan(), 1, epoch());
    let restored = BTreeMap::from([
        ("k".to_owned(), made(MAX_VERSION + 1, 1, Some("v"))),
        ("k".repeat(300), made(1, 1, Some("v"))),
        ("good".to_owned(), made(1, 1, Some("v"))),
    ]);
    node.restore_broadcasts(epoch(), restored);
    assert_eq!(node.broadcasts().map(|(key, _)| key).collect::<Vec<_>>(), ["good"]);
}
