//! The schedule of joining: the addresses that a node asks, and when. Sans-io: the driver resolves names and dials.
//!
//! A seed is a name, and a name stands for a set of addresses that changes: all nodes of a cluster may have the same seed.
//! So each round resolves the names again, and asks every address that is no member. An address that turns out to be this
//! node's own is dropped for that round only, because the name may stand for others as well, now or later. A name that no
//! longer resolves keeps its addresses.
//!
//! Within a round the dials are spread: [`AT_ONCE`] at first, and one more for each dial that has ended or has not been
//! answered for [`STAGGER`]. So a silent address delays no other, and a node that joins a large cluster through one name is in
//! it after a few dials.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, seq::SliceRandom};
use rpcnet::resolve::MAX_ADDRESSES;

#[cfg(test)]
mod tests;

/// The most addresses of one name that are asked in a round. Those asked least often without success come first, in random
/// order otherwise, so that all of them get their turn.
const OF_A_NAME: usize = 64;
/// The most dials under way that have begun within [`STAGGER`].
const AT_ONCE: usize = 8;
/// The most dials under way.
const UNDER_WAY: usize = 64;
/// The time after which a dial that has not been answered makes room for the next one.
const STAGGER: Duration = Duration::from_millis(250);
/// The time after which a resolution or a dial counts as lost. The driver's own bounds are shorter.
const LOST: Duration = Duration::from_secs(60);

/// The reason to dial an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialReason {
    /// A seed's name stands for it, or a snapshot had it.
    Join,
    /// Another node with this one's address or id may be there.
    Rival,
}

/// An address to dial now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedDial {
    pub(super) addr: SocketAddr,
    /// The host that its certificate is checked against.
    pub(super) host: Arc<str>,
    pub(super) why: DialReason,
}

/// The failure to join through a seed or one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JoinFailure {
    /// The reason as a label of metrics.
    pub(super) reason: &'static str,
    /// The reason as text.
    pub(super) text: String,
}

/// The end of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JoinOutcome {
    /// A peer answered, and there is a link to it.
    Peer,
    /// This node itself answered, or another one with its address or id.
    Ourselves,
    Failed(JoinFailure),
}

/// The addresses that need not be asked.
#[derive(Debug, Default)]
pub(super) struct KnownAddresses {
    /// The addresses of active members.
    pub(super) members: HashSet<SocketAddr>,
    /// The addresses of this node.
    pub(super) own: Vec<SocketAddr>,
}

impl KnownAddresses {
    fn is_member(&self, addr: SocketAddr) -> bool {
        self.members.contains(&bare(addr))
    }

    fn is_own(&self, addr: SocketAddr) -> bool {
        self.own.contains(&bare(addr))
    }

    fn is_known(&self, addr: SocketAddr) -> bool {
        self.is_member(addr) || self.is_own(addr)
    }
}

/// The state of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SeedState {
    /// Nothing is known of it yet.
    Asked,
    /// All its addresses are this node's own.
    Ours,
    /// One of its addresses is an active member's.
    Member,
    /// Joining through it failed.
    Failing(JoinFailure),
}

#[derive(Debug)]
struct Seed {
    name: String,
    host: Arc<str>,
    /// The time since which its name is being resolved.
    resolving: Option<Instant>,
    /// The failure of the last resolution.
    unresolved: Option<JoinFailure>,
    /// The addresses of the last resolution. At most [`MAX_ADDRESSES`].
    addrs: BTreeMap<SocketAddr, SeedAddress>,
}

/// The state of one address of a seed.
#[derive(Debug, Clone, Default)]
struct SeedAddress {
    failures: u32,
    last: Option<JoinOutcome>,
}

/// The seeds of a node, and its dials under way.
#[derive(Debug)]
pub(super) struct JoinSchedule {
    seeds: Vec<Seed>,
    waiting: VecDeque<PlannedDial>,
    under_way: BTreeMap<SocketAddr, Instant>,
}

