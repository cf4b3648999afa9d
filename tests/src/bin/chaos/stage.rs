//! The cluster: its nodes, the proxies in front of them, and their processes, one after the other.

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rpcnet::dev::DevCa;
use rpcnet_benches::Failure;
use rpcnet_tests::{
    process::{Process, Told},
    role::Pem,
};
use rustix::process::Signal;
use tokio::{process::Command, sync::Mutex};

use crate::{journal::Journal, proxy::Proxy, schedule::Cast, sky::Sky};

/// A process that has not said who it is by then has failed. It shares the machine with all the others.
const PATIENCE: Duration = Duration::from_secs(20);
/// A drain that takes longer has failed: 30 s for calls (which take less here), 3 s for the leave, two for farewells.
const DRAIN: Duration = Duration::from_secs(40);

/// Between two SIGTERMs: long enough for it to begin to drain, too short for it to be done.
const AGAIN: Duration = Duration::from_millis(20);
/// After the second SIGTERM; it takes a second to tell its peers. The machine has much to do.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A node, over all its lives.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) proxy: Proxy,
    lives: usize,
    process: Option<Process<Told>>,
    /// The name of its life and the process' id.
    pub(crate) life: Option<(String, u32)>,
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cast: Cast,
    pub(crate) sky: Arc<Sky>,
    pub(crate) journal: Arc<Journal>,
    directory: PathBuf,
    directors: Vec<SocketAddr>,
    nodes: Vec<Mutex<Node>>,
}

impl Stage {
    /// Makes certificates and proxies, and starts all processes.
    pub(crate) async fn open(
        cast: Cast,
        ca: &DevCa,
        directory: &Path,
        journal: Arc<Journal>,
    ) -> Result<Self, Failure> {
        let sky = Arc::new(Sky::new(cast.len()));
        let mut stage = Self {
            cast,
            sky: sky.clone(),
            journal,
            directory: directory.to_owned(),
            directors: Vec::new(),
            nodes: Vec::new(),
        };
        fs::create_dir(stage.ledgers())?;
        for index in 0..cast.len() {
            let proxy = Proxy::start(index, sky.clone()).await?;
            if cast.is_director(index) {
                stage.directors.push(proxy.addr());
            }
            Pem::write(ca, &cast.label(index), &stage.home(index))?;
            stage.nodes.push(Mutex::new(Node { proxy, lives: 0, process: None, life: None }));
        }
        for index in 0..cast.len() {
            stage.start(index, &mut *stage.nodes[index].lock().await).await?;
        }
        Ok(stage)
    }

    /// Where clients reach the directors.
    pub(crate) fn directors(&self) -> &[SocketAddr] {
        &self.directors
    }

    /// Where the ledgers are.
    pub(crate) fn ledgers(&self) -> PathBuf {
        self.directory.join("ledgers")
    }

    fn home(&self, index: usize) -> PathBuf {
        self.directory.join(self.cast.label(index))
    }

    /// A node, which may not be there just now.
    pub(crate) fn node(&self, index: usize) -> &Mutex<Node> {
        &self.nodes[index]
    }

    async fn start(&self, index: usize, node: &mut Node) -> Result<(), Failure> {
        node.lives += 1;
        let label = self.cast.label(index);
        let name = format!("{label}.{}", node.lives);
        let path = |path: PathBuf| path.display().to_string();
        let seeds: Vec<_> = self.directors.iter().map(SocketAddr::to_string).collect();
        let home = self.home(index);
        let mut arguments = vec![
            "role".to_owned(),
            format!("--role={}", if self.cast.is_director(index) { "director" } else { "worker" }),
            format!("--name={name}"),
            format!("--certificates={}", path(home.clone())),
            format!("--ledgers={}", path(self.ledgers())),
            format!("--advertise={}", node.proxy.addr()),
            format!("--seeds={}", seeds.join(",")),
        ];
        // Half of the nodes come back as the ones they were, the others as new ones.
        if index.is_multiple_of(2) {
            arguments.push(format!("--snapshot={}", path(home.join("snapshot"))));
        }
        let failed = |error: io::Error| format!("{name} did not start: {error}");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(&arguments);
        let mut process = Process::<Told>::start(command, &self.directory.join(format!("{name}.log")))?;
        let told = process.told_within(PATIENCE, |told| told.listening.is_some()).await.map_err(failed)?;
        let source = told.listening.ok_or("it has told where")?;
        self.sky.sends_from(index, source);
        node.proxy.forward_to(source);
        process.told_within(PATIENCE, |told| told.id.is_some()).await.map_err(failed)?;
        self.journal.note(format!("{name} is up, at {}", node.proxy.addr()));
        node.life = Some((name, process.pid()));
        node.process = Some(process);
        Ok(())
    }

