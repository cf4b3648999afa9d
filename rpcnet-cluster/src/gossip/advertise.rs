//! The address that this node advertises. Sans-io: [`local_route`](super::local_route) asks the operating system.
//!
//! A configured address never changes, and neither does a bound one. A node that is bound to an unspecified address (0.0.0.0,
//! `[::]`) learns its own from two sources:
//!
//! - The *route* towards a seed or a member: the address of the interface by which packets to it leave. It is certainly an
//!   address of this host, and needs no other node's word.
//! - The *observations* of members. A member that sees this node at its present address confirms the address. Another address
//!   counts if it belongs to one of this host's interfaces, or if two members agree, as behind address translation. It
//!   replaces only an address that no member has confirmed.
//!
//! A loopback address serves only peers on this host, and a link-local one only peers on one link. Such addresses are
//! provisional, and the first route with a wider range replaces them. So the address of a node changes a few times at most.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::swim::NodeId;

/// The most members whose observations are kept.
const OBSERVERS: usize = 16;

/// Returns the reason for which a node can't be reached at an address, if there is one.
pub(crate) fn fault(addr: SocketAddr) -> Option<&'static str> {
    let ip = addr.ip().to_canonical();
    match ip {
        _ if ip.is_unspecified() => {
            Some("stands for all addresses of a host and can't be reached: write one of them")
        }
        _ if ip.is_multicast() => Some("is a multicast address: write a node's own"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("is a broadcast address: write a node's own"),
        _ if addr.port() == 0 => Some("has port 0: write the port that the node is bound to"),
        _ => None,
    }
}

/// The range from which an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Nowhere,
    Host,
    Link,
    Beyond,
}

fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_unspecified() || ip.is_multicast() => Reach::Nowhere,
        ip if ip.is_loopback() => Reach::Host,
        IpAddr::V4(v4) if v4.is_link_local() => Reach::Link,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Reach::Link,
        _ => Reach::Beyond,
    }
}

/// The address that this node advertises, and its source.
#[derive(Debug)]
pub(super) enum Advertise {
    /// It was configured, or the node is bound to it.
    Fixed(SocketAddr),
    Learnt(Learnt),
}

/// An address that the node learns. Its port is the bound one: behind address translation the others see another one.
#[derive(Debug)]
pub(super) struct Learnt {
    port: u16,
    ip: Option<IpAddr>,
    /// A member has seen this node there.
    confirmed: bool,
    /// It is, or was, an address of one of this host's interfaces.
    local: bool,
    /// The other addresses at which members see this node. At most [`OBSERVERS`].
    others: BTreeMap<NodeId, IpAddr>,
}

impl Advertise {
    pub(super) fn new(configured: Option<SocketAddr>, bound: SocketAddr) -> Self {
        match configured {
            Some(addr) => Self::Fixed(addr),
            None if bound.ip().is_unspecified() => Self::Learnt(Learnt {
                port: bound.port(),
                ip: None,
                confirmed: false,
                local: false,
                others: BTreeMap::new(),
            }),
            None => Self::Fixed(bound),
        }
    }

    /// Returns the address, if it is known.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Fixed(addr) => Some(*addr),
            Self::Learnt(learnt) => learnt.ip.map(|ip| SocketAddr::new(ip, learnt.port)),
        }
    }

    /// Returns whether a route to somewhere else would replace the address.
    pub(super) fn is_provisional(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Learnt(learnt) => learnt.reach() < Reach::Beyond,
        }
    }

    /// Takes in the local address of a route. Returns whether the address is another one now.
    pub(super) fn route(&mut self, local: IpAddr) -> bool {
        let Self::Learnt(learnt) = self else { return false };
        let local = local.to_canonical();
        let farther = reach(local) > learnt.reach();
        if farther {
            learnt.take(local, false, true);
        }
        farther
    }

    /// Takes in the address at which a member sees this node. `is_local` tells whether an address is one of this host's
    /// interfaces. Returns whether the address is another one now.
    pub(super) fn observed(&mut self, by: NodeId, seen: IpAddr, is_local: impl Fn(IpAddr) -> bool) -> bool {
        let Self::Learnt(learnt) = self else { return false };
        let seen = seen.to_canonical();
        if learnt.ip == Some(seen) {
            learnt.confirmed = true;
            learnt.others.remove(&by);
            return false;
        }
        // A host that has moved to another network no longer has its former address.
        if learnt.confirmed && learnt.local && !learnt.ip.is_some_and(&is_local) {
            learnt.confirmed = false;
        }
        if reach(seen) < learnt.reach() || reach(seen) == Reach::Nowhere {
            return false;
        }
        if reach(seen) == learnt.reach() && learnt.confirmed {
            return false;
        }
        let local = is_local(seen);
        if local || learnt.others.iter().any(|(other, ip)| *other != by && *ip == seen) {
            learnt.take(seen, true, local);
            return true;
        }
        if learnt.others.len() < OBSERVERS || learnt.others.contains_key(&by) {
            learnt.others.insert(by, seen);
        }
        false
    }
}

impl Learnt {
    fn reach(&self) -> Reach {
        self.ip.map_or(Reach::Nowhere, reach)
    }

