//! The processes of one system: its servers, its client, and a proxy between them if packets are to be lost.

use std::{net::SocketAddr, path::Path, time::Duration};

use clap::ValueEnum;
use rpcnet::dev::DevCa;
use rpcnet_benches::{Credentials, Failure, Memory, ServerProcess};
use tempfile::TempDir;

use crate::{
    files,
    measurement::Usage,
    order::{Answer, Order, Outcome},
    role::{Role, Start},
    system::System,
};

/// The credentials of all processes.
pub(crate) struct Identities {
    server: Credentials,
    client: Credentials,
    /// The server's credentials as files.
    files: TempDir,
}

impl Identities {
    pub(crate) fn new() -> Result<Self, Failure> {
        let ca = DevCa::generate()?;
        let server = Credentials::issue(&ca, "server")?;
        let files = files::write(&server)?;
        Ok(Self { client: Credentials::issue(&ca, "client")?, server, files })
    }

    fn files(&self) -> &Path {
        self.files.path()
    }
}

pub(crate) struct Pair {
    client: ServerProcess,
    servers: Vec<ServerProcess>,
    /// The proxy, which ends with this process.
    _proxy: Option<ServerProcess>,
}

impl Pair {
    /// Starts the processes. `lossy` is the seed of the proxy's dice, if there is a proxy. The last of several servers
    /// is the slow one.
    pub(crate) fn start(
        system: System,
        identities: &Identities,
        lossy: Option<u64>,
    ) -> Result<Self, Failure> {
        let start = |role: Role, addresses: &[SocketAddr], slow| {
            let credentials = if role == Role::Client { &identities.client } else { &identities.server };
            let start = Start {
                credentials: credentials.clone(),
                files: identities.files().to_owned(),
                addresses: addresses.to_owned(),
                slow,
                seed: lossy.unwrap_or_default(),
            };
            let line = serde_json::to_string(&start)?;
            let arguments = ["--role".into(), name(role), "--system".into(), name(system)];
            Ok::<_, Failure>(ServerProcess::start(system.name(), &arguments, &line)?)
        };
        let last = system.servers() - 1;
        let servers = (0..=last)
            .map(|index| start(Role::Server, &[], index > 0 && index == last))
            .collect::<Result<Vec<_>, _>>()?;
        let mut addresses = servers.iter().map(address).collect::<Result<Vec<_>, _>>()?;
        let proxy = match lossy {
            Some(_) => {
                let proxy = start(Role::Proxy, &addresses, false)?;
                addresses = vec![address(&proxy)?];
                Some(proxy)
            }
            None => None,
        };
        let client = start(Role::Client, &addresses, false)?;
        Ok(Self { client, servers, _proxy: proxy })
    }

    /// Lets the client carry out an order.
    pub(crate) fn ask(&mut self, order: Order) -> Result<Outcome, Failure> {
        let answer = self.client.ask(&serde_json::to_string(&order)?)?;
        Ok(serde_json::from_str::<Answer>(&answer)??)
    }

    /// The same, with the cost on both sides: the client, and all servers together.
    pub(crate) fn measure(&mut self, order: Order) -> Result<(Outcome, [Usage; 2]), Failure> {
        for id in self.ids().iter().flatten() {
            Memory::reset_peak(*id)?;
        }
        let before = self.cpu_seconds()?;
        let outcome = self.ask(order)?;
        let after = self.cpu_seconds()?;
        let mut usage = [Usage::default(); 2];
        let peaks = self.memory(|memory| memory.peak)?;
        for (side, usage) in usage.iter_mut().enumerate() {
            usage.cpu_seconds = after[side] - before[side];
            usage.peak_bytes = peaks[side];
        }
        Ok((outcome, usage))
    }

    /// The present memory of the client and of all servers, in bytes.
    pub(crate) fn resident(&self) -> Result<[u64; 2], Failure> {
        self.memory(|memory| memory.resident)
    }

    fn memory(&self, part: fn(Memory) -> u64) -> Result<[u64; 2], Failure> {
        let mut sums = [0; 2];
        for (sum, ids) in sums.iter_mut().zip(self.ids()) {
            for id in ids {
                *sum += part(Memory::of(id)?);
            }
        }
        Ok(sums)
    }

    fn ids(&self) -> [Vec<u32>; 2] {
        [vec![self.client.id()], self.servers.iter().map(ServerProcess::id).collect()]
    }

    fn cpu_seconds(&self) -> Result<[f64; 2], Failure> {
        let mut servers = Duration::ZERO;
        for server in &self.servers {
            servers += server.cpu_time()?;
        }
        Ok([self.client.cpu_time()?.as_secs_f64(), servers.as_secs_f64()])
    }
}

/// The name of a value on the command line.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().expect("no role and no system is skipped").get_name().to_owned()
}

/// The address in a server's greeting. rpcnet 0.1 prints more text in front of it.
fn address(process: &ServerProcess) -> Result<SocketAddr, Failure> {
    let greeting = process.greeting();
    Ok(greeting.rsplit(' ').next().unwrap_or_default().parse()?)
}