    /// Starts it again, at the same address or another.
    pub(crate) async fn restart(
        &self,
        index: usize,
        node: &mut Node,
        elsewhere: bool,
    ) -> Result<(), Failure> {
        if elsewhere {
            node.proxy = Proxy::start(index, self.sky.clone()).await?;
        }
        self.start(index, node).await
    }
}

impl Node {
    /// Sends a signal, which does not end it.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(self.process.as_ref().ok_or("the node is not up")?.signal(signal)?)
    }

    /// SIGKILL; returns when it is dead.
    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        self.life = None;
        let mut process = self.process.take().ok_or("the node is not up")?;
        process.signal(Signal::KILL)?;
        process.end(DRAIN).await?.ok_or("it did not die of SIGKILL")?;
        Ok(())
    }

    /// SIGTERM, once or twice; returns when it has gone. Says what was wrong with that.
    pub(crate) async fn drain(&mut self, twice: bool) -> Result<Option<String>, Failure> {
        let mut process = self.process.take().ok_or("the node is not up")?;
        process.signal(Signal::TERM)?;
        let mut ended = None;
        if twice {
            ended = process.end(AGAIN).await?;
            if ended.is_none() {
                process.signal(Signal::TERM)?;
            }
        }
        if ended.is_none() {
            ended = process.end(if twice { AT_ONCE } else { DRAIN }).await?;
        }
        self.life = None;
        Ok(match ended {
            Some(status) if status.success() => None,
            Some(status) => Some(format!("after SIGTERM: {status}")),
            None => Some(format!("it has not gone in time after SIGTERM, twice: {twice}")),
        })
    }

    /// The exit status, if the process was not told to end.
    pub(crate) fn has_failed(&mut self) -> Option<String> {
        let status = self.process.as_mut()?.ended()?;
        self.process = None;
        self.life = None;
        Some(status.to_string())
    }

    /// The name under which others should list it: `id@address`.
    fn listed_as(&self) -> Option<String> {
        let id = self.process.as_ref()?.told().id?;
        Some(format!("{id}@{}", self.proxy.addr()))
    }
}

impl Stage {
    /// Differences between the nodes' lists and the nodes that are there; empty if all agree. Waits for nodes that are
    /// being restarted.
    pub(crate) async fn disagreements(&self) -> Vec<String> {
        let mut nodes = Vec::new();
        for node in &self.nodes {
            nodes.push(node.lock().await);
        }
        let labels: Vec<_> =
            nodes.iter().enumerate().map(|(index, node)| (node.listed_as(), index)).collect();
        let expected: BTreeSet<_> = labels.iter().filter_map(|(listed, _)| listed.clone()).collect();
        let label = |listed: &String| {
            let known = labels.iter().find(|(other, _)| other.as_ref() == Some(listed));
            known.map_or_else(|| listed.clone(), |(_, index)| self.cast.label(*index))
        };
        let mut wrong = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let Some(process) = &node.process else {
                wrong.push(format!("{} is not up", self.cast.label(index)));
                continue;
            };
            let view = process.told().view;
            let (missing, surplus): (Vec<_>, Vec<_>) = (
                expected.difference(&view).map(label).collect(),
                view.difference(&expected).map(label).collect(),
            );
            if !missing.is_empty() || !surplus.is_empty() {
                let own = self.cast.label(index);
                wrong.push(format!(
                    "{own} does not list [{}], but [{}]",
                    missing.join(" "),
                    surplus.join(" ")
                ));
            }
        }
        wrong
    }
}
