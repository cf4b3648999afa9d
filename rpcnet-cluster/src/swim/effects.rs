//! Destinations of foca's effects: packets, timers, notifications.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use foca::{Notification, Timer, TimerToken};

use super::{
    codec::read_header,
    event::Event,
    identity::{Identity, Peer},
    node::{Delivery, Transmit},
    timers::{Task, Timers},
    wire::{PacketKind, PacketReader},
};

/// The most packets that wait to be sent. A driver empties the queue after every input, so this is only reached if it
/// doesn't. Gossip tolerates loss.
const MAX_TRANSMITS: usize = 65_536;

/// The most events that wait to be read. A driver empties this queue after every input too. After so many unread
/// changes, the user should read the view as a whole.
const MAX_EVENTS: usize = 65_536;

/// A notification of foca about this node or its probes. Changes of members are not among them: the observed states
/// show these.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Note {
    /// A probe of this member has failed, and it is suspect.
    Accused {
        suspect: Identity,
        incarnation: u16,
        token: TimerToken,
    },
    Active,
    Rejoined(Identity),
    Defunct,
}

#[derive(Debug, Default)]
pub(super) struct Effects {
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    pub(super) timers: Timers,
    /// The slowdown of probes: their timers take `slower + 1` times as long.
    pub(super) slower: u32,
    /// Emptied after every call into foca, which bounds it.
    pub(super) notes: Vec<Note>,
}

impl Effects {
    pub(super) fn runtime(&mut self, now: Instant) -> FocaRuntime<'_> {
        FocaRuntime { out: self, now }
    }

    pub(super) fn send(&mut self, to: Identity, delivery: Delivery, payload: Bytes) {
        if self.transmits.len() >= MAX_TRANSMITS {
            tracing::warn!(%to, "packet dropped: nobody takes packets out of the node");
            return;
        }
        self.transmits.push_back(Transmit { to, delivery, payload });
    }

    pub(super) fn emit(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            tracing::warn!("oldest event dropped: nobody takes events out of the node");
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(super) fn next_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

#[derive(Debug)]
pub(super) struct FocaRuntime<'a> {
    out: &'a mut Effects,
    now: Instant,
}

impl foca::Runtime<Peer> for FocaRuntime<'_> {
    fn notify(&mut self, notification: Notification<'_, Peer>) {
        match notification {
            Notification::Active => self.out.notes.push(Note::Active),
            Notification::Rejoin(peer) => self.out.notes.push(Note::Rejoined(peer.0)),
            Notification::Defunct => self.out.notes.push(Note::Defunct),
            _ => {}
        }
    }

    fn send_to(&mut self, to: Peer, data: &[u8]) {
        // The codec may have written another destination.
        let to = read_header(&mut PacketReader::new(data)).map_or(to, |header| header.dst);
        let mut payload = BytesMut::with_capacity(data.len() + 1);
        payload.put_u8(PacketKind::Gossip as u8);
        payload.put_slice(data);
        self.out.send(to.0, Delivery::Datagram, payload.freeze());
    }

    fn submit_after(&mut self, event: Timer<Peer>, after: Duration) {
        let after = match event {
            // `suspect` decides how long a suspect has.
            Timer::ChangeSuspectToDown { member_id, incarnation, token } => {
                self.out.notes.push(Note::Accused { suspect: member_id.0, incarnation, token });
                return;
            }
            Timer::SendIndirectProbe { .. } | Timer::ProbeRandomMember(_) => after * (self.out.slower + 1),
            _ => after,
        };
        self.out.timers.set(self.now + after, Task::Foca(event));
    }
}
