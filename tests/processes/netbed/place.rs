//! Processes in hosts.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use rpcnet::dev::DevCa;
use rpcnet_tests::{
    netbed::{Bed, Topology},
    process::{Hear, Process, Told},
    role::Pem,
};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

/// The hosts of most tests.
pub(crate) const HOSTS: [&str; 3] = ["a", "b", "c"];

/// The time after the start of its nodes within which a cluster is whole.
pub(crate) const WHOLE: Duration = Duration::from_secs(5);

/// The binary with the roles of processes.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_netbed-process");

/// A process that has not done by then has failed. It may share the machine with much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// All lines of a process.
#[derive(Clone, Default)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl fmt::Debug for Lines {
    /// The last ones: a client that calls again and again has told much.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.len().saturating_sub(12);
        f.debug_list().entries(&self.0[first..]).finish()
    }
}

impl Hear for Lines {
    fn hear(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

impl Lines {
    /// The rest of each line that begins with this word.
    pub(crate) fn of<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |line| {
            let rest = line.strip_prefix(word)?;
            rest.strip_prefix(' ').or(rest.is_empty().then_some(rest))
        })
    }
}

/// Starts a role in a host; `arguments` are separated by spaces.
pub(crate) fn start<T: Hear>(bed: &Bed, host: &str, name: &str, arguments: &str) -> Process<T> {
    bed.start(host, name, PROGRAM, arguments.split_ascii_whitespace())
}

/// Runs a role in a host to its end; returns what it told.
pub(crate) async fn run(bed: &Bed, host: &str, name: &str, arguments: &str) -> Lines {
    let mut process = start::<Lines>(bed, host, name, arguments);
    let ended = process.end(PATIENCE).await.expect("it is a child");
    assert!(ended.is_some_and(|status| status.success()), "{name}: {ended:?}\n{}", bed.log(name));
    process.told_to_end().await
}

/// A cluster on the hosts of a bed, and its clients.
pub(crate) struct Place {
    pub(crate) bed: Bed,
    ca: DevCa,
    started: Instant,
    nodes: Vec<Node>,
}

/// A running node.
struct Node {
    name: String,
    host: String,
    /// Where others reach it.
    addr: SocketAddr,
    process: Process<Told>,
}

impl Place {
    /// Returns one without nodes; `None` where namespaces are not permitted.
    pub(crate) fn new(topology: Topology) -> Option<Self> {
        let bed = topology.start()?;
        Some(Self { bed, ca: DevCa::generate().expect("a CA"), started: Instant::now(), nodes: Vec::new() })
    }

    /// Starts a director and a worker on each of the [`HOSTS`], with one name for all of them as their seed. Returns when
    /// the cluster is whole; `None` where namespaces are not permitted.
    pub(crate) async fn of_one_name() -> Option<Self> {
        let mut place = Self::new(Topology::new(HOSTS).with_name("cluster", HOSTS))?;
        for host in HOSTS {
            place.start_at_host("director", host, 7500, "cluster:7500");
            place.start_at_host("worker", host, 7501, "cluster:7500");
        }
        place.whole_within(WHOLE).await;
        Some(place)
    }

    /// A directory with the certificate of this name.
    pub(crate) fn certificates(&self, name: &str) -> PathBuf {
        let directory = self.bed.directory().join(format!("{name}.certificates"));
        if !directory.exists() {
            Pem::write(&self.ca, name, &directory).expect("the bed's directory is writable");
        }
        directory
    }

    fn certificate(&self, name: &str) -> String {
        format!("--certificates {}", self.certificates(name).display())
    }

    /// Starts a node that listens at this address and port of the host. Its name is that of kind, host and port.
    pub(crate) fn start(&mut self, kind: &str, host: &str, bind: IpAddr, port: u16, seeds: &str) {
        if self.nodes.is_empty() {
            self.started = Instant::now();
        }
        let name = format!("{kind}-{host}-{port}");
        let bind_addr = SocketAddr::new(bind, port);
        let certificate = self.certificate(&name);
        let arguments = format!("node {kind} --bind {bind_addr} --name {name} --seeds {seeds} {certificate}");
        let process = start(&self.bed, host, &name, &arguments);
        let reached = if bind.is_unspecified() { self.bed.addr(host) } else { bind };
        self.nodes.push(Node { name, host: host.to_owned(), addr: SocketAddr::new(reached, port), process });
    }