impl JoinSchedule {
    pub(super) fn new(names: &[String]) -> Self {
        let mut seen = BTreeSet::new();
        let seeds = names.iter().filter(|name| seen.insert(*name)).map(|name| Seed {
            name: name.clone(),
            host: host(name).into(),
            resolving: None,
            unresolved: None,
            addrs: BTreeMap::new(),
        });
        Self { seeds: seeds.collect(), waiting: VecDeque::new(), under_way: BTreeMap::new() }
    }

    pub(super) fn has_seeds(&self) -> bool {
        !self.seeds.is_empty()
    }

    /// Begins a round. Returns the seeds whose names have to be resolved now, by index.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<(usize, String)> {
        let is_lost = |since: Instant| now.saturating_duration_since(since) >= LOST;
        self.waiting.clear();
        self.under_way.retain(|_, since| !is_lost(*since));
        let due = self.seeds.iter_mut().enumerate().filter(|(_, seed)| seed.resolving.is_none_or(is_lost));
        due.map(|(index, seed)| {
            seed.resolving = Some(now);
            (index, seed.name.clone())
        })
        .collect()
    }

    /// Takes in the addresses of a seed's name, and queues those that have to be asked.
    pub(super) fn resolved(
        &mut self,
        index: usize,
        addrs: Result<Vec<SocketAddr>, JoinFailure>,
        known: &KnownAddresses,
        rng: &mut impl Rng,
    ) {
        let Some(seed) = self.seeds.get_mut(index) else { return };
        seed.resolving = None;
        match addrs {
            Ok(addrs) => {
                seed.unresolved = None;
                seed.replace(addrs);
            }
            Err(failure) => seed.unresolved = Some(failure),
        }
        let mut due: Vec<_> = seed
            .addrs
            .iter()
            .filter(|(addr, found)| found.may_be_asked() && !known.is_known(**addr))
            .collect();
        due.shuffle(rng);
        due.sort_by_key(|(_, found)| found.failures);
        let host = &seed.host;
        let dials = due.into_iter().take(OF_A_NAME).map(|(addr, _)| *addr);
        for addr in dials.collect::<Vec<_>>() {
            let dial = PlannedDial { addr, host: host.clone(), why: DialReason::Join };
            queue(&mut self.waiting, &self.under_way, dial);
        }
    }

    /// Queues an address that no seed stands for.
    pub(super) fn also(&mut self, addr: SocketAddr, why: DialReason) {
        queue(
            &mut self.waiting,
            &self.under_way,
            PlannedDial { addr, host: addr.ip().to_string().into(), why },
        );
    }

    /// The next address to dial, if it is time. The caller reports its end with [`answered`](Self::answered).
    pub(super) fn next(&mut self, now: Instant, known: &KnownAddresses) -> Option<PlannedDial> {
        loop {
            if self.slot(now) != Some(now) {
                return None;
            }
            let dial = self.waiting.pop_front()?;
            // It may have become a member since it was queued.
            if dial.why == DialReason::Rival || !known.is_known(dial.addr) {
                self.under_way.insert(dial.addr, now);
                return Some(dial);
            }
        }
    }

    /// The time at which the next address may be dialled: at the earliest now. `None` while none waits, or until a dial ends.
    pub(super) fn slot(&self, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() || self.under_way.len() >= UNDER_WAY {
            return None;
        }
        let mut fresh: Vec<_> =
            self.under_way.values().map(|at| *at + STAGGER).filter(|until| *until > now).collect();
        if fresh.len() < AT_ONCE {
            return Some(now);
        }
        fresh.sort_unstable();
        fresh.get(fresh.len() - AT_ONCE).copied()
    }

    /// Takes in the end of a dial.
    pub(super) fn answered(&mut self, addr: SocketAddr, answer: &JoinOutcome) {
        self.under_way.remove(&addr);
        for found in self.seeds.iter_mut().filter_map(|seed| seed.addrs.get_mut(&canonical(addr))) {
            found.failures = match answer {
                JoinOutcome::Failed(_) => found.failures.saturating_add(1),
                JoinOutcome::Peer | JoinOutcome::Ourselves => 0,
            };
            found.last = Some(answer.clone());
        }
    }

    /// Returns the state of each seed, by name.
    pub(super) fn states(&self, known: &KnownAddresses) -> Vec<(String, SeedState)> {
        self.seeds.iter().map(|seed| (seed.name.clone(), seed.state(known))).collect()
    }

    /// Returns whether an address of a seed is neither a member's nor this node's own, or a seed's name is not resolved.
    pub(super) fn is_missing(&self, known: &KnownAddresses) -> bool {
        self.seeds.iter().any(|seed| {
            let is_there = |(addr, found): (&SocketAddr, &SeedAddress)| {
                known.is_known(*addr) || found.last == Some(JoinOutcome::Ourselves)
            };
            seed.addrs.is_empty() || !seed.addrs.iter().all(is_there)
        })
    }
}

