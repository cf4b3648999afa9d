//! The rules for packets between places, sans-io: time and randomness are arguments.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::Range,
    time::Duration,
};

use rand::{Rng, RngExt};
use tokio::time::Instant;

/// The endpoints that a rule applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// One endpoint, for example a server by the address that it listens on.
    Socket(SocketAddr),
    /// All endpoints of a host; see [`Network::host`](super::Network::host).
    Host(IpAddr),
    /// All endpoints.
    Anywhere,
}

impl From<SocketAddr> for Place {
    fn from(addr: SocketAddr) -> Self {
        Self::Socket(addr)
    }
}

impl From<IpAddr> for Place {
    fn from(ip: IpAddr) -> Self {
        Self::Host(ip)
    }
}

impl Place {
    pub(super) fn holds(&self, addr: SocketAddr) -> bool {
        match self {
            Self::Socket(own) => *own == addr,
            Self::Host(ip) => *ip == addr.ip(),
            Self::Anywhere => true,
        }
    }

    fn includes(&self, other: &Self) -> bool {
        match other {
            Self::Socket(addr) => self.holds(*addr),
            Self::Host(_) => self == other || *self == Self::Anywhere,
            Self::Anywhere => *self == Self::Anywhere,
        }
    }
}

/// A direction between places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) from: Place,
    pub(super) to: Place,
}

impl Way {
    pub(super) fn holds(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.from.holds(from) && self.to.holds(to)
    }

    fn includes(&self, other: &Self) -> bool {
        self.from.includes(&other.from) && self.to.includes(&other.to)
    }
}

/// The conditions for packets on one path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PathConditions {
    /// The latency in one direction, drawn for each packet. An empty range stands for its start.
    pub(super) latency: Range<Duration>,
    /// The share of packets that are lost.
    pub(super) loss: f64,
}

impl Default for PathConditions {
    fn default() -> Self {
        Self { latency: Duration::ZERO..Duration::ZERO, loss: 0.0 }
    }
}

impl PathConditions {
    /// Returns the time at which a packet arrives that is sent now; `None` if it is lost.
    fn arrival(&self, now: Instant, rng: &mut impl Rng) -> Option<Instant> {
        if self.loss > 0.0 && rng.random_bool(self.loss) {
            return None;
        }
        let Range { start, end } = self.latency;
        Some(now + if start < end { rng.random_range(start..end) } else { start })
    }
}

/// The packets and bytes that were sent on some paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Packets, including lost ones.
    pub packets: u64,
    /// Packets that never arrived.
    pub lost: u64,
    /// Content bytes of streams and datagrams, including lost and retransmitted ones.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            lost: self.lost + other.lost,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// The paths of a network, and the rules for them. If several rules apply to a path, the last one set counts.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) usual: PathConditions,
    latencies: Vec<(Way, Range<Duration>)>,
    losses: Vec<(Way, f64)>,
    cuts: Vec<Way>,
    frozen: Vec<Place>,
    traffic: BTreeMap<(SocketAddr, SocketAddr), Traffic>,
}

impl Paths {
    pub(super) fn set_latency(&mut self, way: Way, latency: Range<Duration>) {
        self.latencies.retain(|(other, _)| *other != way);
        self.latencies.push((way, latency));
    }

    pub(super) fn set_loss(&mut self, way: Way, loss: f64) {
        self.losses.retain(|(other, _)| *other != way);
        self.losses.push((way, loss));
    }

    pub(super) fn cut(&mut self, way: Way) {
        self.heal(way);
        self.cuts.push(way);
    }

    /// Undoes the cuts of this way and of those that it includes.
    pub(super) fn heal(&mut self, way: Way) {
        self.cuts.retain(|cut| !way.includes(cut));
    }

    pub(super) fn heal_all(&mut self) {
        self.cuts.clear();
    }

    pub(super) fn freeze(&mut self, place: Place) {
        self.thaw(place);
        self.frozen.push(place);
    }

    pub(super) fn thaw(&mut self, place: Place) {
        self.frozen.retain(|frozen| !place.includes(frozen));
    }

    pub(super) fn is_frozen(&self, addr: SocketAddr) -> bool {
        self.frozen.iter().any(|place| place.holds(addr))
    }

    /// Returns true if packets get through now.
    pub(super) fn passes(&self, from: SocketAddr, to: SocketAddr) -> bool {
        !self.cuts.iter().any(|way| way.holds(from, to)) && !self.is_frozen(from) && !self.is_frozen(to)
    }