    /// Starts a node at the host's own address.
    pub(crate) fn start_at_host(&mut self, kind: &str, host: &str, port: u16, seeds: &str) {
        self.start(kind, host, self.bed.addr(host), port, seeds);
    }

    /// Waits until all nodes that were started listen.
    pub(crate) async fn up(&mut self) {
        for node in &mut self.nodes {
            let up = node.process.told_within(PATIENCE, |told| told.id.is_some()).await;
            up.unwrap_or_else(|error| panic!("{}: {error}\n{}", node.name, self.bed.log(&node.name)));
        }
    }

    /// Waits until each node lists all nodes, at the addresses where others reach them.
    ///
    /// # Panics
    ///
    /// When that is not so this long after the first node was started.
    pub(crate) async fn whole_within(&mut self, time: Duration) {
        let (started, end) = (self.started, self.started + time);
        self.whole_by(end, &format!("{time:?} after the start")).await;
        say(format_args!("whole {:?} after the start", started.elapsed()));
    }

    /// Waits until that is so.
    ///
    /// # Panics
    ///
    /// When it is not so at this moment.
    pub(crate) async fn whole_by(&mut self, end: Instant, when: &str) {
        self.agree_by(end, when, |_| true).await;
    }

    /// Waits until each node that is not on this host lists all nodes that are not on it, and no other.
    ///
    /// # Panics
    ///
    /// When it is not so at this moment.
    pub(crate) async fn whole_without(&mut self, host: &str, end: Instant) {
        self.agree_by(end, "without one host", |node| node.host != host).await;
    }

    async fn agree_by(&mut self, end: Instant, when: &str, counts: impl Fn(&Node) -> bool) {
        loop {
            let wrong = self.disagreements(&counts);
            if wrong.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "not whole {when}:\n{}\n{}", wrong.join("\n"), self.logs());
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn disagreements(&self, counts: impl Fn(&Node) -> bool) -> Vec<String> {
        let nodes = self.nodes.iter().filter(|node| counts(node));
        let told: Vec<_> = nodes.map(|node| (node, node.process.told())).collect();
        let listed = |(node, told): &(&Node, Told)| {
            let id = told.id.as_deref().unwrap_or("not up");
            format!("{id}@{}", node.addr)
        };
        let all: BTreeSet<_> = told.iter().map(listed).collect();
        let wrong = told.iter().filter(|(_, told)| told.view != all);
        wrong.map(|(node, told)| format!("{} lists {:?} of {all:?}", node.name, told.view)).collect()
    }

    fn logs(&self) -> String {
        let logs = self.nodes.iter().map(|node| format!("--- {}\n{}", node.name, self.bed.log(&node.name)));
        logs.collect::<Vec<_>>().join("\n")
    }

    /// SIGKILL for a node; returns when it is dead.
    pub(crate) async fn kill(&mut self, name: &str) {
        let index = self.nodes.iter().position(|node| node.name == name).expect("it was started");
        let mut node = self.nodes.swap_remove(index);
        node.process.signal(Signal::KILL).expect("it runs");
        node.process.end(PATIENCE).await.expect("it is a child").expect("it dies of SIGKILL");
    }

    /// Starts a client: `arguments` are those of the role `client`, without certificates.
    pub(crate) fn client(&self, host: &str, name: &str, arguments: &str) -> Process<Lines> {
        start(&self.bed, host, name, &format!("client {arguments} {}", self.certificate(name)))
    }

    /// Runs a client that calls once: it connects, and its call is answered, within a second each.
    pub(crate) async fn calls_at_once(&self, host: &str, name: &str, arguments: &str) {
        let mut client = self.client(host, name, arguments);
        let ended = client.end(PATIENCE).await.expect("it is a child");
        let told = client.told_to_end().await;
        say(format_args!("{name}: {told:?}"));
        let log = || format!("{name}: {ended:?} {told:?}\n{}", self.bed.log(name));
        for step in ["connected", "answered"] {
            let took = told.of(step).next().and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            assert!(took.is_some_and(|took| took <= 1000), "{step}: {}", log());
        }
    }
}

/// Tells figures to the reader of a test's output.
#[expect(clippy::print_stderr, reason = "cargo shows it where a test fails, or with --nocapture")]
pub(crate) fn say(text: std::fmt::Arguments<'_>) {
    eprintln!("{text}");
}
