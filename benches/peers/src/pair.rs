//! The processes of one system: its server, its client, and a proxy between them where packets are to be lost.

use std::{net::SocketAddr, path::Path};

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

/// Who all processes are.
pub(crate) struct Identities {
    server: Credentials,
    client: Credentials,
    /// The server's.
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
    server: ServerProcess,
    /// Ends with us.
    _proxy: Option<ServerProcess>,
}

impl Pair {
    /// `lossy` is the seed of the dice, where there is a proxy.
    pub(crate) fn start(
        system: System,
        identities: &Identities,
        lossy: Option<u64>,
    ) -> Result<Self, Failure> {
        let start = |role: Role, address| {
            let credentials = if role == Role::Client { &identities.client } else { &identities.server };
            let start = Start {
                credentials: credentials.clone(),
                files: identities.files().to_owned(),
                address,
                seed: lossy.unwrap_or_default(),
            };
            let line = serde_json::to_string(&start)?;
            let arguments = ["--role".into(), name(role), "--system".into(), name(system)];
            Ok::<_, Failure>(ServerProcess::start(system.name(), &arguments, &line)?)
        };
        let server = start(Role::Server, None)?;
        let mut address = address(&server)?;
        let proxy = match lossy {
            Some(_) => {
                let proxy = start(Role::Proxy, Some(address))?;
                address = self::address(&proxy)?;
                Some(proxy)
            }
            None => None,
        };
        let client = start(Role::Client, Some(address))?;
        Ok(Self { client, server, _proxy: proxy })
    }

    /// Has the client do this.
    pub(crate) fn ask(&mut self, order: Order) -> Result<Outcome, Failure> {
        let answer = self.client.ask(&serde_json::to_string(&order)?)?;
        Ok(serde_json::from_str::<Answer>(&answer)??)
    }

    /// The same, and what it cost either process: the client, the server.
    pub(crate) fn measure(&mut self, order: Order) -> Result<(Outcome, [Usage; 2]), Failure> {
        for id in self.ids() {
            Memory::reset_peak(id)?;
        }
        let before = self.cpu_seconds()?;
        let outcome = self.ask(order)?;
        let after = self.cpu_seconds()?;
        let mut usage = [Usage::default(); 2];
        for (side, id) in self.ids().into_iter().enumerate() {
            usage[side] = Usage {
                cpu_seconds: after[side] - before[side],
                peak_bytes: Memory::of(id)?.peak,
                connection_bytes: None,
            };
        }
        Ok((outcome, usage))
    }

    /// What client and server hold now, in bytes.
    pub(crate) fn resident(&self) -> Result<[u64; 2], Failure> {
        let [client, server] = self.ids();
        Ok([Memory::of(client)?.resident, Memory::of(server)?.resident])
    }

    fn ids(&self) -> [u32; 2] {
        [self.client.id(), self.server.id()]
    }

    fn cpu_seconds(&self) -> Result<[f64; 2], Failure> {
        Ok([self.client.cpu_time()?.as_secs_f64(), self.server.cpu_time()?.as_secs_f64()])
    }
}

/// As it stands on a command line.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().expect("no role and no system is skipped").get_name().to_owned()
}

/// rpcnet 0.1 says more than its address, in front of it.
fn address(process: &ServerProcess) -> Result<SocketAddr, Failure> {
    let greeting = process.greeting();
    Ok(greeting.rsplit(' ').next().unwrap_or_default().parse()?)
}
