//! The description of a network.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

use crate::{
    netbed::{bed::Bed, namespace::NotPermitted},
    weather::Weather,
};

/// The ports that hosts reach each other's servers at. Datagrams from another host to a server at another port disappear.
pub const PORTS: RangeInclusive<u16> = 7500..=7509;

/// The hosts of a network, their names, and the weather between them.
///
/// Hosts, silent addresses and names are told by name; one that was not described before panics.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    pub(super) hosts: Vec<Node>,
    silent: Vec<Node>,
    names: BTreeMap<String, Vec<IpAddr>>,
    pub(super) name_server: Option<IpAddr>,
    pub(super) weather: Vec<(Ipv4Addr, Ipv4Addr, Weather)>,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) addr: Ipv4Addr,
}

impl Topology {
    /// Returns a network of these hosts, at 10.77.0.1, 10.77.0.2 and so on. A host's name becomes part of an interface's
    /// name: it has at most eight letters or digits.
    ///
    /// # Panics
    ///
    /// When a name is not of that kind, or there are more than 100 hosts.
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut topology = Self::default();
        for name in hosts {
            let fits = (1..=8).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            assert!(fits, "`{name}` is no name for a host: at most eight letters or digits");
            let addr = nth(0, topology.hosts.len());
            topology.hosts.push(Node { name: name.to_owned(), addr });
        }
        topology
    }

    /// Adds an address that is no host's: packets to it are dropped without an answer.
    #[must_use]
    pub fn with_silent(mut self, name: &str) -> Self {
        let addr = nth(1, self.silent.len());
        self.silent.push(Node { name: name.to_owned(), addr });
        self
    }

    /// Adds a name to all hosts' files, with these addresses in this order: of hosts, silent addresses, or literally.
    /// (The C library moves a host's own address to the front.)
    ///
    /// # Panics
    ///
    /// When there is no such host or silent address.
    #[must_use]
    pub fn with_name<'a>(mut self, name: &str, addrs: impl IntoIterator<Item = &'a str>) -> Self {
        let addrs = addrs.into_iter().map(|addr| self.addr(addr)).collect();
        self.names.insert(name.to_owned(), addrs);
        self
    }

    /// Lets all hosts ask this name server for names that are not in their files. Without one, no other name resolves.
    ///
    /// # Panics
    ///
    /// When there is no such host or silent address.
    #[must_use]
    pub fn with_name_server(mut self, addr: &str) -> Self {
        self.name_server = Some(self.addr(addr));
        self
    }

    /// Sets the weather between two hosts, in both directions. It is fair otherwise.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    #[must_use]
    pub fn with_weather(mut self, one: &str, other: &str, weather: Weather) -> Self {
        let (one, other) = (self.host(one).addr, self.host(other).addr);
        self.weather.extend([(one, other, weather), (other, one, weather)]);
        self
    }

    /// Makes the network. Returns `None` where namespaces are not permitted, and says so on stderr: the test has nothing to
    /// run in then, and passes.
    ///
    /// # Panics
    ///
    /// When the network can't be made although namespaces are permitted.
    #[must_use]
    pub fn start(self) -> Option<Bed> {
        match Bed::make(self) {
            Ok(bed) => Some(bed),
            Err(NotPermitted(why)) => {
                use std::io::Write as _;
                // Not by `eprintln`, which cargo hides where a test passes.
                let _ = writeln!(std::io::stderr(), "skipped, for want of network namespaces: {why}");
                None
            }
        }
    }

    /// The file that a host with these extra names has.
    pub(super) fn hosts_file(&self, own: &BTreeMap<String, Vec<IpAddr>>) -> String {
        let mut file = String::new();
        let mut line = |addr: IpAddr, name: &str| {
            let _ = writeln!(file, "{addr} {name}");
        };
        if !self.names.contains_key("localhost") && !own.contains_key("localhost") {
            line(Ipv4Addr::LOCALHOST.into(), "localhost");
        }
        self.hosts.iter().chain(&self.silent).for_each(|node| line(node.addr.into(), &node.name));
        let shared = self.names.iter().filter(|(name, _)| !own.contains_key(*name));
        for (name, addrs) in shared.chain(own) {
            addrs.iter().for_each(|addr| line(*addr, name));
        }
        file
    }

    pub(super) fn host(&self, name: &str) -> &Node {
        let host = self.hosts.iter().find(|host| host.name == name);
        host.unwrap_or_else(|| panic!("there is no host `{name}`"))
    }

    /// The address of a host, a silent one, or the one that is written there.
    pub(super) fn addr(&self, name: &str) -> IpAddr {
        let known = self.hosts.iter().chain(&self.silent).find(|node| node.name == name);
        let addr = known.map(|node| node.addr.into()).or_else(|| name.parse().ok());
        addr.unwrap_or_else(|| panic!("`{name}` is no host, no silent address and no literal one"))
    }
}

fn nth(net: u8, index: usize) -> Ipv4Addr {
    let host = u8::try_from(index + 1).ok().filter(|host| *host <= 100);
    Ipv4Addr::new(10, 77, net, host.expect("at most 100 addresses of a kind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_hosts_file_in_their_order() {
        let topology = Topology::new(["a", "b"])
            .with_silent("dead")
            .with_name("cluster", ["dead", "b", "a"])
            .with_name("own", ["a"]);
        let own = BTreeMap::from([("own".to_owned(), vec![topology.addr("::1")])]);
        let expected = "127.0.0.1 localhost\n10.77.0.1 a\n10.77.0.2 b\n10.77.1.1 dead\n\
                        10.77.1.1 cluster\n10.77.0.2 cluster\n10.77.0.1 cluster\n::1 own\n";
        assert_eq!(topology.hosts_file(&own), expected);
        let topology = topology.with_name("localhost", ["::1", "127.0.0.1"]);
        assert!(topology.hosts_file(&BTreeMap::new()).contains("::1 localhost\n127.0.0.1 localhost\n"));
    }

    #[test]
    #[should_panic(expected = "`nobody` is no host")]
    fn an_unknown_host_is_told() {
        let _ = Topology::new(["a"]).with_name("cluster", ["nobody"]);
    }
}
