//! Input to one node that a simulated cluster would rarely produce.

use std::{collections::BTreeSet, time::Instant};

use bytes::Bytes;
use foca::{Codec as _, Header, Member, Message, State};

use super::sim::{Sim, epoch, millis, secs};
use crate::swim::{
    Config, Event, Identity, MemberState, Node, NodeId,
    codec::{Codec, put_member, read_header},
    digest::DeltaWriter,
    foca_state::FocaStateHandle,
    identity::Peer,
    record::Record,
    wire::PacketReader,
};

const SPEAKER: usize = 1;
const SUBJECT: usize = 2;

/// A gossip packet to node 0 that says `state` of the subject.
fn gossip(now: Instant, state: State) -> Vec<u8> {
    let speaker = Sim::identity(SPEAKER, 1);
    let header = Header {
        src: Peer(speaker),
        src_incarnation: 0,
        dst: Peer(Sim::identity(0, 1)),
        message: Message::Gossip,
    };
    let mut packet = vec![0];
    Codec(FocaStateHandle::new(speaker, now)).encode_header(&header, &mut packet).unwrap();
    packet.extend(1u16.to_be_bytes());
    put_member(&mut packet, &Member::new(Peer(Sim::identity(SUBJECT, 1)), 0, state));
    packet
}

fn left_record() -> Bytes {
    let mut record = Record::new(1);
    record.leave();
    let mut delta = DeltaWriter::default();
    delta.record(Sim::identity(SUBJECT, 1).id(), &record);
    delta.finish().remove(0)
}

struct Listener {
    node: Node,
    now: Instant,
}

impl Listener {
    fn new() -> Self {
        let now = epoch();
        let node = Node::new(Sim::identity(0, 1), Config::new_lan(), 1, now);
        Self { node, now }
    }

    fn hear(&mut self, packet: &[u8]) {
        let from = Sim::identity(SPEAKER, 1);
        self.node.handle_packet(self.now, from, packet).unwrap();
    }

    /// The kinds of packets that the node has sent to `to` since the last call.
    fn sent(&mut self, to: Identity) -> Vec<u8> {
        std::iter::from_fn(|| self.node.poll_transmit())
            .filter(|transmit| transmit.to == to)
            .map(|transmit| transmit.payload[0])
            .collect()
    }

    fn events(&mut self) -> Vec<(&'static str, Identity)> {
        std::iter::from_fn(|| self.node.poll_event())
            .filter_map(|event| match event {
                Event::NodeJoined(member) => Some(("joined", member.identity())),
                Event::NodeFailed(member) => Some(("failed", member.identity())),
                Event::NodeLeft(member) => Some(("left", member.identity())),
                Event::NodeSuspect(member) => Some(("suspect", member.identity())),
                _ => None,
            })
            .filter(|(_, identity)| *identity == Sim::identity(SUBJECT, 1))
            .collect()
    }

    fn state(&self) -> MemberState {
        let id = Sim::identity(SUBJECT, 1).id();
        self.node.member(id).unwrap().state()
    }

    fn pass(&mut self, time: std::time::Duration) {
        self.now += time;
        self.node.handle_timeout(self.now);
    }
}

#[test]
fn news_of_a_down_member_waits_for_the_news_that_it_left() {
    let subject = Sim::identity(SUBJECT, 1);
    for leaves in [true, false] {
        let mut listener = Listener::new();
        listener.hear(&gossip(listener.now, State::Alive));
        assert_eq!(listener.events(), [("joined", subject)]);
        listener.sent(subject);
        listener.hear(&gossip(listener.now, State::Down));
        assert_eq!(listener.state(), MemberState::Alive);
        assert_eq!(listener.events(), []);
        assert!(listener.sent(Sim::identity(SPEAKER, 1)).contains(&1), "the speaker is asked");
        listener.pass(millis(400));
        assert_eq!(listener.events(), []);
        if leaves {
            listener.hear(&left_record());
            assert_eq!(listener.events(), [("left", subject)]);
            assert_eq!(listener.state(), MemberState::Left);
        } else {
            for _ in 0..4 {
                listener.pass(millis(400));
            }
            assert_eq!(listener.events(), [("failed", subject)]);
            assert_eq!(listener.state(), MemberState::Down);
            listener.hear(&left_record());
            assert_eq!(listener.state(), MemberState::Left);
        }
        listener.pass(secs(5));
        assert_eq!(listener.events(), [], "named once");
    }
}

