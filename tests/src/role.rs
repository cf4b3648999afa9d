//! The process of a test: tells its parent a line at a time on stdout, and ends with it.

use std::{
    io::{self, Read as _, Write as _},
    path::Path,
};

use rpcnet::{
    Server,
    dev::{DevCa, DevCert},
};
use rpcnet_benches::Failure;
use rpcnet_cluster::{Cluster, ClusterConfig, ClusterExt, Director, Member};

/// A process' certificate, its key, and the authority's certificate.
#[derive(Debug)]
pub struct Pem {
    /// `node.crt`.
    pub cert: Vec<u8>,
    /// `node.key`.
    pub key: Vec<u8>,
    /// `ca.crt`.
    pub ca: Vec<u8>,
}

impl Pem {
    /// Reads them from this directory.
    ///
    /// # Errors
    ///
    /// When one can't be read.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let read = |name| std::fs::read(directory.join(name));
        Ok(Self { cert: read("node.crt")?, key: read("node.key")?, ca: read("ca.crt")? })
    }

    /// Writes a certificate for this name into a directory, which is made.
    ///
    /// # Errors
    ///
    /// When it can't be issued or written.
    pub fn write(ca: &DevCa, name: &str, directory: &Path) -> Result<(), Failure> {
        let DevCert { cert, key } = ca.issue(name)?;
        std::fs::create_dir(directory)?;
        for (name, text) in [("ca.crt", ca.ca_pem()), ("node.crt", &cert), ("node.key", &key)] {
            std::fs::write(directory.join(name), text)?;
        }
        Ok(())
    }
}

/// Begins a process of a test: it ends with its parent, and logs to stderr as `RUST_LOG` says.
pub fn begin() {
    end_with_parent();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_ansi(false)
        .with_writer(io::stderr)
        .try_init();
}

/// Runs this server as a node until SIGTERM, and tells where it listens, its id, and whom it lists.
///
/// # Errors
///
/// When it can't enter the cluster, or is made to leave it.
pub async fn run_node(server: &Server, config: ClusterConfig, director: bool) -> Result<(), Failure> {
    // Before anybody can send anything: proxies must know whose packets these are.
    tell(&format!("listening {}", server.local_addr()))?;
    let cluster = server.enable_cluster(config).await?;
    if director {
        Director::new(server, &cluster)?;
    }
    tell(&format!("id {}", cluster.local_node_id()))?;
    tokio::select! {
        ended = server.run_until(rpcnet::shutdown_signal()) => Ok(ended?),
        conflict = cluster.stopped() => Err(conflict.into()),
        failed = tell_views(&cluster) => Err(failed.into()),
    }
}

/// Writes a line on stdout, which the parent reads.
///
/// # Errors
///
/// When the parent does not read any more.
pub fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Tells which nodes this node lists, at first and whenever that changes, as `view id@address …`. Returns when the
/// parent does not read any more.
async fn tell_views(cluster: &Cluster) -> io::Error {
    let mut view = cluster.view();
    loop {
        let line = listed(&view.borrow_and_update());
        if let Err(error) = tell(&line) {
            return error;
        }
        if view.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn listed(members: &[Member]) -> String {
    let mut line = String::from("view");
    for member in members.iter().filter(|member| member.state().is_active()) {
        line.push_str(&format!(" {}@{}", member.id(), member.identity().addr()));
    }
    line
}

/// Ends this process when the parent is gone, however it went. The parent's end of our stdin closes then, and where
/// this process is stopped just then, the kernel kills it.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    // A thread of its own: a runtime would wait for a read that never returns when it shuts down.
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while io::stdin().lock().read(&mut rest).is_ok_and(|length| length > 0) {}
        std::process::exit(0);
    });
}
