//! A process of the cluster, as the demo's child.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::ROLE;

/// The time within which a process has to report its address.
const PATIENCE: Duration = Duration::from_secs(15);

/// A child process, which is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Open as long as this process lives: see [`end_with_parent`].
    _stdin: Option<ChildStdin>,
    pub(super) lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Process {
    /// Starts a role with its arguments. Its stderr goes to a file beside its certificates.
    pub(super) fn start(role: &str, arguments: &[OsString], directory: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the demo's own binary can't be found")?;
        let log = directory.join("log");
        // A process that is started again appends to the log of its former life.
        let stderr = File::options().create(true).append(true).open(&log);
        let stderr = stderr.with_context(|| format!("can't write {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .arg(ROLE)
            .arg(role)
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        // A ctrl-c at the terminal is meant for the demo, which stops its children itself.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("can't start a {role}"))?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let stdin = child.stdin.take();
        Ok(Self { child, _stdin: stdin, lines: BufReader::new(stdout).lines(), log })
    }

    /// Waits until the process reports the address at which it listens.
    pub(super) async fn address(&mut self) -> anyhow::Result<String> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => match line.strip_prefix("listening on ") {
                Some(address) => Ok(address.to_owned()),
                None => Err(anyhow!("it said `{line}` in place of where it listens")),
            },
            Ok(Ok(None)) => Err(anyhow!("it ended at once: {}", self.last_words())),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                Err(anyhow!("it did not say where it listens within {PATIENCE:?}: {}", self.last_words()))
            }
        }
    }

    /// Sends SIGKILL.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends SIGTERM.
    pub(super) fn terminate(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.context("the process has ended already")?;
        kill_process(pid, signal).context("the process can't be signalled")
    }

    /// The exit status, if the process has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the process ends, and kills it after `within`.
    pub(super) async fn end(&mut self, within: Duration) {
        if timeout(within, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// The last line of its stderr.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }
}

/// Ends this child process when the demo ends, for whatever reason: the demo's end of the child's stdin closes then.
pub(super) fn end_with_parent() {
    // In a thread of its own: when a runtime shuts down, it would wait for a read that never returns.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}
