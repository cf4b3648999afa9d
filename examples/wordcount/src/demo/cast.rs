//! The processes of the cluster: their start and their state.

use std::{ffi::OsString, fs, path::Path, time::SystemTime};

use anyhow::Context as _;
use rpcnet::dev::DevCa;

use super::process::Process;
use crate::{MemberRow, MemberState, Rate, Role, Tally};

/// A process of the cluster with its state.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) label: String,
    pub(super) role: Role,
    pub(super) state: MemberState,
    pub(super) process: Process,
    pub(super) started: SystemTime,
    /// The address at which it listens, once it has reported it.
    pub(super) address: Option<String>,
    calls: u64,
    rate: Rate,
}

/// Starts processes. Each gets a directory with a certificate of its own.
#[derive(Debug)]
pub(super) struct Casting<'a> {
    pub(super) ca: &'a DevCa,
    pub(super) directory: &'a Path,
}

impl Casting<'_> {
    fn start(&self, role: Role, label: &str, arguments: Vec<OsString>) -> anyhow::Result<Actor> {
        let directory = self.directory.join(label);
        fs::create_dir_all(&directory).with_context(|| format!("can't make {}", directory.display()))?;
        let issued = self.ca.issue(label)?;
        for (name, text) in
            [("ca.crt", self.ca.ca_pem()), ("node.crt", &issued.cert), ("node.key", &issued.key)]
        {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        }
        let mut all = vec!["--cert-dir".into(), directory.clone().into_os_string()];
        all.extend(arguments);
        let name = match role {
            Role::Director => "director",
            Role::Worker => "worker",
            Role::Client => "client",
        };
        Ok(Actor {
            label: label.to_owned(),
            role,
            state: MemberState::Starting,
            started: SystemTime::now(),
            address: None,
            process: Process::start(name, &all, &directory)?,
            calls: 0,
            rate: Rate::new(),
        })
    }

    /// Starts a director on a free port. Returns its address too.
    pub(super) async fn director(&self, label: &str, seeds: &[String]) -> anyhow::Result<(Actor, String)> {
        let mut actor = self.start(Role::Director, label, node(Role::Director, label, ANY, seeds))?;
        let address = actor.listens().await?;
        actor.state = MemberState::Up;
        Ok((actor, address))
    }

    /// Starts a worker on a free port. The worker reports its address when it is up.
    pub(super) fn worker(&self, label: &str, directors: &[String]) -> anyhow::Result<Actor> {
        self.start(Role::Worker, label, node(Role::Worker, label, ANY, directors))
    }

    /// Starts a director or worker again at its former address.
    pub(super) fn again(
        &self,
        role: Role,
        label: &str,
        address: &str,
        directors: &[String],
    ) -> anyhow::Result<Actor> {
        let mut actor = self.start(role, label, node(role, label, address, directors))?;
        actor.address = Some(address.to_owned());
        Ok(actor)
    }

    /// Starts the client.
    pub(super) fn client(&self, directors: &[String], input: &Path, seconds: u64) -> anyhow::Result<Actor> {
        let arguments = vec![
            "--json-lines".into(),
            "--seconds".into(),
            seconds.to_string().into(),
            "--director-addr".into(),
            directors.join(",").into(),
            "--".into(),
            input.as_os_str().to_owned(),
        ];
        self.start(Role::Client, "client", arguments)
    }
}

/// A free port of this machine.
const ANY: &str = "127.0.0.1:0";

fn node(role: Role, label: &str, address: &str, directors: &[String]) -> Vec<OsString> {
    let mut arguments = ["--addr", address, "--label", label].map(OsString::from).to_vec();
    if !directors.is_empty() {
        let flag = if role == Role::Director { "--seed-nodes" } else { "--director-addr" };
        arguments.extend([flag.into(), directors.join(",").into()]);
    }
    arguments
}

impl Actor {
    /// Waits until the process reports the address at which it listens.
    pub(super) async fn listens(&mut self) -> anyhow::Result<String> {
        let address =
            self.process.address().await.with_context(|| format!("{} did not start", self.label))?;
        self.address = Some(address.clone());
        Ok(address)
    }

    /// Takes in the client's sums.
    pub(super) fn observe(&mut self, at: std::time::Duration, tally: &Tally) {
        self.calls = tally.calls_by_worker.get(&self.label).copied().unwrap_or_default();
        self.rate.observe(at, self.calls);
        if self.state == MemberState::Starting && (self.calls > 0 || self.role == Role::Client) {
            self.state = MemberState::Up;
        }
    }

    /// Returns whether the process has ended unexpectedly. An expected end only updates the state.
    pub(super) fn has_failed(&mut self) -> bool {
        let Some(status) = self.process.ended() else { return false };
        self.state = match self.state {
            MemberState::Draining if status.success() => MemberState::Left,
            MemberState::Killed | MemberState::Left | MemberState::Failed | MemberState::Done => {
                return false;
            }
            MemberState::Starting | MemberState::Up | MemberState::Draining => MemberState::Failed,
        };
        self.state == MemberState::Failed
    }

    pub(super) fn row(&self) -> MemberRow {
        MemberRow {
            label: self.label.clone(),
            role: self.role,
            state: self.state,
            calls: self.calls,
            calls_per_second: self.rate.per_second(),
        }
    }
}