    /// Returns the time at which a packet of this size arrives that is sent now, if the path stays as it is; `None` if
    /// it is lost.
    pub(super) fn carry(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: usize,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Instant> {
        let arrival = if self.passes(from, to) { self.path(from, to).arrival(now, rng) } else { None };
        let traffic = self.traffic.entry((from, to)).or_default();
        traffic.packets += 1;
        traffic.bytes += bytes as u64;
        traffic.lost += u64::from(arrival.is_none());
        arrival
    }

    /// Counts a packet that was lost after it was sent.
    pub(super) fn lose(&mut self, from: SocketAddr, to: SocketAddr) {
        self.traffic.entry((from, to)).or_default().lost += 1;
    }

    pub(super) fn traffic(&self, way: Way) -> Traffic {
        let all = self.traffic.iter().filter(|((from, to), _)| way.holds(*from, *to));
        all.map(|(_, one)| *one).fold(Traffic::default(), Traffic::with)
    }

    fn path(&self, from: SocketAddr, to: SocketAddr) -> PathConditions {
        let latency = self.latencies.iter().rev().find(|(way, _)| way.holds(from, to));
        let loss = self.losses.iter().rev().find(|(way, _)| way.holds(from, to));
        PathConditions {
            latency: latency.map_or_else(|| self.usual.latency.clone(), |(_, latency)| latency.clone()),
            loss: loss.map_or(self.usual.loss, |(_, loss)| *loss),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn addr(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    fn way(from: impl Into<Place>, to: impl Into<Place>) -> Way {
        Way { from: from.into(), to: to.into() }
    }

    #[test]
    fn rules_say_whom_they_are_about() {
        let mut paths = Paths::default();
        let (one, other, third) = (addr(1, 1), addr(1, 2), addr(2, 1));
        paths.cut(way(one, third));
        assert!(!paths.passes(one, third));
        assert!(paths.passes(third, one) && paths.passes(other, third));
        paths.cut(way(one.ip(), Place::Anywhere));
        assert!(!paths.passes(other, third));
        paths.heal(way(one, third));
        assert!(!paths.passes(one, third), "the host's cut remains");
        paths.heal(way(Place::Anywhere, third));
        assert!(!paths.passes(one, third), "a cut towards anywhere is not one towards this place");
        paths.heal(way(one.ip(), Place::Anywhere));
        assert!(paths.passes(one, third));
        paths.freeze(third.ip().into());
        assert!(!paths.passes(one, third) && !paths.passes(third, one));
        paths.thaw(Place::Anywhere);
        assert!(paths.passes(one, third));
    }

    #[test]
    fn the_last_rule_counts() {
        let mut paths = Paths::default();
        let (one, other) = (addr(1, 1), addr(2, 1));
        paths.usual.latency = MS..MS;
        assert_eq!(paths.path(one, other).latency, MS..MS);
        paths.set_latency(way(one, other), 2 * MS..3 * MS);
        paths.set_loss(way(one, Place::Anywhere), 0.5);
        assert_eq!(paths.path(one, other), PathConditions { latency: 2 * MS..3 * MS, loss: 0.5 });
        assert_eq!(paths.path(other, one), paths.usual);
        paths.set_latency(way(Place::Anywhere, other), 4 * MS..4 * MS);
        assert_eq!(paths.path(one, other).latency, 4 * MS..4 * MS);
    }

    #[test]
    fn losses_are_counted() {
        let (mut paths, mut rng) = (Paths::default(), SmallRng::seed_from_u64(1));
        let (one, other, now) = (addr(1, 1), addr(2, 1), Instant::now());
        assert_eq!(paths.carry(one, other, 10, now, &mut rng), Some(now));
        paths.cut(way(one, other));
        assert_eq!(paths.carry(one, other, 20, now, &mut rng), None);
        let traffic = paths.traffic(way(one, Place::Anywhere));
        assert_eq!(traffic, Traffic { packets: 2, lost: 1, bytes: 30 });
        assert_eq!(paths.traffic(way(other, one)), Traffic::default());
    }

    proptest! {
        /// Packets arrive within the range of latencies, the share of losses is as configured, and the same seed gives
        /// the same result.
        #[test]
        fn packets_arrive_in_time_or_never(
            start in 0u64..200, length in 0u64..200, loss in 0.0..=1.0f64, seed: u64,
        ) {
            let latency = Duration::from_millis(start)..Duration::from_millis(start + length);
            let path = PathConditions { latency: latency.clone(), loss };
            let now = Instant::now();
            let draw = || {
                let mut rng = SmallRng::seed_from_u64(seed);
                (0..2000).map(|_| path.arrival(now, &mut rng)).collect::<Vec<_>>()
            };
            let arrivals = draw();
            prop_assert_eq!(&arrivals, &draw());
            for arrival in arrivals.iter().flatten() {
                let late = *arrival - now;
                prop_assert!(latency.contains(&late) || late == latency.start);
            }
            let lost = arrivals.iter().filter(|arrival| arrival.is_none()).count() as f64 / 2000.0;
            prop_assert!((lost - loss).abs() < 0.08, "{lost} of {loss}");
        }
    }
}
