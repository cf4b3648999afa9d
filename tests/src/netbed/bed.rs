//! A network that was made.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::process::Command;

use crate::{
    netbed::{
        Topology, Traffic,
        carrier::{Carrier, Conditions},
        leftovers::{fresh_name, sweep},
        namespace::{Namespace, NotPermitted},
    },
    process::{Hear, Process},
    weather::Weather,
};

/// The router's address on all of its interfaces.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 254);

/// Hosts, and the network between them. All is removed when it is dropped.
#[derive(Debug)]
pub struct Bed {
    topology: Topology,
    conditions: Arc<Conditions>,
    hosts: Vec<Host>,
    directory: PathBuf,
    // In this order: the thread leaves the namespace before that is removed.
    _carrier: Carrier,
    _router: Namespace,
}

#[derive(Debug)]
struct Host {
    namespace: Namespace,
    /// Names that this host's file alone has.
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Bed {
    pub(super) fn make(topology: Topology) -> Result<Self, NotPermitted> {
        sweep();
        let name = fresh_name();
        let router = Namespace::new(format!("{name}-the-router"))?;
        let conditions = Arc::new(Conditions::default());
        for (from, to, weather) in &topology.weather {
            conditions.set_weather(*from, *to, *weather);
        }
        let addrs: Vec<_> = topology.hosts.iter().map(|host| host.addr).collect();
        let carrier = Carrier::start(&router, &addrs, conditions.clone()).expect("the router's namespace");
        let hosts = topology.hosts.iter().map(|host| {
            let namespace = Namespace::new(format!("{name}-{}", host.name))?;
            Ok(Host { namespace, names: Mutex::default() })
        });
        let hosts = hosts.collect::<Result<Vec<_>, NotPermitted>>()?;
        connect(&router, &topology, &hosts);
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir(&directory).expect("a directory of a fresh name");
        let bed = Self { topology, conditions, hosts, directory, _carrier: carrier, _router: router };
        bed.write_files();
        Ok(bed)
    }

    fn write_files(&self) {
        // Nothing but the file and the named server is asked.
        let (services, server) = match self.topology.name_server {
            None => ("hosts: files\n", String::new()),
            Some(server) => ("hosts: files dns\n", format!("nameserver {server}\n")),
        };
        for host in &self.hosts {
            let write =
                |file, content: &str| host.namespace.write(file, content).expect("/etc/netns is writable");
            write("nsswitch.conf", services);
            write("resolv.conf", &server);
            write("hosts", &self.topology.hosts_file(&BTreeMap::new()));
        }
    }

    /// The address of a host, or a silent one.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    pub fn addr(&self, name: &str) -> IpAddr {
        self.topology.addr(name)
    }

    /// A directory for files of the test, which is removed with the bed. Logs of processes are there.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command that runs the program in this host.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        let [ip, arguments @ ..] = self.host(host).namespace.exec();
        let mut command = Command::new(ip);
        command.args(arguments).arg(program);
        command
    }

    /// Starts a program in this host, under a name of its own for [its log](Self::log).
    ///
    /// # Panics
    ///
    /// When there is no such host, or the program can't be started.
    pub fn start<T: Hear>(
        &self,
        host: &str,
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Process<T> {
        let mut command = self.command(host, program);
        command.args(arguments);
        Process::start(command, &self.log_file(name)).expect("`ip` has run before")
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// The stderr of the process of this name so far.
    pub fn log(&self, name: &str) -> String {
        let log = fs::read(self.log_file(name)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Gives a name in this host's file other addresses, or gives it a new one. Processes that look it up afterwards
    /// find these.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn set_name<'a>(&self, host: &str, name: &str, addrs: impl IntoIterator<Item = &'a str>) {
        let host = self.host(host);
        let addrs = addrs.into_iter().map(|addr| self.addr(addr)).collect();
        let mut names = host.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned(), addrs);
        let file = self.topology.hosts_file(&names);
        host.namespace.write("hosts", &file).expect("it was written before");
    }

    /// Sets the weather from one host to another, in this direction alone.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn set_weather(&self, from: &str, to: &str, weather: Weather) {
        let (from, to) = (self.topology.host(from), self.topology.host(to));
        self.conditions.set_weather(from.addr, to.addr, weather);
    }

    /// Drops all datagrams from and to this host from now on, as if its cable were pulled.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn unplug(&self, host: &str) {
        self.conditions.unplug(self.topology.host(host).addr);
    }

    /// Undoes [`unplug`](Self::unplug).
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn plug(&self, host: &str) {
        self.conditions.plug(self.topology.host(host).addr);
    }

    /// Drops, for good, all datagrams between the pairs of ports that these hosts have used so far between them, as a
    /// middlebox does that has lost its state. Other ports get through. Returns how many pairs there are.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn pin(&self, one: &str, other: &str) -> usize {
        self.conditions.pin(self.topology.host(one).addr, self.topology.host(other).addr)
    }

    /// The traffic from one host to another so far.
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn traffic(&self, from: &str, to: &str) -> Traffic {
        self.conditions.traffic(self.topology.host(from).addr, self.topology.host(to).addr)
    }

    fn host(&self, name: &str) -> &Host {
        let node = self.topology.host(name);
        let index = self.topology.hosts.iter().position(|host| host.addr == node.addr);
        &self.hosts[index.expect("it is one of them")]
    }
}

/// Connects all hosts to the router. UDP goes to the sockets of the [`Carrier`] there, all else is forwarded; what is
/// for no host disappears.
fn connect(router: &Namespace, topology: &Topology, hosts: &[Host]) {
    let mut commands = String::from("route add blackhole default\nroute add blackhole default table 100\n");
    for (node, host) in topology.hosts.iter().zip(hosts) {
        let (name, addr, namespace) = (&node.name, node.addr, host.namespace.name());
        let _ = write!(
            commands,
            "link add name to-{name} type veth peer name eth0 netns {namespace}
             addr add {ROUTER}/32 dev to-{name}
             link set to-{name} up
             route add {addr}/32 dev to-{name}
             route add local {addr}/32 dev lo table 100
             rule add iif to-{name} ipproto udp lookup 100
            "
        );
    }
    router.ip(&commands);
    for (node, host) in topology.hosts.iter().zip(hosts) {
        // No subnet: in one, the C library would sort a name's addresses by how alike they are to the host's own.
        host.namespace.ip(&format!(
            "addr add {}/32 dev eth0\nlink set eth0 up\nroute add default via {ROUTER} dev eth0 onlink\n",
            node.addr
        ));
    }
}
