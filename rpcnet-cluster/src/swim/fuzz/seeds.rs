//! Inputs that fuzzing begins with: the packets of a small cluster's nodes.

use std::{collections::BTreeMap, time::Duration};

use rpcnet::discover::ServiceSet;

use super::{epoch, identity, packets::FuzzOperation};
use crate::swim::{Config, Node, broadcast, record::Record, wire::PacketKind};

/// Kinds of gossip in the order of their numbers, then the other kinds of packets.
const MESSAGES: [&str; 11] = [
    "ping",
    "ack",
    "ping_request",
    "indirect_ping",
    "indirect_ack",
    "forwarded_ack",
    "announce",
    "feed",
    "gossip",
    "broadcast",
    "turn_undead",
];
const KINDS: [&str; 7] = ["gossip", "digest", "delta", "leave_notice", "leave_ack", "groups", "broadcasts"];

/// Target, name and bytes of each seed. They are the same in each run.
pub(crate) fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let heard = heard();
    let mut seeds = vec![("gossip_packets", "conversation", conversation(&heard))];
    let mut first_of_kind = BTreeMap::new();
    for (from, packet) in heard.iter().filter_map(|heard| heard.as_ref()) {
        first_of_kind.entry(name(packet)).or_insert((*from, packet));
    }
    for (name, (from, bytes)) in &first_of_kind {
        let mut input = Vec::new();
        FuzzOperation::Packet { from: *from, bytes }.put(&mut input);
        FuzzOperation::Passed { steps: 20 }.put(&mut input);
        seeds.push(("gossip_packets", name, input));
    }
    // Foca's packets begin with a header; the others are what their names say.
    for (name, (_, bytes)) in first_of_kind {
        let choice = match bytes[0] {
            0 => 1,
            1 => 4,
            2 => 5,
            3 => 3,
            5 => 9,
            6 => 8,
            _ => 7,
        };
        seeds.push(("gossip_parts", name, [&[choice], &bytes[1..]].concat()));
    }
    // A header begins with an identity, a delta with a kind and a member.
    let header = seeds.iter().find(|(target, name, _)| (*target, *name) == ("gossip_parts", "ping"));
    let delta = seeds.iter().find(|(target, name, _)| (*target, *name) == ("gossip_parts", "delta"));
    let more =
        [header.map(|seed| ("identity", 0, &seed.2[1..])), delta.map(|seed| ("member", 2, &seed.2[2..]))];
    let mut more: Vec<_> = more
        .into_iter()
        .flatten()
        .map(|(name, choice, bytes)| ("gossip_parts", name, [&[choice], bytes].concat()))
        .collect();
    let broadcasts = broadcast::fuzz::seed();
    more.push(("gossip_parts", "broadcasts_of_all_kinds", [&[8], &broadcasts[..]].concat()));
    let mut input = Vec::new();
    let packet = [&[PacketKind::Broadcasts as u8], &broadcasts[..]].concat();
    FuzzOperation::Packet { from: 1, bytes: &packet }.put(&mut input);
    FuzzOperation::Passed { steps: 20 }.put(&mut input);
    more.push(("gossip_packets", "broadcasts_of_all_kinds", input));
    for (name, services) in [("record_of_no_services", 0), ("record_of_services", 40)] {
        more.push(("gossip_parts", name, [&[3], &record(services)[..]].concat()));
    }
    let mut input = Vec::new();
    let packet = [&[PacketKind::Delta as u8, 1], &record(3)[..]].concat();
    FuzzOperation::Packet { from: 1, bytes: &packet }.put(&mut input);
    FuzzOperation::Passed { steps: 20 }.put(&mut input);
    more.push(("gossip_packets", "delta_of_services", input));
    more.push(("gossip_parts", "varint_too_long", [&[7], &[0xff; 11][..]].concat()));
    seeds.append(&mut more);
    seeds
}

/// The record of a worker with `services` services.
fn record(services: u64) -> Vec<u8> {
    let mut record = Record::new(identity(1).generation());
    record.set("role", "worker").expect("key and value are short");
    let hash = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    record.set_services(Some(ServiceSet::from_ids((0..services).map(hash))));
    let mut bytes = Vec::new();
    record.encode(identity(1).id(), &mut bytes);
    bytes
}

fn name(packet: &[u8]) -> &'static str {
    if packet[0] != 0 {
        return KINDS[usize::from(packet[0])];
    }
    // Two identities of this network have 28 bytes each, and an incarnation stands between them.
    MESSAGES[usize::from(packet[1 + 28 + 2 + 28])]
}

/// The packets that the first node hears while it joins two others, gossips with them, and one of them leaves. `None`
/// between packets says that time has passed.
fn heard() -> Vec<Option<(u8, Vec<u8>)>> {
    let mut now = epoch();
    let mut nodes: Vec<_> =
        (0..4).map(|index| Node::new(identity(index), Config::new_lan(), u64::from(index), now)).collect();
    for (index, node) in (0..).zip(&mut nodes) {
        node.set_tag(now, "role", if index == 0 { "director" } else { "worker" }).expect("the tag is short");
        node.announce(now, identity((index + 1) % 4));
    }
    // The tags are too large for a datagram.
    for key in ["one", "two"] {
        nodes[2].set_tag(now, key, &key.repeat(80)).expect("the tags are within the limits");
    }
    let mut heard = Vec::new();
    for step in 0..200 {
        match step {
            40 => nodes[3].leave(now),
            120 => nodes[1].leave(now),
            _ => {}
        }
        now += Duration::from_millis(50);
        for node in &mut nodes {
            node.handle_timeout(now);
        }
        for _ in 0..4 {
            for from in 0..4u8 {
                let sender = &mut nodes[usize::from(from)];
                let source = sender.identity();
                let sent: Vec<_> = std::iter::from_fn(|| sender.poll_transmit()).collect();
                for transmit in sent {
                    let Some(to) = (0..4u8).find(|to| identity(*to).addr() == transmit.to.addr()) else {
                        continue;
                    };
                    // After some time the first and the third node hear of each other only through the second.
                    if step > 60 && (from + to == 2) && from != to {
                        continue;
                    }
                    if to == 0 && from > 0 {
                        heard.push(Some((from, transmit.payload.to_vec())));
                    }
                    let _ = nodes[usize::from(to)].handle_packet(now, source, &transmit.payload);
                }
            }
        }
        for node in &mut nodes {
            while node.poll_event().is_some() {}
        }
        heard.push(None);
    }
    heard
}

/// The beginning of `heard`, as operations.
fn conversation(heard: &[Option<(u8, Vec<u8>)>]) -> Vec<u8> {
    let mut input = Vec::new();
    FuzzOperation::Tag { value: b"tag" }.put(&mut input);
    FuzzOperation::Announce { to: 1 }.put(&mut input);
    for packet in heard {
        if input.len() > 3000 {
            break;
        }
        match packet {
            Some((from, bytes)) => FuzzOperation::Packet { from: *from, bytes }.put(&mut input),
            None => FuzzOperation::Passed { steps: 1 }.put(&mut input),
        }
    }
    FuzzOperation::Leave.put(&mut input);
    FuzzOperation::Passed { steps: 200 }.put(&mut input);
    input
}
