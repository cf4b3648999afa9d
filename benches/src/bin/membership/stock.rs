//! Stock foca: `new_lan` for the cluster's size, driven as its documentation says.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foca::{Config, Foca, Member, NoCustomBroadcast, Notification, State, Timer};
use rand::{SeedableRng, rngs::StdRng};
use rpcnet_cluster::testing::engine::{Host, Outgoing};

use super::{
    codec::Codec,
    contender::{Contender, Held},
};

/// The interval at which a node that knows no other node announces itself to host 0.
const ANNOUNCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) index: usize,
    pub(super) generation: u64,
}

impl foca::Identity for Peer {
    type Addr = usize;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation + 1, ..*self })
    }

    fn addr(&self) -> usize {
        self.index
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}

/// A node of stock foca.
pub(crate) struct Stock {
    foca: Foca<Peer, Codec, StdRng, NoCustomBroadcast>,
    effects: Effects,
    announce_at: Option<Instant>,
    left: bool,
}

#[derive(Default)]
struct Effects {
    sends: VecDeque<(usize, Bytes)>,
    /// Timers by deadline, then in foca's order, then in the order in which they were set.
    timers: BTreeMap<(Instant, u8, u64), Timer<Peer>>,
    set: u64,
    downs: Vec<usize>,
}

struct Runtime<'a> {
    effects: &'a mut Effects,
    now: Instant,
}

impl Effects {
    fn runtime(&mut self, now: Instant) -> Runtime<'_> {
        Runtime { effects: self, now }
    }
}

impl foca::Runtime<Peer> for Runtime<'_> {
    fn notify(&mut self, notification: Notification<'_, Peer>) {
        if let Notification::MemberDown(peer) = notification {
            self.effects.downs.push(peer.index);
        }
    }

    fn send_to(&mut self, to: Peer, data: &[u8]) {
        self.effects.sends.push_back((to.index, Bytes::copy_from_slice(data)));
    }

    fn submit_after(&mut self, event: Timer<Peer>, after: Duration) {
        let order = match &event {
            Timer::SendIndirectProbe { .. } => 0,
            Timer::ProbeRandomMember(_) => 1,
            Timer::ChangeSuspectToDown { .. } => 2,
            Timer::PeriodicAnnounce(_) => 3,
            Timer::PeriodicGossip(_) => 4,
            Timer::RemoveDown(_) => 5,
            Timer::PeriodicAnnounceDown(_) => 6,
        };
        self.effects.set += 1;
        self.effects.timers.insert((self.now + after, order, self.effects.set), event);
    }
}

impl Stock {
    fn state(&self, of: usize) -> Option<State> {
        self.foca.iter_membership_state().find(|member| member.id().index == of).map(Member::state)
    }
}

impl Host for Stock {
    type Packet = Bytes;

    fn receive(&mut self, now: Instant, packet: Bytes) {
        if !self.left {
            // foca's errors concern the sender. This node can go on after any of them.
            let _ = self.foca.handle_data(&packet, self.effects.runtime(now));
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some(first) = self.effects.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let timer = first.remove();
            if !self.left {
                let _ = self.foca.handle_timer(timer, self.effects.runtime(now));
            }
        }
        if self.announce_at.is_some_and(|at| at <= now) {
            let joined = self.foca.num_members() > 0;
            self.announce_at = (!joined).then_some(now + ANNOUNCE);
            if !joined {
                let _ = self.foca.announce(Peer { index: 0, generation: 1 }, self.effects.runtime(now));
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let timer = self.effects.timers.first_key_value().map(|((at, ..), _)| *at);
        timer.into_iter().chain(self.announce_at).min()
    }

    fn poll_send(&mut self) -> Option<Outgoing<Bytes>> {
        let (to, packet) = self.effects.sends.pop_front()?;
        Some(Outgoing { to, length: packet.len(), packet, reliable: false })
    }
}

impl Contender for Stock {
    fn start(index: usize, count: usize, warm: bool, rng: &mut StdRng, now: Instant) -> Self {
        let size = NonZeroU32::new(count as u32).unwrap_or(NonZeroU32::MIN);
        let identity = |index| Peer { index, generation: 1 };
        let mut stock = Self {
            foca: Foca::new(identity(index), Config::new_lan(size), StdRng::from_rng(rng), Codec),
            effects: Effects::default(),
            announce_at: (index != 0 && !warm).then_some(now),
            left: false,
        };
        if warm {
            let others =
                (0..count).filter(|other| *other != index).map(|other| Member::alive(identity(other)));
            let _ = stock.foca.apply_many(others, false, stock.effects.runtime(now));
        }
        stock
    }

    fn active(&self) -> usize {
        self.foca.num_members() + 1
    }

    fn alive(&self) -> usize {
        1 + self.foca.iter_members().filter(|member| member.state() == State::Alive).count()
    }

    fn holds(&self, of: usize) -> Option<Held> {
        self.state(of).map(|state| match state {
            State::Alive => Held::Alive,
            State::Suspect => Held::Suspect,
            State::Down => Held::Down,
        })
    }

    fn leave(&mut self, now: Instant) {
        let _ = self.foca.leave_cluster(self.effects.runtime(now));
        self.left = true;
    }

    fn take_downs(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.effects.downs)
    }

    fn generation(&self) -> u64 {
        self.foca.identity().generation
    }
}