impl Seed {
    /// Takes the addresses that its name has now in place of those that it had.
    fn replace(&mut self, addrs: Vec<SocketAddr>) {
        let before = std::mem::take(&mut self.addrs);
        let found = |addr| {
            let mut found: SeedAddress = before.get(&addr).cloned().unwrap_or_default();
            if let Some(failure) = unusable(addr) {
                found.last = Some(JoinOutcome::Failed(failure));
            }
            (addr, found)
        };
        self.addrs = addrs.into_iter().map(canonical).take(MAX_ADDRESSES).map(found).collect();
    }

    fn state(&self, known: &KnownAddresses) -> SeedState {
        if let Ok(addr) = self.name.parse::<SocketAddr>()
            && known.is_own(addr)
        {
            return SeedState::Ours;
        }
        if self.addrs.keys().any(|addr| known.is_member(*addr)) {
            return SeedState::Member;
        }
        let is_ours = |(addr, found): (&SocketAddr, &SeedAddress)| {
            known.is_own(*addr) || found.last == Some(JoinOutcome::Ourselves)
        };
        if !self.addrs.is_empty() && self.addrs.iter().all(is_ours) && self.unresolved.is_none() {
            return SeedState::Ours;
        }
        if let Some(failure) = &self.unresolved {
            return SeedState::Failing(failure.clone());
        }
        let failures = self.addrs.iter().filter_map(|(addr, found)| match &found.last {
            Some(JoinOutcome::Failed(failure)) => Some((addr, failure)),
            _ => None,
        });
        let failures: Vec<_> = failures.collect();
        match failures.split_first() {
            None => SeedState::Asked,
            Some(((addr, first), others)) => {
                let mut failure = (*first).clone();
                if self.name.parse::<SocketAddr>().is_err() && failure.reason != UNUSABLE {
                    failure.text = format!("{addr}: {}", failure.text);
                }
                if !others.is_empty() {
                    failure.text = format!("{}, and {} more addresses", failure.text, others.len());
                }
                SeedState::Failing(failure)
            }
        }
    }
}

impl SeedAddress {
    /// Returns whether the address can be a node's.
    fn may_be_asked(&self) -> bool {
        !matches!(&self.last, Some(JoinOutcome::Failed(failure)) if failure.reason == UNUSABLE)
    }
}

const UNUSABLE: &str = "unusable";

/// Returns the failure of an address that no node can have.
fn unusable(addr: SocketAddr) -> Option<JoinFailure> {
    let what = super::advertise::fault(addr)?;
    Some(JoinFailure { reason: UNUSABLE, text: format!("{addr} {what}") })
}

fn queue(waiting: &mut VecDeque<PlannedDial>, under_way: &BTreeMap<SocketAddr, Instant>, dial: PlannedDial) {
    let is_asked = under_way.contains_key(&dial.addr) || waiting.iter().any(|other| other.addr == dial.addr);
    if !is_asked {
        waiting.push_back(dial);
    }
}

/// Returns an address in the form that identities have.
fn bare(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Returns an IPv4-mapped IPv6 address as the IPv4 address. The scope of other IPv6 addresses stays, because dialling needs it.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, addr.port()),
        _ => addr,
    }
}

fn host(name: &str) -> &str {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
