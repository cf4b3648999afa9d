//! A process of the cluster, as the runner's child.

use std::{
    collections::BTreeSet,
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rpcnet_benches::Failure;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    task::AbortHandle,
    time::timeout,
};

/// A process that has not said who it is by then has failed. It shares the machine with all the others.
const PATIENCE: Duration = Duration::from_secs(20);

/// What it has told of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Where its socket is.
    pub(crate) listening: Option<SocketAddr>,
    /// Its node id.
    pub(crate) id: Option<String>,
    /// The nodes that it lists, itself among them, as `id@address`.
    pub(crate) view: BTreeSet<String>,
}

impl Told {
    fn take(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("listening", address)) => self.listening = address.parse().ok(),
            Some(("id", id)) => self.id = Some(id.to_owned()),
            Some(("view", nodes)) => self.view = nodes.split(' ').map(str::to_owned).collect(),
            _ => {}
        }
    }
}

/// A child; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
    /// Open as long as we live: the child ends when it closes.
    _stdin: Option<ChildStdin>,
    told: watch::Receiver<Told>,
    reader: AbortHandle,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Process {
    /// Starts our own binary with these arguments; what it says on stderr goes to the log.
    pub(crate) fn start(arguments: &[String], log: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            // A ctrl-c at the terminal is for the runner, which stops its children itself.
            .process_group(0);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "info");
        }
        let mut child = command.spawn()?;
        let pid = child.id().ok_or("a process has ended at once")?;
        let stdout = child.stdout.take().ok_or("stdout is a pipe")?;
        let stdin = child.stdin.take();
        let (sender, told) = watch::channel(Told::default());
        let reader = tokio::spawn(read(stdout, sender)).abort_handle();
        Ok(Self { child, pid, _stdin: stdin, told, reader })
    }

    /// Waits until it has told where it listens, and who it is.
    pub(crate) async fn born(&mut self) -> Result<(SocketAddr, String), Failure> {
        let told =
            timeout(PATIENCE, self.told.wait_for(|told| told.id.is_some() && told.listening.is_some()));
        let told = told.await.map_err(|_| format!("it has not told who it is within {PATIENCE:?}"))?;
        let told = told.map_err(|_| "it has ended at once")?;
        told.listening.zip(told.id.clone()).ok_or_else(|| "it has told both".into())
    }

    /// Waits until it has told where it listens.
    pub(crate) async fn listening(&mut self) -> Result<SocketAddr, Failure> {
        let told = timeout(PATIENCE, self.told.wait_for(|told| told.listening.is_some()));
        let told = told.await.map_err(|_| format!("it does not listen within {PATIENCE:?}"))?;
        let told = told.map_err(|_| "it has ended at once")?;
        told.listening.ok_or_else(|| "it has told where".into())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has told so far.
    pub(crate) fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(kill_process(pid.ok_or("the process has ended already")?, signal)?)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end; `None` where it takes too long.
    pub(crate) async fn end(&mut self, within: Duration) -> Result<Option<ExitStatus>, Failure> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => Ok(None),
        }
    }
}

async fn read(stdout: ChildStdout, told: watch::Sender<Told>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        told.send_modify(|told| told.take(&line));
    }
}
