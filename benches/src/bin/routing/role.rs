//! The processes of the benchmark: workers, and a director.

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use rpcnet::{
    Channel, ChannelBuilder, Server, ServerConfig,
    dev::DevCa,
    discover::{Endpoint, EndpointSet},
};
use rpcnet_benches::{Credentials, Failure, ServerProcess, exit_with_parent};
use rpcnet_cluster::{ClusterConfig, ClusterExt, Director};
use serde::{Deserialize, Serialize};

use super::{
    runtime,
    service::{WorkServer, Worker},
};

/// What a process is told on stdin.
#[derive(Serialize, Deserialize)]
pub(crate) struct Orders {
    credentials: Credentials,
    index: u32,
    takes_us: u64,
    /// A worker has none, or the address of its director.
    seeds: Vec<String>,
    cluster: bool,
    director: bool,
}

/// Processes of one CA.
pub(crate) struct Stage {
    ca: DevCa,
}

/// One of them.
pub(crate) struct Process {
    pub(crate) process: ServerProcess,
    pub(crate) addr: SocketAddr,
}

impl Stage {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self { ca: DevCa::generate()? })
    }

    /// Workers that belong to no cluster, each of whose calls takes so long.
    pub(crate) fn workers(&self, takes: &[Duration]) -> Result<Vec<Process>, Failure> {
        let start =
            |(index, takes): (usize, &Duration)| self.start(index as u32, *takes, Vec::new(), false, false);
        takes.iter().enumerate().map(start).collect()
    }

    pub(crate) fn director(&self) -> Result<Process, Failure> {
        self.start(100, Duration::ZERO, Vec::new(), true, true)
    }

    /// A worker in the cluster of a director.
    pub(crate) fn member(&self, index: u32, director: SocketAddr) -> Result<Process, Failure> {
        self.start(index, Duration::ZERO, vec![director.to_string()], true, false)
    }

    fn start(
        &self,
        index: u32,
        takes: Duration,
        seeds: Vec<String>,
        cluster: bool,
        director: bool,
    ) -> Result<Process, Failure> {
        let name = format!("worker-{index}");
        let credentials = Credentials::issue(&self.ca, &name)?;
        let takes_us = takes.as_micros() as u64;
        let orders = Orders { credentials, index, takes_us, seeds, cluster, director };
        let process = ServerProcess::start(&name, &["--serve"], &serde_json::to_string(&orders)?)?;
        let addr = process.greeting().parse()?;
        Ok(Process { process, addr })
    }

    /// What the client dials with.
    pub(crate) fn channel(&self) -> Result<ChannelBuilder, Failure> {
        let own = Credentials::issue(&self.ca, "client")?;
        Ok(Channel::builder().with_ca_cert(own.ca)?.with_cert_and_key(own.cert, own.key)?)
    }
}

/// The set of these workers.
pub(crate) fn endpoints(workers: &[Process]) -> EndpointSet {
    let endpoint = |(index, worker): (usize, &Process)| Endpoint::new(index.to_string(), worker.addr);
    workers.iter().enumerate().map(endpoint).collect()
}

/// Is such a process, until the parent ends.
pub(crate) fn serve() -> Result<(), Failure> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    exit_with_parent();
    let orders: Orders = serde_json::from_str(&line)?;
    runtime()?.block_on(run(orders))
}

async fn run(orders: Orders) -> Result<(), Failure> {
    let own = &orders.credentials;
    let config = ServerConfig::builder()
        .with_bind_addr(SocketAddr::from(([127, 0, 0, 1], 0)))
        .with_cert_and_key(&own.cert, &own.key)?
        .with_ca_cert(&own.ca)?
        .build()?;
    let server = Server::new(config)?;
    if !orders.director {
        server
            .register(WorkServer::new(Worker::new(orders.index, Duration::from_micros(orders.takes_us))))?;
    }
    if orders.cluster {
        let role = if orders.director { "director" } else { "worker" };
        let config = ClusterConfig::default().with_seeds(orders.seeds).with_tag("role", role);
        let cluster = server.enable_cluster(config).await?;
        if orders.director {
            let _ = Director::new(&server, &cluster);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", server.local_addr())?;
    out.flush()?;
    drop(out);
    Ok(server.run().await?)
}
