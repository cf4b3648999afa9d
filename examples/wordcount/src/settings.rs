//! Configuration of the binaries `director`, `worker` and `client`.
//!
//! A setting is taken from the first of these that has it: its flag, the environment, the TOML file that `--config`
//! names, its default. Keys of the file are the flags' names with underscores (`seed_nodes`, `cert_dir`). An empty
//! environment variable counts as not set. A list is one setting: a flag replaces the environment's list and does not
//! add to it.
//!
//! Resolving takes the environment as a function, so that nothing here depends on the process. Binaries pass `|name|
//! std::env::var_os(name)`.

mod args;
mod error;
mod layers;
mod value;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use args::{CallerArgs, ClientArgs, DirectorArgs, NodeArgs, SharedArgs, WorkerArgs};
pub use error::{Origin, SettingsError, USAGE_EXIT_CODE};
use layers::{Layers, Setting};

use crate::text::DEFAULT_CHUNK_BYTES;

#[cfg(test)]
mod tests;

/// The directory of development certificates if no directory is named.
pub const DEVELOPMENT_CERTIFICATES: &str = ".rpcnet-dev";

/// The default address at which a director listens, and at which others look for it.
const DIRECTOR_DEFAULT: &str = "127.0.0.1:8080";

const CERT_DIR: Setting = Setting::new("cert-dir", Some("RPCNET_CERT_DIR"));
const DEV_CERTS: Setting = Setting::new("dev-certs", None);
const ADVERTISE_ADDR: Setting = Setting::new("advertise-addr", Some("ADVERTISE_ADDR"));
const LOG: Setting = Setting::new("log", Some("RUST_LOG"));
const REGION: Setting = Setting::new("region", Some("REGION"));
const METRICS_ADDR: Setting = Setting::new("metrics-addr", Some("METRICS_ADDR"));
const GOSSIP_BIND: Setting = Setting::new("bind-addr", Some("BIND_ADDR"));
const SEED_NODES: Setting = Setting::new("seed-nodes", Some("SEED_NODES"));
const DIRECTOR_BIND: Setting = Setting::new("addr", Some("DIRECTOR_ADDR"));
const DIRECTOR_LABEL: Setting = Setting::new("label", Some("NODE_LABEL"));
const WORKER_BIND: Setting = Setting::new("addr", Some("WORKER_ADDR"));
const WORKER_LABEL: Setting = Setting::new("label", Some("WORKER_LABEL"));
const DIRECTORS: Setting = Setting::new("director-addr", Some("DIRECTOR_ADDR"));
const INPUTS: Setting = Setting::new("inputs", None);
const TOP: Setting = Setting::new("top", None);
const CHUNK_BYTES: Setting = Setting::new("chunk-bytes", None);
const IN_FLIGHT: Setting = Setting::new("in-flight", None);
const SECONDS: Setting = Setting::new("seconds", None);

const SHARED: [Setting; 4] = [CERT_DIR, DEV_CERTS, ADVERTISE_ADDR, LOG];

/// The source of a node's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// `ca.crt`, `node.crt` and `node.key` in this directory.
    Directory(PathBuf),
    /// A development CA in this directory, made there if it is missing: for one machine, not for production.
    Development(PathBuf),
}

/// Settings of all binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSettings {
    /// The source of the certificates.
    pub certificates: Certificates,
    /// The `host:port` at which others reach this process, if it differs from the address that it listens at.
    pub advertise: Option<String>,
    /// A log filter in the syntax of `RUST_LOG`, already checked.
    pub log: String,
}

/// Settings of a director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorSettings {
    /// Settings of all binaries.
    pub shared: SharedSettings,
    /// The address to listen at.
    pub bind: SocketAddr,
    /// The address of gossip's own socket. By default gossip uses the socket for calls.
    pub gossip: Option<SocketAddr>,
    /// The `host:port` of nodes to join through. Empty for the first director.
    pub seeds: Vec<String>,
    /// The name to show.
    pub label: Option<String>,
    /// The region to announce.
    pub region: Option<String>,
    /// The address to serve `/metrics` and health at over HTTP.
    pub metrics: Option<SocketAddr>,
}

