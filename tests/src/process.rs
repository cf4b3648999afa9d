//! Processes of a test, as its children.

use std::{
    collections::BTreeSet, fs::File, io, net::SocketAddr, path::Path, process::ExitStatus, process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    task::AbortHandle,
    time::timeout,
};

/// The state of a process as its lines on stdout tell it. [`Process`] keeps it up to date.
pub trait Hear: Default + Clone + Send + Sync + 'static {
    /// Takes in the next line.
    fn hear(&mut self, line: &str);
}

/// A cluster's node, as the lines of [`role`](crate::role) tell it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Where its socket is.
    pub listening: Option<SocketAddr>,
    /// Its node id.
    pub id: Option<String>,
    /// The nodes that it lists, itself among them, as `id@address`.
    pub view: BTreeSet<String>,
}

impl Hear for Told {
    fn hear(&mut self, line: &str) {
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
pub struct Process<T> {
    child: Child,
    pid: u32,
    /// Open as long as we live: the child ends when it closes.
    _stdin: Option<ChildStdin>,
    told: watch::Receiver<T>,
    reader: AbortHandle,
}

impl<T> Drop for Process<T> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl<T: Hear> Process<T> {
    /// Starts this command; its stderr goes to the file `log`. `RUST_LOG` is `info` where it is not set.
    ///
    /// # Errors
    ///
    /// When the program can't be started, or the log not be written.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .kill_on_drop(true)
            // A ctrl-c at the terminal is for the parent, which stops its children itself.
            .process_group(0);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "info");
        }
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("a process has ended at once"))?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("stdout is a pipe"))?;
        let stdin = child.stdin.take();
        let (sender, told) = watch::channel(T::default());
        let reader = tokio::spawn(read(stdout, sender)).abort_handle();
        Ok(Self { child, pid, _stdin: stdin, told, reader })
    }

    /// Waits until what it has told is as `wanted`.
    ///
    /// # Errors
    ///
    /// When the time is over, or it has ended before.
    pub async fn told_within(&mut self, time: Duration, wanted: impl FnMut(&T) -> bool) -> io::Result<T> {
        let late = || {
            io::Error::new(io::ErrorKind::TimedOut, format!("the process has not told it within {time:?}"))
        };
        let told = timeout(time, self.told.wait_for(wanted)).await.map_err(|_| late())?;
        told.map(|told| told.clone())
            .map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, "the process has ended"))
    }

    /// The lines that it has told so far.
    pub fn told(&self) -> T {
        self.told.borrow().clone()
    }

    /// Waits until it tells no more, which is at its end, and returns all that it has told.
    pub async fn told_to_end(&mut self) -> T {
        // The sender is gone when stdout is closed.
        while self.told.changed().await.is_ok() {}
        self.told()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the process has ended already"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end; `None` where it takes too long.
    ///
    /// # Errors
    ///
    /// When the operating system can't tell.
    pub async fn end(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => Ok(None),
        }
    }
}

async fn read<T: Hear>(stdout: ChildStdout, told: watch::Sender<T>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        told.send_modify(|told| told.hear(&line));
    }
}