#[test]
fn a_suspect_is_waited_for_less() {
    let subject = Sim::identity(SUBJECT, 1);
    let mut listener = Listener::new();
    listener.hear(&gossip(listener.now, State::Alive));
    listener.hear(&gossip(listener.now, State::Suspect));
    assert_eq!(listener.events(), [("joined", subject), ("suspect", subject)]);
    listener.pass(secs(1));
    listener.hear(&gossip(listener.now, State::Down));
    listener.pass(millis(600));
    assert_eq!(listener.events(), [("failed", subject)]);
}

#[test]
fn a_claim_is_told_to_the_accused_and_dies_with_its_new_generation() {
    let subject = Sim::identity(SUBJECT, 1);
    let mut listener = Listener::new();
    listener.hear(&gossip(listener.now, State::Alive));
    listener.sent(subject);
    listener.hear(&gossip(listener.now, State::Down));
    assert!(listener.sent(subject).contains(&2), "the accused is told");
    listener.pass(millis(300));
    let renewed = Sim::identity(SUBJECT, 2);
    let mut delta = DeltaWriter::default();
    delta.member(&Member::alive(Peer(renewed)));
    listener.hear(&delta.finish().remove(0));
    for _ in 0..10 {
        assert_eq!(listener.state(), MemberState::Alive);
        listener.pass(millis(300));
    }
}

#[test]
fn stale_gossip_revives_nobody_and_is_corrected() {
    let mut listener = Listener::new();
    listener.hear(&left_record());
    listener.sent(Sim::identity(SPEAKER, 1));
    listener.hear(&gossip(listener.now, State::Alive));
    assert_eq!(listener.events(), []);
    assert_eq!(listener.state(), MemberState::Left);
    assert!(listener.sent(Sim::identity(SPEAKER, 1)).contains(&2));
    assert_eq!(listener.node.foca.num_members(), 1, "the speaker alone");
    listener.hear(&gossip(listener.now, State::Alive));
    assert_eq!(listener.events(), []);
}

#[test]
fn members_that_are_gone_are_forgotten() {
    let now = epoch();
    let config = Config::new_lan().with_forget_after(secs(600));
    let node = Node::new(Sim::identity(0, 1), config, 1, now);
    let mut listener = Listener { node, now };
    listener.hear(&gossip(now, State::Alive));
    listener.hear(&left_record());
    for _ in 0..9 {
        listener.pass(secs(60));
    }
    assert_eq!(listener.state(), MemberState::Left);
    for _ in 0..3 {
        listener.pass(secs(60));
    }
    let id = Sim::identity(SUBJECT, 1).id();
    assert!(listener.node.member(id).is_none());
    assert!(listener.node.shared.lock().record(id).is_none());
}

/// The members that node 0 of 30 gossips to within a second in which it has news, in order, while it has connections to
/// `linked`.
fn told_by_one_of_30(linked: &BTreeSet<NodeId>) -> Vec<NodeId> {
    let mut sim = Sim::cluster(1, Config::new_lan(), 30, secs(60));
    sim.with(0, |node, now| {
        node.set_linked(linked.clone());
        node.set_tag(now, "role", "worker").unwrap();
        let mut told = Vec::new();
        while let Some(due) = node.poll_timeout().filter(|due| *due <= now + secs(1)) {
            node.handle_timeout(due);
            while let Some(transmit) = node.poll_transmit() {
                let header = read_header(&mut PacketReader::new(&transmit.payload[1..]));
                if transmit.payload[0] == 0 && header.is_ok_and(|header| header.message == Message::Gossip) {
                    told.push(transmit.to.id());
                }
            }
        }
        told
    })
}

#[test]
fn news_goes_to_linked_peers_in_turn() {
    let linked: BTreeSet<_> = (1..=10).map(|index| Sim::identity(index, 1).id()).collect();
    let told = told_by_one_of_30(&linked);
    // In a cluster of 30 a piece of news is sent eight times.
    assert!(told.len() >= 8, "{}", told.len());
    assert!(told.iter().all(|id| linked.contains(id)));
    let first: BTreeSet<_> = told[..8].iter().collect();
    assert_eq!(first.len(), 8, "nobody has it twice before all have it");
}

#[test]
fn some_news_goes_elsewhere_while_few_are_linked() {
    let linked: BTreeSet<_> = (1..=2).map(|index| Sim::identity(index, 1).id()).collect();
    let told = told_by_one_of_30(&linked);
    let elsewhere = told.iter().filter(|id| !linked.contains(id)).count();
    assert!(elsewhere >= told.len() / 4 && elsewhere <= told.len() / 2, "{elsewhere} of {}", told.len());
}