/// Settings of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Settings of all binaries.
    pub shared: SharedSettings,
    /// The address to listen at.
    pub bind: SocketAddr,
    /// The address of gossip's own socket. By default gossip uses the socket for calls.
    pub gossip: Option<SocketAddr>,
    /// The `host:port` of nodes to join through, at least one: directors first, then seeds.
    pub seeds: Vec<String>,
    /// The name to show.
    pub label: Option<String>,
    /// The region to announce.
    pub region: Option<String>,
    /// The address to serve `/metrics` and health at over HTTP.
    pub metrics: Option<SocketAddr>,
}

/// Settings of a caller in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerSettings {
    /// Settings of all binaries.
    pub shared: SharedSettings,
    /// The `host:port` of directors, at least one.
    pub directors: Vec<String>,
}

/// Settings of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Settings of all binaries.
    pub shared: SharedSettings,
    /// The `host:port` of directors, at least one.
    pub directors: Vec<String>,
    /// Files and directories to count, at least one.
    pub inputs: Vec<PathBuf>,
    /// The number of most frequent words to print.
    pub top: usize,
    /// The approximate number of bytes of text in a call.
    pub chunk_bytes: usize,
    /// The most calls that may be under way at once.
    pub in_flight: usize,
    /// The time for which the inputs are counted again and again. If it is zero, they are counted once.
    pub repeat_for: Duration,
    /// True to print [`ClientLine`](crate::ClientLine)s on stdout in place of a table.
    pub json_lines: bool,
}

