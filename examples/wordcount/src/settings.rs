//! How the binaries `director`, `worker` and `client` are configured.
//!
//! A setting comes from its flag, else from the environment, else from the TOML file that `--config` names, else it has a
//! default. Keys of the file are the flags' names with underscores (`seed_nodes`, `cert_dir`). An environment variable that
//! is set to nothing counts as not set. A list is one setting: a flag replaces the environment's list, it does not add to it.
//!
//! Resolving takes the environment as a function, so that nothing here depends on the process; binaries pass
//! `|name| std::env::var_os(name)`.

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

/// Where development certificates are when no directory is named.
pub const DEVELOPMENT_CERTIFICATES: &str = ".rpcnet-dev";

/// Where a director listens, and thus is looked for, when nothing else is said.
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

/// Where a node's certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// `ca.crt`, `node.crt` and `node.key` in this directory.
    Directory(PathBuf),
    /// A development CA in this directory, made there if it is missing: for one machine, not for production.
    Development(PathBuf),
}

/// What all binaries have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSettings {
    /// Where the certificates are.
    pub certificates: Certificates,
    /// `host:port` at which others reach this process, if it differs from where it listens.
    pub advertise: Option<String>,
    /// A filter as `RUST_LOG` has it; checked.
    pub log: String,
}

/// How a director is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorSettings {
    /// What all binaries have.
    pub shared: SharedSettings,
    /// Where to listen.
    pub bind: SocketAddr,
    /// Where gossip has a socket of its own; by default it uses the one for calls.
    pub gossip: Option<SocketAddr>,
    /// `host:port` of nodes through which to join; none for the first director.
    pub seeds: Vec<String>,
    /// The name to show.
    pub label: Option<String>,
    /// The region to announce.
    pub region: Option<String>,
    /// Where to serve `/metrics` and health over HTTP.
    pub metrics: Option<SocketAddr>,
}

/// How a worker is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// What all binaries have.
    pub shared: SharedSettings,
    /// Where to listen.
    pub bind: SocketAddr,
    /// Where gossip has a socket of its own; by default it uses the one for calls.
    pub gossip: Option<SocketAddr>,
    /// `host:port` of nodes through which to join, at least one: directors first, then seeds.
    pub seeds: Vec<String>,
    /// The name to show.
    pub label: Option<String>,
    /// The region to announce.
    pub region: Option<String>,
    /// Where to serve `/metrics` and health over HTTP.
    pub metrics: Option<SocketAddr>,
}

/// How to make calls in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerSettings {
    /// What all binaries have.
    pub shared: SharedSettings,
    /// `host:port` of directors, at least one.
    pub directors: Vec<String>,
}

/// How a client is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// What all binaries have.
    pub shared: SharedSettings,
    /// `host:port` of directors, at least one.
    pub directors: Vec<String>,
    /// Files and directories to count, at least one.
    pub inputs: Vec<PathBuf>,
    /// How many of the most frequent words to print.
    pub top: usize,
    /// About how many bytes of text a call carries.
    pub chunk_bytes: usize,
    /// How many calls may be under way at once.
    pub in_flight: usize,
    /// Count the inputs again and again until so much time has passed; zero: once.
    pub repeat_for: Duration,
    /// Whether to print [`ClientLine`](crate::ClientLine)s on stdout in place of a table.
    pub json_lines: bool,
}

impl DirectorArgs {
    /// Flags over environment over file over defaults.
    ///
    /// # Errors
    ///
    /// When a value is not valid, there are no certificates, or the file cannot be read.
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
    /// Flags over environment over file over defaults.
    ///
    /// # Errors
    ///
    /// When a value is not valid, there are no certificates, or the file cannot be read.
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
    /// Flags over environment over file over defaults.
    ///
    /// # Errors
    ///
    /// When a value is not valid, there are no certificates, or the file cannot be read.
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
    /// Flags over environment over file over defaults.
    ///
    /// # Errors
    ///
    /// When a value is not valid, there is nothing to count, there are no certificates, or the file cannot be read.
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
