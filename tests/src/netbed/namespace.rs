//! Network namespaces by name, as `ip netns` keeps them.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where `ip netns` keeps namespaces by name.
pub(super) const NAMES: &str = "/var/run/netns";
/// Where `ip netns exec` looks for files that stand in for those of `/etc`, by namespace.
pub(super) const FILES: &str = "/etc/netns";

/// Namespaces can't be made here. Has the reason.
#[derive(Debug)]
pub(super) struct NotPermitted(pub(super) String);

/// A named network namespace, with a directory of files that stand in for those of `/etc`; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

impl Namespace {
    /// Makes one. The loopback is up.
    pub(super) fn new(name: String) -> Result<Self, NotPermitted> {
        if !rustix::process::geteuid().is_root() {
            return Err(NotPermitted("this is not root".into()));
        }
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        let made = made.map_err(|error| NotPermitted(format!("`ip` can't be run: {error}")))?;
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            let denied = ["not permitted", "denied", "Read-only", "not supported", "not implemented"];
            assert!(denied.iter().any(|words| why.contains(words)), "`ip netns add {name}`: {why}");
            return Err(NotPermitted(why));
        }
        let namespace = Self { name };
        namespace.ip("link set lo up\n");
        Ok(namespace)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A handle, by which a thread can enter it.
    pub(super) fn open(&self) -> io::Result<fs::File> {
        fs::File::open(Path::new(NAMES).join(&self.name))
    }

    /// Writes a file that stands in for that of `/etc` in processes that are started here; also while they run. A file
    /// that `/etc` does not have is left out.
    pub(super) fn write(&self, file: &str, content: &str) -> io::Result<()> {
        if !Path::new("/etc").join(file).exists() {
            return Ok(());
        }
        let directory = Path::new(FILES).join(&self.name);
        fs::create_dir_all(&directory)?;
        // In place: the processes have this very file.
        fs::write(directory.join(file), content)
    }

    /// Runs commands of `ip` in it, a line each.
    ///
    /// # Panics
    ///
    /// When one fails.
    pub(super) fn ip(&self, commands: &str) {
        let run = || -> io::Result<std::process::Output> {
            let mut child = Command::new("ip")
                .args(["-n", &self.name, "-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?.write_all(commands.as_bytes())?;
            child.wait_with_output()
        };
        let output = run().expect("`ip` has run before");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`ip` in {}: {told}\n{commands}", self.name);
    }

    /// The command and arguments that run a program in it.
    pub(super) fn exec(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

/// Removes a namespace of this name, and its files. The kernel keeps the namespace for as long as processes are in it.
pub(super) fn remove(name: &str) {
    // A namespace that is gone already need not be removed.
    let _ =
        Command::new("ip").args(["netns", "del", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let files: PathBuf = Path::new(FILES).join(name);
    let _ = fs::remove_dir_all(files);
}