impl DirectorArgs {
    /// Resolves the settings from flags, environment, file and defaults, in this order of precedence.
    ///
    /// # Errors
    ///
    /// A value is not valid, there are no certificates, or the file can't be read.
    pub fn resolve(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<DirectorSettings, SettingsError> {
        let own = [DIRECTOR_BIND, GOSSIP_BIND, SEED_NODES, DIRECTOR_LABEL, REGION, METRICS_ADDR];
        let layers = Layers::open(self.shared.config.as_deref(), &environment, &[&SHARED, &own])?;
        Ok(DirectorSettings {
            bind: bind(&layers, DIRECTOR_BIND, &self.addr, DIRECTOR_DEFAULT)?,
            seeds: layers.list(SEED_NODES, &self.seed_nodes, value::host_port)?,
            label: layers.one(DIRECTOR_LABEL, self.label.as_deref(), value::name)?,
            region: layers.one(REGION, self.node.region.as_deref(), value::name)?,
            gossip: gossip(&layers, &self.node)?,
            metrics: metrics(&layers, &self.node)?,
            shared: self.shared.resolve(&layers, "info")?,
        })
    }
}

impl WorkerArgs {
    /// Resolves the settings from flags, environment, file and defaults, in this order of precedence.
    ///
    /// # Errors
    ///
    /// A value is not valid, there are no certificates, or the file can't be read.
    pub fn resolve(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<WorkerSettings, SettingsError> {
        let own = [WORKER_BIND, GOSSIP_BIND, DIRECTORS, SEED_NODES, WORKER_LABEL, REGION, METRICS_ADDR];
        let layers = Layers::open(self.shared.config.as_deref(), &environment, &[&SHARED, &own])?;
        let mut seeds = layers.list(DIRECTORS, &self.director_addr, value::host_port)?;
        for seed in layers.list(SEED_NODES, &self.seed_nodes, value::host_port)? {
            if !seeds.contains(&seed) {
                seeds.push(seed);
            }
        }
        Ok(WorkerSettings {
            bind: bind(&layers, WORKER_BIND, &self.addr, "127.0.0.1:8081")?,
            seeds: or_local_director(seeds),
            label: layers.one(WORKER_LABEL, self.label.as_deref(), value::name)?,
            region: layers.one(REGION, self.node.region.as_deref(), value::name)?,
            gossip: gossip(&layers, &self.node)?,
            metrics: metrics(&layers, &self.node)?,
            shared: self.shared.resolve(&layers, "info")?,
        })
    }
}

impl CallerArgs {
    /// Resolves the settings from flags, environment, file and defaults, in this order of precedence.
    ///
    /// # Errors
    ///
    /// A value is not valid, there are no certificates, or the file can't be read.
    pub fn resolve(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<CallerSettings, SettingsError> {
        let layers = Layers::open(self.shared.config.as_deref(), &environment, &[&SHARED, &[DIRECTORS]])?;
        let directors = layers.list(DIRECTORS, &self.director_addr, value::host_port)?;
        Ok(CallerSettings {
            directors: or_local_director(directors),
            shared: self.shared.resolve(&layers, "warn")?,
        })
    }
}

impl ClientArgs {
    /// Resolves the settings from flags, environment, file and defaults, in this order of precedence.
    ///
    /// # Errors
    ///
    /// A value is not valid, there is nothing to count, there are no certificates, or the file can't be read.
    pub fn resolve(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<ClientSettings, SettingsError> {
        let own = [DIRECTORS, INPUTS, TOP, CHUNK_BYTES, IN_FLIGHT, SECONDS];
        let layers = Layers::open(self.shared.config.as_deref(), &environment, &[&SHARED, &own])?;
        let directors = layers.list(DIRECTORS, &self.director_addr, value::host_port)?;
        let inputs =
            if self.inputs.is_empty() { layers.list(INPUTS, &[], value::path)? } else { self.inputs.clone() };
        if inputs.is_empty() {
            return Err(SettingsError::NoInput);
        }
        let seconds = layers.one(SECONDS, self.seconds.as_deref(), value::seconds)?;
        Ok(ClientSettings {
            directors: or_local_director(directors),
            inputs,
            top: layers.one(TOP, self.top.as_deref(), value::top)?.unwrap_or(20),
            chunk_bytes: layers
                .one(CHUNK_BYTES, self.chunk_bytes.as_deref(), value::chunk_bytes)?
                .unwrap_or(DEFAULT_CHUNK_BYTES),
            in_flight: layers.one(IN_FLIGHT, self.in_flight.as_deref(), value::in_flight)?.unwrap_or(64),
            repeat_for: seconds.unwrap_or_default(),
            json_lines: self.json_lines,
            shared: self.shared.resolve(&layers, "warn")?,
        })
    }
}

impl SharedArgs {
    fn resolve(&self, layers: &Layers<'_>, default_log: &str) -> Result<SharedSettings, SettingsError> {
        let directory = layers.one(CERT_DIR, self.cert_dir.as_deref(), value::path)?;
        let development = self.dev_certs || layers.one(DEV_CERTS, None, value::switch)?.unwrap_or_default();
        let certificates = match (directory, development) {
            (Some(directory), false) => Certificates::Directory(directory),
            (directory, true) => {
                Certificates::Development(directory.unwrap_or_else(|| DEVELOPMENT_CERTIFICATES.into()))
            }
            (None, false) => return Err(SettingsError::NoCertificates),
        };
        Ok(SharedSettings {
            certificates,
            advertise: layers.one(ADVERTISE_ADDR, self.advertise_addr.as_deref(), value::host_port)?,
            log: layers.one(LOG, self.log.as_deref(), value::log)?.unwrap_or_else(|| default_log.to_owned()),
        })
    }
}

fn bind(
    layers: &Layers<'_>,
    setting: Setting,
    flag: &Option<String>,
    default: &str,
) -> Result<SocketAddr, SettingsError> {
    match layers.one(setting, flag.as_deref(), value::socket_addr)? {
        Some(addr) => Ok(addr),
        None => layers.default(setting, default, value::socket_addr),
    }
}

fn metrics(layers: &Layers<'_>, node: &NodeArgs) -> Result<Option<SocketAddr>, SettingsError> {
    layers.one(METRICS_ADDR, node.metrics_addr.as_deref(), value::socket_addr)
}

fn gossip(layers: &Layers<'_>, node: &NodeArgs) -> Result<Option<SocketAddr>, SettingsError> {
    layers.one(GOSSIP_BIND, node.bind_addr.as_deref(), value::gossip_addr)
}

fn or_local_director(addrs: Vec<String>) -> Vec<String> {
    if addrs.is_empty() {
        return vec![DIRECTOR_DEFAULT.to_owned()];
    }
    addrs
}
