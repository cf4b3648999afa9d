use proptest::prelude::*;

use super::sim::{Sim, epoch, secs};
use crate::swim::{Config, Delivery, Event, Identity, MAX_FRAME, Node, NodeId, PacketError};

fn pair() -> (Node, Node) {
    let now = epoch();
    let node = |index| Node::new(Sim::identity(index, 1), Config::new_lan(), index as u64, now);
    (node(0), node(1))
}

fn announcement(to: &Node, from: &mut Node) -> Vec<u8> {
    from.announce(epoch(), to.identity());
    let transmit = from.poll_transmit().unwrap();
    assert_eq!(transmit.delivery, Delivery::Datagram);
    transmit.payload.to_vec()
}

#[test]
fn nobody_speaks_for_another() {
    let (mut a, mut b) = pair();
    let packet = announcement(&a, &mut b);
    let mallory = Sim::identity(2, 1);
    let refused = a.handle_packet(epoch(), mallory, &packet);
    assert!(matches!(refused, Err(PacketError::ForeignSender { .. })), "{refused:?}");
    assert!(a.is_isolated());
    assert_eq!(a.members().count(), 1);
    assert_eq!(a.poll_event(), None);
    let renewed = Sim::identity(1, 9);
    a.handle_packet(epoch(), renewed, &packet).unwrap();
    assert!(matches!(a.poll_event(), Some(Event::NodeJoined(_))));
    b.leave(epoch());
    let mut notice = None;
    a.leave(epoch());
    while let Some(transmit) = a.poll_transmit() {
        if transmit.payload[0] == 3 {
            notice = Some(transmit.payload);
        }
    }
    let mut c = Node::new(mallory, Config::new_lan(), 1, epoch());
    let refused = c.handle_packet(epoch(), Sim::identity(1, 1), &notice.unwrap());
    assert!(matches!(refused, Err(PacketError::ForeignSender { .. })), "{refused:?}");
}

#[test]
fn faulty_packets_are_refused() {
    let (mut a, b) = pair();
    let from = b.identity();
    let mut handle = |data: &[u8]| a.handle_packet(epoch(), from, data).unwrap_err();
    assert!(matches!(handle(&[]), PacketError::Empty));
    assert!(matches!(handle(&[9, 1]), PacketError::UnknownKind(9)));
    assert!(matches!(handle(&[0x10]), PacketError::UnknownKind(0x10)));
    assert!(matches!(handle(&[0; 1101]), PacketError::TooLarge { limit: 1100, .. }));
    assert!(matches!(handle(&vec![1; MAX_FRAME + 1]), PacketError::TooLarge { .. }));
    for kind in 0..5 {
        assert!(matches!(handle(&[kind, 0xff, 0xff]), PacketError::Malformed(_)), "{kind}");
    }
}

#[test]
fn a_double_is_reported_once() {
    let (mut a, _) = pair();
    let double = Identity::new(a.identity().addr(), NodeId::from_u128(77), 5);
    for _ in 0..3 {
        let refused = a.handle_packet(epoch(), double, &[0]);
        assert!(matches!(refused, Err(PacketError::FromOurselves { .. })));
    }
    let conflict = Event::IdentityConflict { ours: a.identity(), theirs: double };
    assert_eq!(a.poll_event(), Some(conflict));
    assert_eq!(a.poll_event(), None);
}

#[test]
fn members_have_identities() {
    let sim = Sim::cluster(1, Config::new_local(), 2, secs(2));
    let member = sim.nodes[&0].members().last().unwrap();
    assert_eq!(member.identity(), Sim::identity(1, 1));
    assert_eq!(member.identity().to_string(), "00000000-0000-0000-0000-000000000002@10.0.0.2:7946#1");
}

/// Real packets of a small cluster, to be damaged.
fn corpus() -> Vec<(Identity, Vec<u8>)> {
    let mut sim = Sim::cluster(1, Config::new_local(), 3, secs(3));
    sim.with(1, |node, now| node.set_tag(now, "role", "worker").unwrap());
    let now = sim.now;
    let node = sim.nodes.get_mut(&1).unwrap();
    for step in 0..50 {
        node.handle_timeout(now + secs(step));
    }
    node.leave(now + secs(50));
    let from = node.identity();
    std::iter::from_fn(|| node.poll_transmit()).map(|transmit| (from, transmit.payload.to_vec())).collect()
}

proptest! {
    #[test]
    fn random_bytes_never_panic(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let (mut a, b) = pair();
        for (index, packet) in packets.iter().enumerate() {
            let _ = a.handle_packet(epoch(), b.identity(), packet);
            let mut packet = packet.clone();
            if let Some(kind) = packet.first_mut() {
                *kind = index as u8 % 5;
            }
            let _ = a.handle_packet(epoch(), b.identity(), &packet);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_packets_never_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut sim = Sim::cluster(1, Config::new_local(), 3, secs(3));
        let now = sim.now;
        let node = sim.nodes.get_mut(&0).unwrap();
        for (from, mut packet) in corpus() {
            for (at, byte) in &damage {
                let at = at.index(packet.len());
                packet[at] = *byte;
            }
            let _ = node.handle_packet(now, from, &packet);
            packet.truncate(damage[0].0.index(packet.len()));
            let _ = node.handle_packet(now, from, &packet);
        }
        for step in 0..20 {
            node.handle_timeout(now + secs(step));
        }
    }
}
