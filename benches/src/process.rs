//! Servers in processes of their own: the benchmark's own binary, started again in another role.
//!
//! The parent writes one line to the child's stdin: its task, keys included, so that nothing lies on disk. It reads one
//! line from the child's stdout: its address. A child that takes orders continues in the same way, an answer for each
//! line. The parent keeps the child's stdin open. However the parent ends, SIGKILL included, the child reads the end of
//! stdin and ends too.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::Memory;

/// The number of ticks of `/proc/<pid>/stat` in a second: `USER_HZ`, which is 100 wherever Linux runs today.
const TICKS_PER_SECOND: u64 = 100;

/// The error for a server process that could not be started or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The process could not be started, or its pipes failed.
    #[error("can't start the process of the role {role}")]
    Start {
        /// The role.
        role: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The process ended before it reported its address. Its stderr has the reason.
    #[error("the process of the role {0} ended before it was ready")]
    Ended(String),
    /// The process ended, or its pipes failed, before it had carried out an order.
    #[error("the process did not answer")]
    Answer(#[source] io::Error),
    /// The processor time of a process can't be read from `/proc`.
    #[error("can't read the processor time of process {pid}")]
    CpuTime {
        /// The process.
        pid: u32,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The memory of a process can't be read from `/proc`.
    #[error("can't read the memory of process {pid}")]
    Memory {
        /// The process.
        pid: u32,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A serving process of this binary. It is killed when this is dropped, and ends by itself when this process ends.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    output: BufReader<ChildStdout>,
    greeting: String,
}

impl ServerProcess {
    /// Starts this binary with these arguments, sends it a line, and waits for the line that it answers with.
    ///
    /// Blocks, so it is not for use beside calls that are being measured.
    ///
    /// # Errors
    ///
    /// [`ProcessError`]; no process is left behind.
    pub fn start<A: AsRef<OsStr>>(role: &str, arguments: &[A], line: &str) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Start { role: role.to_owned(), source };
        let binary = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        // From here on, dropping `process` kills the child.
        let mut process = Self { child, output, greeting: String::new() };
        // A write to a child that is dead already fails. The read below gives the clearer error.
        let _ = process.write(line);
        process.output.read_line(&mut process.greeting).map_err(failed)?;
        if process.greeting.ends_with('\n') { Ok(process) } else { Err(ProcessError::Ended(role.to_owned())) }
    }

    /// The line that the process answered with.
    pub fn greeting(&self) -> &str {
        self.greeting.trim_end()
    }

    /// Sends the process another line and waits for the line that it answers with. Blocks.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Answer`] if the process has ended, or ends before it answers.
    pub fn ask(&mut self, line: &str) -> Result<String, ProcessError> {
        self.write(line).map_err(ProcessError::Answer)?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).map_err(ProcessError::Answer)?;
        if answer.ends_with('\n') {
            answer.truncate(answer.trim_end().len());
            Ok(answer)
        } else {
            Err(ProcessError::Answer(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let input = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(input, "{line}")?;
        input.flush()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processor time of the process so far, user and system, in all threads.
    ///
    /// # Errors
    ///
    /// [`ProcessError::CpuTime`]; always on systems other than Linux.
    pub fn cpu_time(&self) -> Result<Duration, ProcessError> {
        cpu_time(self.child.id())
    }

    /// The memory of the process.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Memory`]; always on systems other than Linux.
    pub fn memory(&self) -> Result<Memory, ProcessError> {
        Memory::of(self.child.id())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time of a process so far, user and system, in all threads. It has steps of 10 ms.
///
/// # Errors
///
/// [`ProcessError::CpuTime`]; always on systems other than Linux.
pub fn cpu_time(pid: u32) -> Result<Duration, ProcessError> {
    let failed = |source| ProcessError::CpuTime { pid, source };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(failed)?;
    let ticks = ticks(&stat).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// `utime + stime`, fields 14 and 15 of proc_pid_stat(5). The second field is the name in parentheses, which may
/// contain any character.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Ends this process, the child, once stdin ends. The orders on stdin must have been read before.
///
/// This uses a thread of its own, because a blocked runtime must not keep the process alive.
pub fn exit_with_parent() {
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while io::stdin().lock().read(&mut rest).is_ok_and(|length| length > 0) {}
        std::process::exit(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_behind_any_name() {
        let stat = "4242 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 17 30 40 20 0 5";
        assert_eq!(ticks(stat), Some(267));
        assert_eq!(ticks("4242 (calls) S 1 2"), None);
        assert_eq!(ticks(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_processor_time_is_told() {
        assert!(cpu_time(std::process::id()).is_ok());
        assert!(matches!(cpu_time(u32::MAX), Err(ProcessError::CpuTime { .. })));
    }
}