    fn take(&mut self, ip: IpAddr, confirmed: bool, local: bool) {
        self.ip = Some(ip);
        self.confirmed = confirmed;
        self.local = local;
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn learning() -> Advertise {
        Advertise::new(None, addr("0.0.0.0:8080"))
    }

    const MEMBER: NodeId = NodeId::from_u128(1);
    const ANOTHER: NodeId = NodeId::from_u128(2);

    #[test]
    fn what_is_configured_holds_and_then_what_is_bound() {
        let configured = || Advertise::new(Some(addr("1.2.3.4:5")), addr("0.0.0.0:8080"));
        let bound = || Advertise::new(None, addr("127.0.0.1:8080"));
        for (mut advertise, expected) in [(configured(), "1.2.3.4:5"), (bound(), "127.0.0.1:8080")] {
            assert!(!advertise.is_provisional());
            assert!(!advertise.route(ip("10.0.0.7")));
            for member in [MEMBER, ANOTHER] {
                assert!(!advertise.observed(member, ip("10.0.0.7"), |_| true));
            }
            assert_eq!(advertise.addr(), Some(addr(expected)));
        }
    }

    #[test]
    fn a_loopback_address_is_replaced_by_the_first_that_others_reach() {
        let mut advertise = learning();
        assert_eq!(advertise.addr(), None);
        // A neighbour on the same host comes first.
        assert!(advertise.route(ip("127.0.0.1")));
        assert!(!advertise.observed(MEMBER, ip("127.0.0.1"), |_| true));
        assert!(advertise.is_provisional());
        assert!(advertise.route(ip("169.254.0.9")));
        assert!(advertise.is_provisional());
        assert!(advertise.route(ip("::ffff:10.77.0.1")));
        assert_eq!(advertise.addr(), Some(addr("10.77.0.1:8080")));
        assert!(!advertise.is_provisional());
        // And the neighbour does not bring it back, nor does a route elsewhere.
        assert!(!advertise.route(ip("127.0.0.1")));
        assert!(!advertise.observed(MEMBER, ip("127.0.0.1"), |_| true));
        assert!(!advertise.route(ip("192.168.0.1")));
        assert_eq!(advertise.addr(), Some(addr("10.77.0.1:8080")));
    }

    #[test]
    fn behind_translation_two_members_have_to_agree() {
        let local = |seen| seen == ip("10.0.0.7");
        let mut advertise = learning();
        advertise.route(ip("10.0.0.7"));
        let public = ip("203.0.113.9");
        for _ in 0..3 {
            assert!(!advertise.observed(MEMBER, public, local), "one member's word");
        }
        assert!(!advertise.observed(ANOTHER, ip("203.0.113.10"), local), "they disagree");
        assert!(advertise.observed(ANOTHER, public, local));
        assert_eq!(advertise.addr(), Some(addr("203.0.113.9:8080")));
        // It is confirmed: other observations do not change it, however many there are.
        for member in [MEMBER, ANOTHER] {
            assert!(!advertise.observed(member, ip("198.51.100.1"), local));
        }
    }

    #[test]
    fn a_confirmed_address_stays_for_as_long_as_the_host_has_it() {
        let mut advertise = learning();
        advertise.route(ip("10.0.0.7"));
        let both = |_| true;
        assert!(!advertise.observed(MEMBER, ip("10.0.0.7"), both));
        assert!(!advertise.observed(ANOTHER, ip("10.0.1.7"), both), "another interface");
        // The host has moved.
        let moved = |seen| seen == ip("10.0.1.7");
        assert!(advertise.observed(ANOTHER, ip("10.0.1.7"), moved));
        assert_eq!(advertise.addr(), Some(addr("10.0.1.7:8080")));
    }

    #[test]
    fn addresses_that_nobody_can_be_reached_at() {
        for wrong in
            ["0.0.0.0:7500", "[::]:7500", "10.0.0.1:0", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1"]
        {
            assert!(fault(addr(wrong)).is_some(), "{wrong}");
        }
        for right in ["127.0.0.1:1", "10.0.0.1:7500", "[fd00::1]:1", "169.254.0.1:1"] {
            assert_eq!(fault(addr(right)), None);
        }
    }

    proptest! {
        /// The address only goes from the narrow to the wide range, and no single member moves it away from this host's
        /// interfaces.
        #[test]
        fn one_member_does_not_lead_it_astray(
            steps in proptest::collection::vec((any::<bool>(), 0..6usize), 0..40),
        ) {
            let ips = ["127.0.0.1", "10.0.0.7", "10.0.1.7", "203.0.113.9", "0.0.0.0", "169.254.3.3"].map(ip);
            let local = |seen: IpAddr| ips[..3].contains(&seen);
            let mut advertise = learning();
            let mut before = Reach::Nowhere;
            for (is_route, index) in steps {
                if is_route {
                    advertise.route(ips[index % 3]);
                } else {
                    advertise.observed(MEMBER, ips[index], local);
                }
                let now = advertise.addr().map_or(Reach::Nowhere, |addr| reach(addr.ip()));
                prop_assert!(now >= before);
                prop_assert!(advertise.addr().is_none_or(|addr| local(addr.ip())));
                before = now;
            }
        }
    }
}
